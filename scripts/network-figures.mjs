#!/usr/bin/env node
// What three nodes on three brokers do on one machine, beside one node that orders alone: submits a second, latencies,
// the share of each process, and how fast a node that was away and a node that joins from nothing catch up while the
// others go on. Builds nothing: `cargo build --release -p quire --bin quire --example bench` does.
//
//   mvn -q -B -f tests/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory=/tmp/kafka-libs
//   node scripts/network-figures.mjs --bin target/release --libs /tmp/kafka-libs --out docs/figures/DATE-network.json

import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Brokers, until } from '../tests/kafka/brokers.mjs';
import { Network } from '../tests/kafka/nodes.mjs';

const { values: options } = parseArgs({
  options: {
    // The folder of what cargo built.
    bin: { type: 'string' },
    // The folder of Kafka's jars.
    libs: { type: 'string' },
    // Where the JSON file goes.
    out: { type: 'string' },
    // Where nodes and brokers work: the file system that is measured.
    dir: { type: 'string', default: os.tmpdir() },
    // Of all nodes together.
    clients: { type: 'string', default: '3,48,150,501' },
    // As the bench has it: what one client submits in a loop.
    requests: { type: 'string', default: '1000' },
    // Of which the node that was away knows nothing.
    blocks: { type: 'string', default: '10000' },
  },
});
if (!options.bin || !options.libs || !options.out) throw new Error('--bin, --libs and --out are needed');

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const bin = path.resolve(options.bin);
const work = mkdtempSync(path.join(options.dir, 'quire-network-'));
const bench = path.join(bin, 'examples/bench');
/** Nothing but closed loops. */
const CLOSED = ['--seconds', '0'];
const clients = options.clients.split(',').map(Number);
const running = [];

/** Seconds of a processor that a process took so far. */
function processor(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Runs the bench against a node; its lines, and the processor's seconds that it took. */
async function load(node, ...args) {
  const of = ['--url', node.address, '--pid', String(node.child.pid), '--dir', work, '--readers'];
  const child = spawn(bench, [...of, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  running.push(child);
  let text = '';
  child.stdout.on('data', (more) => (text += more));
  let seconds = 0;
  const clock = setInterval(() => {
    try {
      seconds = processor(child.pid);
    } catch {
      // It ended.
    }
  }, 50);
  const status = await new Promise((resolve) => child.on('close', resolve));
  clearInterval(clock);
  if (status !== 0) throw new Error(`the bench ended with ${status}\n${text}`);
  const lines = text.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  return { lines, seconds };
}

const round = (number, digits = 2) => Math.round(number * 10 ** digits) / 10 ** digits;

/** Loads all nodes at once, each with its share of the clients, in a closed or an open loop. */
async function together(nodes, processes, { count, rate }) {
  const before = processes.map(({ pid }) => processor(pid()));
  const began = Date.now();
  const share = Math.max(1, Math.round(count / nodes.length));
  const closed = [...CLOSED, '--clients', String(share), '--requests', options.requests];
  const open = ['--clients', '1', '--requests', '1', '--rate', String(Math.round(rate / nodes.length))];
  const loads = await Promise.all(nodes.map((node) => load(node, '--no-probes', ...(rate === undefined ? closed : open))));
  const seconds = (Date.now() - began) / 1000;
  const pattern = rate === undefined ? / closed loop, / : / open loop, /;
  const found = loads.map(({ lines }) => lines.find((line) => pattern.test(line.name)));
  const sum = (what) => found.reduce((all, line) => all + line[what], 0);
  const worst = (what) => Math.max(...found.map((line) => line[what]));
  const used = processes.map(({ name, pid }, at) => [name, processor(pid()) - before[at]]);
  used.push(['clients', loads.reduce((all, one) => all + one.seconds, 0)]);
  const shares = {};
  for (const [name, took] of used) shares[name] = round((shares[name] ?? 0) + took / seconds);
  return {
    clients: share * nodes.length,
    perSecond: Math.round(sum('perSecond')),
    p50Ms: worst('p50Ms'),
    p99Ms: worst('p99Ms'),
    nodeMicros: Math.round(sum('nodeMicros') / nodes.length),
    processorsUsed: shares,
  };
}

/** Closed loops of all numbers of clients, and an open loop at half of the best. */
async function loops(nodes, processes) {
  const rows = [];
  for (const count of clients) rows.push(await together(nodes, processes, { count }));
  const best = Math.max(...rows.map((row) => row.perSecond));
  const { clients: _, ...open } = await together(nodes, processes, { count: clients.at(-1), rate: best / 2 });
  return { closed: rows, open: { ...open, asked: Math.round(best / 2) } };
}

const one = (name, pid) => ({ name, pid });
const process_of = (node) => one('nodes', () => node.child.pid);

/** How fast a node gets what it lacks, while a client goes on at another node. */
async function catchUp(node, other) {
  const goal = await other.height();
  const began = Date.now();
  let writing = true;
  let written = 0;
  const writer = (async () => {
    while (writing) {
      const { status } = await other.put(`meanwhile-${began}-${written}`, { written });
      if (status === 201) written += 1;
    }
  })();
  const from = node.lastHeight ?? 1;
  await node.start();
  await until('a node that has what it lacked', async () => (await node.height()) >= goal, 600);
  const seconds = (Date.now() - began) / 1000;
  writing = false;
  await writer;
  return { blocks: goal - from, seconds: round(seconds), others: `${Math.round(written / seconds)} writes a second` };
}

/** Bytes of a node's blocks. */
function inside(node) {
  const files = path.join(node.data, 'channels/main');
  return Number(execFileSync('du', ['-sb', files], { encoding: 'utf8' }).split('\t')[0]);
}

const report = {};
try {
  const alone = new Network(path.join(bin, 'quire'), path.join(work, 'alone'), { count: 1 });
  alone.join();
  const [single] = alone.nodes;
  await single.start();
  running.push(single.child);
  report.probes = (await load(single, ...CLOSED, '--clients', '1', '--requests', '1')).lines.filter((line) =>
    line.name.startsWith('probe: '));
  report.alone = await loops([single], [process_of(single)]);
  await single.stop();

  const brokers = new Brokers(options.libs, work);
  await brokers.start();
  running.push(...brokers.brokers.map((broker) => broker.child));
  const network = new Network(path.join(bin, 'quire'), path.join(work, 'network'), { count: 4 });
  network.ordering = ['--ordering', 'kafka', '--kafka-brokers', brokers.list];
  network.join();
  const joiner = network.nodes.pop();
  for (const node of network.nodes) {
    await node.start();
    running.push(node.child);
  }
  const [first, second, away] = network.nodes;
  for (const [at, node] of network.nodes.entries()) {
    await until('a node that takes writes', async () => (await node.put(`a${at}`, { n: 1 }, `first-${at}`)).status === 201);
  }
  const processes = network.nodes.map(process_of);
  processes.push(...brokers.brokers.map((broker) => one('brokers', () => broker.child.pid)));
  report.network = await loops(network.nodes, processes);

  away.lastHeight = await network.agree();
  await away.stop();
  const bytes = inside(away);
  let transactions = 0;
  while ((await first.height()) - away.lastHeight < Number(options.blocks)) {
    const loads = [first, second].map((node) => load(node, ...CLOSED, '--no-probes', '--clients', '8', '--requests', options.requests));
    for (const { lines } of await Promise.all(loads)) {
      transactions += lines.filter((line) => / closed loop, /.test(line.name)).reduce((all, line) => all + line.count, 0);
    }
  }
  const came = await catchUp(away, first);
  running.push(away.child);
  const verified = report.probes.find((line) => /P-256 verify/.test(line.name)).value;
  const limit = (verified * os.cpus().length) / 2;
  const rates = (found, count, size) => ({
    ...found,
    transactions: count,
    blocksPerSecond: Math.round(found.blocks / found.seconds),
    transactionsPerSecond: Math.round(count / found.seconds),
    megabytesPerSecond: round(size / found.seconds / 1e6),
    ofSignatureLimit: round(count / found.seconds / limit),
  });
  await network.agree();
  report.away = rates(came, transactions, inside(away) - bytes);
  const total = await count(first);
  const joined = await catchUp(joiner, first);
  running.push(joiner.child);
  report.joined = rates(joined, total, inside(joiner));
  network.nodes.push(joiner);
  await network.agree();
  for (const node of network.nodes) await node.stop();
  await brokers.stop();

  const git = (...args) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
  const file = {
    date: new Date().toISOString().slice(0, 10),
    commit: git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '-uno') ? '+' : ''),
    command: `node scripts/network-figures.mjs --clients ${options.clients} --requests ${options.requests} --blocks ${options.blocks}`,
    machine: `${os.cpus().length} cores of ${os.cpus()[0].model}`,
    note: 'Documents of 200 B put by REST. The nodes, the brokers and the clients share the cores. processorsUsed: processors that the processes of a kind kept busy. p50 and p99 are those of the node with the longest. ofSignatureLimit: beside two verifications a transaction on all cores at the speed of the probe.',
    ...report,
  };
  writeFileSync(options.out, `${JSON.stringify(file, null, 1)}\n`);
  console.dir(file, { depth: null });
} finally {
  for (const child of running) if (child.exitCode === null) child.kill('SIGKILL');
  rmSync(work, { recursive: true, force: true, maxRetries: 20, retryDelay: 250 });
}

/** How many transactions a channel has. */
async function count(node) {
  const text = await (await fetch(`http://${node.address}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith('ledger_transaction_count{'));
  return lines.reduce((all, line) => all + Number(line.split(' ').at(-1)), 0);
}
