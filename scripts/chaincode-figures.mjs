#!/usr/bin/env node
// What a call of a chaincode costs: submits and evaluations a second through a Node and a Go chaincode, beside the
// built-in one in the same node, and beside what the chaincode's process does when its peer costs nothing. Builds
// nothing of Quire: `cargo build --release -p quire --bin quire --example bench` and
// `cargo build --release -p quire-rpc --example echo` do.
//
//   node scripts/chaincode-figures.mjs --bin target/release --out docs/figures/DATE-chaincode.json

import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: {
    // The folder of what cargo built.
    bin: { type: 'string' },
    // Where the JSON file goes.
    out: { type: 'string' },
    // Where node, chaincodes and probes work: the file system that is measured.
    dir: { type: 'string', default: os.tmpdir() },
    callers: { type: 'string', default: '1,50,500' },
    // As the bench has it: what one caller submits in a loop.
    requests: { type: 'string', default: '1000' },
    // Of each load of a process by itself.
    seconds: { type: 'string', default: '10' },
    // A folder with the Go chaincode, where that of examples/ cannot be built with the modules at hand.
    go: { type: 'string' },
  },
});
if (!options.bin || !options.out) throw new Error('--bin FOLDER and --out FILE are needed');

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const bin = path.resolve(options.bin);
const quire = path.join(bin, 'quire');
const work = mkdtempSync(path.join(options.dir, 'quire-figures-'));
const data = path.join(work, 'data');
const callers = options.callers.split(',').map(Number);
const children = [];

/** Starts a program; what it prints goes to a file. */
function start(name, program, args, more = {}) {
  const log = path.join(work, `${name}.log`);
  const output = openSync(log, 'w');
  const child = spawn(program, args, { stdio: ['ignore', output, output], ...more });
  const ended = new Promise((resolve) => child.on('exit', resolve));
  const one = { child, ended, log, text: () => readFileSync(log, 'utf8') };
  children.push(one);
  return one;
}

/** Waits until something holds, two minutes at most. */
async function until(what, one, holds) {
  for (let waited = 0; waited < 1200; waited++) {
    const held = await holds();
    if (held) return held;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`waited in vain for ${what}\n${one.text().slice(-4000)}`);
}

/** The lines of JSON that a program prints until it ends well. */
async function lines(name, program, args) {
  const one = start(name, program, args);
  const status = await one.ended;
  if (status !== 0) throw new Error(`${name} ended with ${status}\n${one.text().slice(-4000)}`);
  return objects(one.text());
}
function objects(text) {
  return text.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
}

const node = start('node', quire, ['run', '--data', data, '--listen', '127.0.0.1:0']);
const address = () => node.text().match(/is listening on http:\/\/(127\.0\.0\.1:\d+)/)?.[1];

function bench(name, ...more) {
  const of = ['--url', address(), '--pid', String(node.child.pid), '--dir', work, '--requests', options.requests];
  const loads = ['--clients', options.callers, '--readers', options.callers];
  return lines(`bench-${name}`, path.join(bin, 'examples/bench'), [...of, ...loads, ...more]);
}

/** Deploys a folder; the folder that its process runs in. */
async function deploy(name, folder) {
  const args = (...of) => ['chaincode', ...of, '--data', data];
  execFileSync(quire, args('deploy', name, folder), { stdio: 'inherit' });
  const row = () => execFileSync(quire, args('list'), { encoding: 'utf8' }).split('\n').map((line) => line.split('\t'))
    .find((columns) => columns[0] === name);
  await until(`${name} to run`, node, () => row()[4] === 'runs');
  const code = path.join(data, 'chaincodes/code');
  return path.join(code, readdirSync(code).find((one) => one === row()[3].replace(':', '.')));
}

/** What the chaincode's process does by itself: another one than the node's, in the same folder. */
async function limit(name, folder, program) {
  const args = ['--msp', path.join(data, 'identities/client/msp'), '--seconds', options.seconds];
  const echo = start(`echo-${name}`, path.join(bin, 'examples/echo'), [...args, '--in-flight', options.callers]);
  const peer = await until('the echo loop to listen', echo, () => echo.text().match(/^127\.0\.0\.1:\d+/m)?.[0]);
  const env = { ...process.env, CORE_CHAINCODE_ID_NAME: `${name}:0`, CORE_PEER_ADDRESS: peer, CORE_PEER_TLS_ENABLED: 'false' };
  // In a group of its own: npm starts others.
  const one = start(`process-${name}`, program[0], [...program.slice(1), peer], { cwd: folder, env, detached: true });
  try {
    const status = await echo.ended;
    if (status !== 0) throw new Error(`the echo loop ended with ${status}\n${echo.text()}\n${one.text().slice(-4000)}`);
    return objects(echo.text());
  } finally {
    end(one);
  }
}

function end(one) {
  try {
    process.kill(-one.child.pid, 'SIGKILL');
  } catch {
    one.child.kill('SIGKILL');
  }
}

const git = (...args) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
const round = (number) => Math.round(number * 100) / 100;

/** The most that Fabric does in a second, on another machine: docs/performance.md. */
const FABRIC = { submit: 956, evaluate: 2906 };

/** A row for each number of callers, of one kind of call; most callers are asked for the lower of two bars. */
function rows(what, builtIn, chaincode, alone) {
  const of = (found, pattern) => found.find((line) => pattern.test(line.name)) ?? {};
  return callers.map((count) => {
    const closed = new RegExp(`^${what}[^,]*, closed loop, ${count} clients`);
    const theirs = of(chaincode, closed);
    const most = of(alone, new RegExp(`^echo: ${what}, ${count} in flight`)).perSecond;
    const documents = of(builtIn, closed);
    return {
      callers: count,
      perSecond: theirs.perSecond,
      processAlonePerSecond: most,
      ofProcessAlone: round(theirs.perSecond / most),
      timesFabric: round(theirs.perSecond / FABRIC[what]),
      asked: count === Math.max(...callers) ? Math.round(Math.min(3 * FABRIC[what], 0.7 * most)) : null,
      documentsPerSecond: documents.perSecond,
      p50Ms: theirs.p50Ms,
      p99Ms: theirs.p99Ms,
      documentsP50Ms: documents.p50Ms,
      nodeMicros: theirs.nodeMicros,
      documentsNodeMicros: documents.nodeMicros,
    };
  });
}

try {
  await until('the node to listen', node, () => address() || node.child.exitCode !== null);
  const builtIn = await bench('documents');
  const tables = [];
  const chaincodes = [['transfers', 'Node', path.join(root, 'examples/transfers'), ['npm', 'start', '--', '--peer.address']]];
  const go = options.go ?? path.join(root, 'examples/transfers-go');
  const binary = ['./chaincode.bin', '-peer.address'];
  chaincodes.push(['transfers-go', 'Go', go, binary]);
  for (const [name, language, from, program] of chaincodes) {
    const folder = path.join(work, name);
    cpSync(from, folder, { recursive: true, filter: (file) => path.basename(file) !== 'node_modules' });
    if (language === 'Go' && !existsSync(path.join(folder, 'go.sum'))) {
      execFileSync('go', ['mod', 'tidy'], { cwd: folder, stdio: 'inherit' });
    }
    const built = await deploy(name, folder);
    const found = await bench(name, '--chaincode', name);
    const alone = await limit(name, built, program);
    for (const what of ['submit', 'evaluate']) {
      tables.push({ title: `${what}, ${language}`, rows: rows(what, builtIn, found, alone) });
    }
    tables.push({ title: `open loop, ${language}`, rows: found.filter((line) => / open loop, /.test(line.name)) });
  }
  const report = {
    date: new Date().toISOString().slice(0, 10),
    commit: git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '-uno') ? '+' : ''),
    command: `node scripts/chaincode-figures.mjs --callers ${options.callers} --requests ${options.requests} --seconds ${options.seconds}`,
    machine: builtIn.at(-1).machine,
    note: 'OpenAccount (a key read and written) and GetAccount (a key read) by REST in closed loops. processAlone is what the same process completes with as many in flight when its peer answers from memory, without TLS. Fabric: 956 submits and 2,906 evaluations a second. asked: the lower of three times that and 0.7 of processAlone.',
    probes: builtIn.filter((line) => line.name.startsWith('probe: ')),
    tables,
  };
  writeFileSync(options.out, `${JSON.stringify(report, null, 1)}\n`);
  for (const { title, rows: all } of tables) {
    console.log(title);
    console.table(all);
  }
  node.child.kill('SIGTERM');
  await node.ended;
} finally {
  for (const one of children) if (one.child.exitCode === null) one.child.kill('SIGKILL');
  rmSync(work, { recursive: true, force: true, maxRetries: 20, retryDelay: 250 });
}
