#!/usr/bin/env node
// Three nodes whose channel a topic of a real Apache Kafka orders: they make the same blocks, whoever writes where and
// whoever dies, and tell by name what is wrong with a topic.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Brokers, until } from './brokers.mjs';
import { Network } from './nodes.mjs';

const { values: options } = parseArgs({ options: { quire: { type: 'string' }, libs: { type: 'string' } } });
if (!options.quire || !options.libs) throw new Error('--quire PATH and --libs DIR are needed');

const work = mkdtempSync(path.join(os.tmpdir(), 'quire-kafka-'));
/** Nobody uses the brokers without a password. */
const SASL = {
  'listener.security.protocol.map': 'PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT',
  'inter.broker.listener.name': 'PLAINTEXT',
  'sasl.enabled.mechanisms': 'PLAIN',
  'sasl.mechanism.inter.broker.protocol': 'PLAIN',
  'listener.name.plaintext.plain.sasl.jaas.config':
    'org.apache.kafka.common.security.plain.PlainLoginModule required ' +
    'username="admin" password="of brokers" user_admin="of brokers" user_quire="of = nodes";',
};
const credentials = (password) => {
  const file = path.join(work, `${password.length}.properties`);
  const lines = ['# how the brokers are reached', 'security.protocol=SASL_PLAINTEXT', 'sasl.mechanism=PLAIN'];
  writeFileSync(file, [...lines, 'sasl.username=quire', `sasl.password=${password}`, ''].join('\n'));
  return ['--kafka-config', file];
};
const brokers = new Brokers(options.libs, work, { settings: SASL });
const network = new Network(options.quire, work, { count: 4 });
const late = network.nodes.pop();
const [first, second, third] = network.nodes;
let failed = true;

/** Writes a document, again until it is there. */
async function written(node, key) {
  await until(`a write of ${key}`, async () => (await node.put(key, { key }, `write-${key}`)).status === 201);
}

const health_of = async (node) => (await fetch(`http://${node.address}/healthz`)).text();

try {
  await brokers.start();
  const kafka = ['--ordering', 'kafka', '--kafka-brokers', brokers.list];
  network.ordering = [...kafka, ...credentials('of = nodes')];
  network.join();
  for (const node of network.nodes) await node.start();
  await until('a channel that takes writes', async () => (await first.put('a', { n: 1 }, 'first')).status === 201);
  const read = await until('the write at the others', async () => {
    const there = await second.ask('GET', 'state/orders/a');
    return there.status === 200 && there;
  });
  assert.deepEqual(read.body, { n: 1 });
  console.log('ok  what one node writes, the others read');

  const again = await until('the same write at the third', async () => {
    const answer = await third.put('a', { n: 1 }, 'first');
    // It may have found its topic a moment later than the others.
    return answer.status !== 503 && answer;
  });
  assert.equal(again.status, 201, JSON.stringify(again));
  assert.equal((await third.put('a', { n: 2 }, 'first')).body.code, 'IDEMPOTENCY_KEY_REUSED');
  const height = await network.agree();
  assert.equal(height, 2, 'the retry at another node made no block');
  console.log('ok  a retry that reaches another node is answered there, and applied once');

  await Promise.all(Array.from({ length: 300 }, (_, i) => written(network.nodes[i % 3], `k${i}`)));
  console.log(`ok  300 writes at three nodes are in the same ${await network.agree()} blocks on all`);

  await third.stop('SIGKILL');
  await Promise.all(Array.from({ length: 100 }, (_, i) => written(network.nodes[i % 2], `gone${i}`)));
  await third.start();
  const caught = await network.agree();
  assert.equal((await third.ask('GET', 'state/orders/gone99')).status, 200);
  console.log(`ok  a node that was killed reads on where its newest block ends, up to block ${caught - 1}`);

  network.nodes.push(late);
  late.join(path.join(work, 'main.block'));
  await late.start();
  await network.agree();
  await written(late, 'late');
  console.log('ok  a node that joins later makes the same blocks from the first one on');

  const [one, two] = brokers.brokers;
  await brokers.kill(one);
  await until('a write without one broker', async () => (await first.put('less', {}, 'less')).status === 201);
  console.log('ok  one broker of three may die');

  await brokers.kill(two);
  const refused = await until('a refusal', async () => {
    const answer = await second.put(`none${Date.now()}`, {});
    return answer.body.code === 'ORDERER_UNAVAILABLE' && answer;
  }, 120);
  assert.equal(refused.status, 503);
  assert.equal((await second.ask('GET', 'state/orders/gone99')).status, 200);
  const health = await (await fetch(`http://${second.address}/healthz`)).json();
  assert.match(JSON.stringify(health), /the order cannot be reached/);
  console.log('ok  without a majority of brokers, writes are refused and told why, and reads go on');

  brokers.run(one);
  brokers.run(two);
  for (const node of network.nodes) {
    await until('writes again', async () => (await node.put(`back${node.place}`, {}, `back-${node.place}`)).status === 201, 120);
  }
  await network.agree();
  console.log('ok  when the brokers are back, writes go on by themselves');

  for (const node of network.nodes) assert.equal(await node.stop(), 0);
  for (const node of network.nodes) assert.match(node.check(), /sound/);
  console.log('ok  they stop when told to, and what each has is sound');

  network.ordering = [];
  await assert.rejects(first.start(), /main is ordered by a topic of Kafka[^]*--ordering kafka/);
  assert.equal(await first.ended, 2);
  console.log('ok  no node orders such a channel by itself');

  network.ordering = [...kafka, ...credentials('guessed')];
  await first.start();
  await until('a password that is refused', async () => /[Aa]uthentication/.test(await health_of(first)));
  assert.equal((await first.put('b', {})).body.code, 'ORDERER_UNAVAILABLE');
  await first.stop();
  console.log('ok  a password that the brokers do not know is told by name');

  network.ordering = [...kafka, ...credentials('of = nodes')];
  await brokers.forget();
  await second.start();
  await until('a topic that is missing', async () => /have no topic main, but block \d+ ends/.test(await health_of(second)));
  const stranger = new Network(options.quire, path.join(work, 'other'), { count: 1, ordering: network.ordering });
  stranger.join();
  await stranger.nodes[0].start();
  await until('a write of others', async () => (await stranger.nodes[0].put('a', {}, 'a')).status === 201);
  await second.stop();
  await second.start();
  await until('a topic of others', async () => /made anew|does not hold/.test(await health_of(second)));
  await second.stop();
  await stranger.nodes[0].stop();
  console.log('ok  a topic that was lost, or that others made anew, is told by name');
  failed = false;
} finally {
  for (const node of network.nodes) if (node.child) await node.stop();
  await brokers.stop();
  if (failed) {
    for (const node of network.nodes) if (node.log) console.error(readFileSync(node.log, 'utf8').slice(-3000));
  } else rmSync(work, { recursive: true });
}
