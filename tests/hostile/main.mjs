// A hostile caller with a good token: tries to take a node down, or to hold it up, by what it may ask for.
// See README.md; docs/security.md has the table of attacks and answers.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, rmdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { ATTACKS } from './attacks.mjs';
import { Target, sleep } from './http.mjs';

const MIB = 1 << 20;
/** Recent blocks of a channel, which stay in memory. */
const BLOCK_CACHE = 64 * MIB;
const { values: options } = parseArgs({
  options: {
    url: { type: 'string' },
    token: { type: 'string' },
    ca: { type: 'string' },
    channel: { type: 'string', default: 'main' },
    quire: { type: 'string' },
    pid: { type: 'string' },
    'memory-limit': { type: 'string', default: '2048' },
    'most-memory': { type: 'string', default: '1024' },
    'after-memory': { type: 'string', default: '100' },
    only: { type: 'string', multiple: true },
    long: { type: 'boolean', default: false },
    'not-loopback': { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
  },
});

if (options.list) {
  for (const { name, what, expected } of ATTACKS) console.log(`${name}: ${what}\n  ${expected.join(', ')}`);
  process.exit(0);
}
if (!options.url === !options.quire) throw new Error('either --url of a running node or --quire PATH of a binary is needed');

const wrong = [];
const ms = (time) => (time < 10 ? time.toFixed(1) : time.toFixed(0));
const mib = (bytes) => (bytes / MIB).toFixed(0);
const node = options.quire ? await startNode(options.quire) : { url: options.url, pid: options.pid && Number(options.pid) };
const settings = { url: node.url, token: options.token, channel: options.channel, ca: options.ca && readFileSync(options.ca) };
const target = new Target(settings);
if (!target.isLoopback() && !options['not-loopback']) {
  throw new Error(`${target.host} is not this machine: --not-loopback attacks it all the same`);
}

try {
  await prepare();
  const watcher = new Worker(new URL('./watch.mjs', import.meta.url), { workerData: { target: settings, pid: node.pid } });
  const look = (message = 'look') => new Promise((resolve) => watcher.once('message', resolve).postMessage(message));
  await sleep(options.long ? 10_000 : 3_000);
  const idle = await look();
  const start = memory();
  const kept = await engineMemory();
  console.log(`idle: health ${ms(idle.health.slowest)} ms at most, a writer's p99 ${ms(idle.writer.p99)} ms${node.pid ? `, ${mib(start)} MiB` : ''}`);
  const chosen = ATTACKS.filter(({ name }) => !options.only || options.only.includes(name));
  const seen = [];
  for (const attack of chosen) seen.push(await attackOnce(attack, look));
  await settle(start, kept);
  await look('end');
  summarize(idle, seen, start);
} finally {
  await node.end?.();
}
for (const text of wrong) console.error(`WRONG: ${text}`);
// Connections that nobody waits for any more are not waited for either.
process.exit(wrong.length > 0 ? 1 : 0);

/** Runs one attack, and tells what came of it. */
async function attackOnce(attack, look) {
  const { name, expected, seconds, run } = attack;
  const before = target.sent;
  const begun = performance.now();
  const size = (short, long) => (options.long ? long : short);
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, seconds * 3000, null)));
  const answers = await Promise.race([run({ target, size, isLong: options.long }), late]);
  clearTimeout(timer);
  const took = (performance.now() - begun) / 1000;
  const seen = await look();
  const told = answers ? [...answers].map(([word, count]) => `${count} x ${word}`).join(', ') : 'no end';
  const rss = node.pid ? `, ${mib(seen.rss)} MiB` : '';
  console.log(`${name}: ${took.toFixed(1)} s, ${mib(target.sent - before)} MB sent; ${told}; health ${ms(seen.health.slowest)} ms, writer p99 ${ms(seen.writer.p99)} ms${rss}`);
  if (!answers) wrong.push(`${name}: not over after ${seconds * 3} seconds`);
  for (const word of answers?.keys() || []) {
    if (!expected.includes(word)) wrong.push(`${name}: answered ${word}, not one of ${expected.join(', ')}`);
  }
  if (took > seconds) wrong.push(`${name}: took ${took.toFixed(1)} of ${seconds} seconds`);
  if (node.pid && seen.rss > options['most-memory'] * MIB) wrong.push(`${name}: ${mib(seen.rss)} MiB, more than ${options['most-memory']}`);
  const failures = Object.entries(seen.failures).filter(([word]) => !word.startsWith('503 OVERLOADED') && !word.startsWith('429'));
  for (const [word, count] of failures) wrong.push(`${name}: health or the writer was answered ${word}, ${count} times`);
  return seen;
}

/** Documents to look through, and a key with a history of pages of 9 MB. */
async function prepare() {
  const put = (key, value) => JSON.stringify({ operations: [{ op: 'put', namespace: 'hostile', key, value }] });
  const batch = async (lines) => {
    const answer = await target.request('POST', `${target.channel}/transactions:batch`, { body: lines.join('\n'), type: 'application/x-ndjson', timeout: 300_000 });
    if (answer.status !== 200) throw new Error(`the node takes no batch: ${answer.status} ${answer.code} ${answer.body || ''}`);
  };
  const documents = Array.from({ length: options.long ? 3000 : 500 }, (_, n) => put(`${n}`, { n, text: 'ab'.repeat(20) + n, a: [n, n + 1] }));
  const versions = Array.from({ length: options.long ? 1000 : 300 }, (_, n) => put('large', `${n}${'x'.repeat(9000)}`));
  for (const lines of [documents, versions]) {
    for (let from = 0; from < lines.length; from += 500) await batch(lines.slice(from, from + 500));
  }
  const index = { index: { fields: ['n'] }, ddoc: 'by-n', name: 'by-n' };
  const made = await target.request('POST', `${target.state}/_index`, { body: index });
  if (made.status !== 200) console.log(`without an index: ${made.status} ${made.code}`);
}

function memory() {
  if (!node.pid) return 0;
  const status = readFileSync(`/proc/${node.pid}/status`, 'utf8');
  return Number(status.match(/VmRSS:\s+(\d+)/)[1]) * 1024;
}

/** The sum of a gauge's series with these labels; 0 where metrics are not to be had. */
async function gauge(name, labels) {
  const { body = '' } = await target.request('GET', '/metrics', { keep: true });
  const lines = body.split('\n').filter((line) => line.startsWith(`${name}{`) && labels.test(line));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').pop()), 0);
}

/** What the embedded engine has in memory of what was written and looked at: bounded, and meant to stay. */
function engineMemory() {
  return gauge('quire_engine_bytes', /part="(memtable|cache)"/);
}

/** What requests hold. */
function heldByRequests() {
  return gauge('quire_memory_bytes', /kind=/);
}

/** Waits, a minute at most, until memory is given back. */
async function settle(start, kept) {
  const begun = Date.now();
  const isOver = () => Date.now() - begun > 60_000;
  const after = () => `${((Date.now() - begun) / 1000).toFixed(0)} s after the last attack`;
  let held = await heldByRequests();
  while (held > MIB && !isOver()) {
    await sleep(250);
    held = await heldByRequests();
  }
  console.log(`after: requests hold ${mib(held)} MiB ${after()}`);
  if (held > MIB) wrong.push(`a minute after the attacks requests still hold ${mib(held)} MiB`);
  if (!node.pid) return;
  const grown = BLOCK_CACHE + Math.max(0, (await engineMemory()) - kept);
  const most = start + grown + options['after-memory'] * MIB;
  while (memory() > most && !isOver()) await sleep(250);
  const now = memory();
  console.log(`after: ${mib(now)} MiB ${after()}, ${mib(start)} MiB before the first; caches and the embedded engine may keep ${mib(grown)} more`);
  if (now > most) wrong.push(`a minute after the attacks the node has ${mib(now)} MiB, ${mib(now - start - grown)} more than before and what caches keep`);
}

function summarize(idle, seen, start) {
  const slowest = Math.max(...seen.map(({ health }) => health.slowest));
  const writer = Math.max(...seen.map(({ writer }) => writer.p99));
  const peak = Math.max(...seen.map(({ rss }) => rss));
  console.log(`${seen.length} attacks: health's slowest answer ${ms(slowest)} ms (aim 100), the writer's worst p99 ${ms(writer)} ms, ${(writer / Math.max(idle.writer.p99, 0.1)).toFixed(1)} times idle (aim 10)`);
  if (node.pid) console.log(`memory: ${mib(peak)} MiB at most, ${mib(start)} before; limit ${node.limit || 'not set here'}`);
}

/** A node of our own on a fresh directory, whose memory is bounded. */
async function startNode(binary) {
  const work = mkdtempSync(path.join(os.tmpdir(), 'quire-hostile-'));
  const log = path.join(work, 'node.log');
  const output = openSync(log, 'w');
  const bytes = options['memory-limit'] * MIB;
  const { prefix, limit, remove } = bounded(bytes);
  const data = path.join(work, 'data');
  const command = [...prefix, binary, 'run', '--data', data, '--listen', '127.0.0.1:0', '--log-spec', 'request=off:warn'];
  const child = spawn(command[0], command.slice(1), { stdio: ['ignore', output, output] });
  const ended = new Promise((resolve) => child.on('exit', (code, signal) => resolve(signal || code)).on('error', resolve));
  const said = () => readFileSync(log, 'utf8');
  let url;
  for (let waited = 0; !url && waited < 600 && child.exitCode === null; waited++) {
    await sleep(100);
    url = said().match(/listening on (http:\/\/127\.0\.0\.1:\d+)/)?.[1];
  }
  if (!url) throw new Error(`the node did not start\n${said()}`);
  const end = async () => {
    const isThere = child.exitCode === null && child.signalCode === null;
    if (!isThere) wrong.push(`the node ended with ${await ended}`);
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
    const how = await ended;
    clearTimeout(timer);
    if (isThere && how !== 0) wrong.push(`asked to stop, the node ended with ${how}`);
    if (/panicked/.test(said())) wrong.push(`a thread panicked:\n${said()}`);
    const check = spawnSync(binary, ['check', '--data', data], { encoding: 'utf8' });
    if (check.status !== 0) wrong.push(`quire check: ${check.stdout}${check.stderr}`);
    remove();
    rmSync(work, { recursive: true, force: true });
  };
  return { url, pid: child.pid, limit, end };
}

/** What to run a command under so that its memory is bounded: a cgroup where we may make one, else RLIMIT_DATA. */
function bounded(bytes) {
  const name = `quire-hostile-${process.pid}`;
  for (const [root, file] of [
    ['/sys/fs/cgroup/memory', 'memory.limit_in_bytes'],
    ['/sys/fs/cgroup', 'memory.max'],
  ]) {
    const group = path.join(root, name);
    try {
      mkdirSync(group);
      if (!existsSync(path.join(group, file))) throw new Error('no such controller');
      writeFileSync(path.join(group, file), String(bytes));
      const enter = `echo $$ > ${group}/cgroup.procs && exec "$@"`;
      if (spawnSync('sh', ['-c', enter, 'sh', 'true']).status !== 0) throw new Error('it takes no process');
      const remove = () => {
        try {
          rmdirSync(group);
        } catch {
          // The kernel has not let go of its last process yet: an empty group costs nothing.
        }
      };
      return { prefix: ['sh', '-c', enter, 'sh'], limit: `${mib(bytes)} MiB by ${file}`, remove };
    } catch {
      try {
        rmdirSync(group);
      } catch {
        // It was never made.
      }
    }
  }
  return { prefix: ['prlimit', `--data=${bytes}`], limit: `${mib(bytes)} MiB by RLIMIT_DATA`, remove: () => {} };
}
