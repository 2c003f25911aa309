#!/usr/bin/env node
// Sixteen clients write at three nodes while nodes and brokers are killed, stopped and unplugged, find their disks full,
// and nodes see their clocks jump. Afterwards all nodes have the same blocks, every acknowledged write is there once, and
// none that was not acknowledged is there twice.
// Needs root, for it makes namespaces of network and mounts; the clients and machines of the test are all in them.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Brokers, later, until } from './brokers.mjs';
import { Network } from './nodes.mjs';
import { Places } from './places.mjs';

const { values: options } = parseArgs({
  options: {
    quire: { type: 'string' },
    libs: { type: 'string' },
    seconds: { type: 'string', default: '120' },
    seed: { type: 'string', default: String(Date.now() % 1e9) },
    inside: { type: 'boolean' },
  },
});
if (!options.quire || !options.libs) throw new Error('--quire PATH and --libs DIR are needed');
if (!options.inside) {
  const args = [...process.argv.slice(1), '--inside', '--seed', options.seed];
  process.exit(spawnSync('unshare', ['--net', '--mount', process.execPath, ...args], { stdio: 'inherit' }).status ?? 1);
}

/** The same numbers for the same seed. */
let state = Number(options.seed) >>> 0;
function random(below) {
  state = (state + 0x6d2b79f5) >>> 0;
  let mixed = Math.imul(state ^ (state >>> 15), state | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
}
const one = (list) => list[random(list.length)];

console.log(`seed ${options.seed}, ${options.seconds} s`);
const work = mkdtempSync(path.join(os.tmpdir(), 'quire-chaos-'));
const places = new Places(work);
const place = () => places.add();
const brokers = new Brokers(options.libs, work, { place });
const network = new Network(options.quire, work, { place });
const { nodes } = network;
const began = Date.now();
const say = (text) => console.log(`${((Date.now() - began) / 1000).toFixed(1).padStart(7)}  ${text}`);
let failed = true;

/** Every write, by its key: its value, and whether it was acknowledged. */
const writes = new Map();
const answers = new Map();
let over = false;

async function client(name) {
  for (let number = 0; !over; number++) {
    const key = `c${name}-${number}`;
    const write = { value: { client: name, number }, acknowledged: false };
    writes.set(key, write);
    for (let attempt = 0; attempt < 20 && !over && !write.acknowledged; attempt++) {
      const signal = AbortSignal.timeout(8000);
      const asked = { key: `write-${key}`, body: write.value, signal };
      const answer = await one(nodes).ask('PUT', `state/chaos/${key}`, asked).catch((error) => error.name);
      const told = typeof answer === 'string' ? answer : `${answer.status} ${answer.body.code}`;
      answers.set(told, (answers.get(told) ?? 0) + 1);
      write.acknowledged = answer.status === 201;
      if (!write.acknowledged) await later(50 + random(200));
    }
  }
}

/** What can go wrong with one process; each mends itself after a while. */
const faults = {
  async kill(victim, seconds) {
    await victim.stop('SIGKILL');
    await later(seconds * 1000);
    await victim.start();
  },
  async pause(victim, seconds) {
    victim.child.kill('SIGSTOP');
    await later(seconds * 1000);
    victim.child.kill('SIGCONT');
  },
  async unplug(victim, seconds) {
    victim.machine.unplug();
    await later(seconds * 1000);
    victim.machine.plug();
  },
  /** Whoever could not write may have given up writing, and is started again once there is room. */
  async fill(victim, seconds) {
    victim.machine.disk.fill();
    await later(seconds * 1000);
    victim.machine.disk.empty();
    await victim.stop('SIGTERM');
    await victim.start();
  },
  async jump(node, seconds) {
    node.machine.clock.put(one([-7200, -90, 90, 7200]));
    await later(seconds * 1000);
    node.machine.clock.put(0);
  },
};
if (nodes.some(({ machine }) => machine.clock === undefined)) {
  console.log('**** SKIPPED: jumps of clocks, for libfaketime is not installed');
  delete faults.jump;
}

const victims = [
  ...nodes,
  ...brokers.brokers.map((broker) => ({
    name: `broker ${broker.id}`,
    machine: broker.place,
    get child() {
      return broker.child;
    },
    stop: (signal) => brokers.kill(broker, signal),
    start: () => brokers.run(broker),
  })),
];

async function misfortune(end) {
  while (Date.now() < end) {
    const fault = one(Object.keys(faults));
    const [victim, seconds] = [one(fault === 'jump' ? nodes : victims), 1 + random(12)];
    say(`${fault} ${victim.name ?? `node ${victim.place}`} for ${seconds} s`);
    await faults[fault](victim, seconds);
    await later(1000 * random(8));
  }
}

try {
  await brokers.start();
  network.ordering = ['--ordering', 'kafka', '--kafka-brokers', brokers.list, '--insecure-no-auth'];
  network.join();
  for (const node of nodes) await node.start();
  for (const node of nodes) {
    const key = `begin-${node.place}`;
    await until('a node that takes writes', async () => (await node.put(key, {}, key)).status === 201);
  }
  say('all run');
  const clients = Array.from({ length: 16 }, (_, name) => client(name));
  await misfortune(Date.now() + Number(options.seconds) * 1000);
  say('no more misfortune');
  for (const node of nodes) {
    const key = `end-${node.place}`;
    await until('a node that takes writes again', async () => (await node.put(key, {}, key)).status === 201, 120);
  }
  over = true;
  await Promise.all(clients);
  const height = await network.agree();
  say(`${height} blocks on all nodes: ${JSON.stringify(Object.fromEntries(answers))}`);

  let [acknowledged, others, there] = [0, 0, 0];
  for (const [key, write] of writes) {
    const found = await nodes[acknowledged % 3].ask('GET', `history/chaos/${key}`);
    const times = found.status === 404 ? 0 : found.body.entries.length;
    if (write.acknowledged) {
      acknowledged += 1;
      assert.equal(times, 1, `${key} was acknowledged, and is there ${times} times`);
    } else {
      others += 1;
      there += times;
      assert.ok(times <= 1, `${key} is there ${times} times`);
    }
  }
  say(`${acknowledged} writes were acknowledged, and each is there once; of ${others} others ${there} are there, once`);
  assert.ok(acknowledged > 100, 'the clients wrote');
  for (const node of nodes) assert.equal(await node.stop(), 0);
  for (const node of nodes) assert.match(node.check(), /sound/);
  say('every node is sound');
  failed = false;
} finally {
  for (const node of nodes) if (node.child?.exitCode === null) await node.stop('SIGKILL');
  await brokers.stop();
  places.remove();
  if (failed) {
    for (const node of nodes) if (node.log) console.error(readFileSync(node.log, 'utf8').slice(-3000));
    console.error(`what they left is in ${work}`);
  } else rmSync(work, { recursive: true });
}
