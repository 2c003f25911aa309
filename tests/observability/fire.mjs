// Each alert, fired once by causing its condition in real nodes under a real Prometheus. Only waiting times are
// shortened; expressions and limits are those of dashboards/alerts.yml. Wants strace, and Linux name spaces.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, statfsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { freePort } from '../ports.mjs';
import { FOLDER, alerts } from './dashboards.mjs';
import { end, main, problem, start, startPrometheus, until, work } from './lib.mjs';

const { values: options } = parseArgs({ options: { quire: { type: 'string' }, only: { type: 'string' } } });
if (!options.quire) throw new Error('--quire PATH is needed');

/** CouchDB's protocol, of the packages that the engine's tests have. */
const POUCHDB = fileURLToPath(new URL('../../ledger/tests/pouchdb/node_modules/pouchdb-server/bin/pouchdb-server', import.meta.url));
const MIB = 2 ** 20;
/** Of the small file system. */
const SIZE = 192 * MIB;
let query;
const fired = new Set();

/** A node by name: its data and its operations' address stay when it is started again. */
class Node {
  static async named(name) {
    const node = new Node();
    node.data = path.join(work, name);
    node.operations = `127.0.0.1:${await freePort()}`;
    return node;
  }

  /** Starts it, `under` some other program if that is given. */
  spawn(under = [], flags = []) {
    const [command, ...args] = [...under, options.quire, 'run', '--data', this.data, '--listen', '127.0.0.1:0', '--operations-listen', this.operations, ...flags];
    this.child = start(command, args);
    return this;
  }

  async start(under, flags) {
    this.spawn(under, flags);
    await until('the node', 60, () => this.child.log.includes('  callers  ') || this.child.exitCode !== null);
    [, this.api] = this.child.log.match(/listening on (http:\/\/\S+)/);
    return this;
  }

  async stop(signal = 'SIGTERM') {
    // A process that is killed while strace delays it is not gone before strace is.
    if (this.tracer) end(this.tracer, 'SIGKILL');
    end(this.child, signal);
    await this.child.ended;
  }

  /** The status of a write; undefined where there was no answer. */
  put(key, value = 1, headers = {}) {
    const url = `${this.api}/v1/channels/main/state/fire/${key}`;
    const request = { method: 'PUT', headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify({ value }) };
    return fetch(url, request).then(async (answer) => (await answer.arrayBuffer(), answer.status), () => undefined);
  }

  /** Writes one after another until told to stop. */
  writing() {
    let going = true;
    const done = (async () => {
      for (let n = 0; going; n++) await this.put(`loop-${n}`);
    })();
    return () => ((going = false), done);
  }

  /** Lets strace see to its system calls from now on. */
  async inject(fault) {
    this.tracer = start('strace', ['-f', '-p', `${this.child.pid}`, '-o', '/dev/null', '-e', 'trace=fdatasync', '-e', `inject=fdatasync:${fault}`]);
    await until('strace', 10, () => this.tracer.log.includes('attached'));
  }

  async firing(alert) {
    const found = await query(`ALERTS{alertname="${alert}", alertstate="firing", instance="${this.operations}"}`);
    return found.length > 0;
  }

  /** Nothing before the cause, the alert after it. */
  async fires(alert, cause, seconds = 60) {
    if (await this.firing(alert)) problem(`${alert} fires before its cause`);
    const undo = await cause();
    await until(`${alert} to fire`, seconds, () => this.firing(alert));
    await undo?.();
    fired.add(alert);
    console.log(`${alert} fired`);
  }

  async isScraped() {
    await until('a scrape', 30, async () => (await query(`up{instance="${this.operations}"} == 1`)).length > 0);
  }
}

async function down(node) {
  await node.start();
  await node.isScraped();
  await node.fires('QuireDown', () => node.stop('SIGKILL'));
}

/** A start that takes long: before the channel is opened, its last batch is synced again. */
async function notReady(node) {
  await node.start();
  for (let n = 0; n < 20; n++) await node.put(`${n}`);
  await node.isScraped();
  await node.fires('QuireNotReady', async () => {
    await node.stop('SIGKILL');
    node.spawn(['strace', '-f', '-o', '/dev/null', '-e', 'trace=fdatasync', '-e', 'inject=fdatasync:delay_enter=30000000']);
  });
  await node.stop('SIGKILL');
}

/** A file system of its own that fills: first the warning, then the failure, then answers that say so. */
async function full(node) {
  mkdirSync(node.data);
  const mount = `mount -t tmpfs -o size=${SIZE} tmpfs "$0" && exec "$@"`;
  const isRoot = process.getuid() === 0;
  await node.start(['unshare', isRoot ? '-m' : '-rm', 'sh', '-c', mount, node.data]);
  await node.isScraped();
  await node.fires('QuireDiskNearlyFull', () => {
    // Something else fills it: what the engine writes when it likes would make the time of the end a guess.
    const seen = path.join(`/proc/${node.child.pid}/root`, node.data);
    const { bavail, bsize } = statfsSync(seen);
    writeFileSync(path.join(seen, 'ballast'), Buffer.alloc(bavail * bsize - SIZE * 0.08));
  });
  let n = 0;
  const big = 'x'.repeat(MIB / 2);
  await node.fires('QuireChannelFailed', async () => {
    while ((await node.put(`big-${n++}`, big)) < 500 && n < 1000);
  });
  await node.fires('QuireErrorRatio', () => node.writing());
}

async function slow(node) {
  await node.start();
  await node.isScraped();
  await node.fires('QuireFsyncSlow', async () => {
    await node.inject('delay_enter=200000');
    return node.writing();
  });
}

/** The disk hangs, and callers do not wait. */
async function queue(node) {
  await node.start();
  await node.isScraped();
  await node.fires('QuireQueueFilling', async () => {
    await node.inject('delay_enter=300000000');
    const one = async (_, first) => {
      for (let n = 0; n < 180; n++) {
        const status = await node.put(`${first}-${n}`, 1, { Prefer: 'respond-async', 'Idempotency-Key': `${first}-${n}` });
        if (status !== 202) throw new Error(`a write that nobody waits for: ${status}`);
      }
    };
    await Promise.all(Array.from({ length: 32 }, one));
  });
  await node.stop('SIGKILL');
}

async function damage(node) {
  await node.start();
  for (const key of ['1', '2', '3']) await node.put(key);
  await node.isScraped();
  await node.stop();
  const file = path.join(node.data, 'channels/main/blockfile_000000');
  const bytes = readFileSync(file);
  bytes[bytes.indexOf('fire')] ^= 1;
  writeFileSync(file, bytes);
  await node.start();
  await node.isScraped();
  await node.fires('QuireDamageFound', async () => {
    await fetch(`${node.api}/v1/channels/main/blocks/1`).then((answer) => answer.arrayBuffer());
  });
}

/** State on a database of another process, which ends. */
async function stateAway(node) {
  const port = await freePort();
  const folder = path.join(work, 'pouchdb');
  mkdirSync(folder);
  const server = start('node', [POUCHDB, '--host', '127.0.0.1', '--port', `${port}`, '--no-stdout-logs', '--dir', folder], { cwd: folder });
  const answers = () => fetch(`http://127.0.0.1:${port}`).then(({ ok }) => ok, () => false);
  await until('pouchdb-server', 60, answers);
  await node.start([], ['--state', 'couchdb', '--couchdb-url', `http://127.0.0.1:${port}`]);
  const before = await node.put('before');
  if (before !== 201) throw new Error(`a write while the database is there: ${before}`);
  await node.isScraped();
  await node.fires('QuireStateUnavailable', async () => {
    end(server, 'SIGKILL');
    await server.ended;
    return node.writing();
  });
}

/** Brokers that nobody runs. */
async function noBrokers(node) {
  await node.start([], ['--ordering', 'kafka', '--kafka-brokers', `127.0.0.1:${await freePort()}`]);
  await node.isScraped();
  await node.fires('QuireOrdererUnavailable', async () => {
    await node.put('nowhere');
  });
}

/** A folder for backups that cannot be made. */
async function noBackups(node) {
  const inTheWay = path.join(work, 'in-the-way');
  writeFileSync(inTheWay, '');
  await node.start([], ['--backup-to', inTheWay, '--backup-every', '1']);
  await node.isScraped();
  await until('QuireBackupTooOld to fire', 60, () => node.firing('QuireBackupTooOld'));
  fired.add('QuireBackupTooOld');
  console.log('QuireBackupTooOld fired');
}

/** A token for two weeks. */
async function endingToken(node) {
  const made = spawnSync(options.quire, ['channel', 'create', 'main', '--data', node.data]);
  if (made.status !== 0) throw new Error(`channel create: ${made.stderr}`);
  const token = spawnSync(options.quire, ['token', 'create', '--identity', 'shop', '--role', 'reader', '--expires', '14d', '--data', node.data]);
  if (token.status !== 0) throw new Error(`token create: ${token.stderr}`);
  await node.start();
  await node.isScraped();
  await until('QuireCertificateEnds to fire', 60, () => node.firing('QuireCertificateEnds'));
  fired.add('QuireCertificateEnds');
  console.log('QuireCertificateEnds fired');
}

await main(async () => {
  const rules = path.join(work, 'alerts.yml');
  const text = readFileSync(path.join(FOLDER, 'alerts.yml'), 'utf8');
  writeFileSync(rules, text.replaceAll(/for: [1-9]\d*m/g, 'for: 2s').replaceAll('[5m]', '[10s]'));
  const scenarios = [down, notReady, full, slow, queue, damage, stateAway, noBrokers, noBackups, endingToken].filter(({ name }) => [undefined, name].includes(options.only));
  const nodes = await Promise.all(scenarios.map((scenario) => Node.named(scenario.name)));
  query = await startPrometheus(nodes.map((node) => node.operations), rules);
  // One after another: each alone with the processors, so that only its own condition is caused.
  for (const [n, scenario] of scenarios.entries()) await scenario(nodes[n]);
  if (options.only) return;
  for (const { alert } of alerts().filter(({ alert }) => !fired.has(alert))) problem(`nothing here fires ${alert}`);
});
