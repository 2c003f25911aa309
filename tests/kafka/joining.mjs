#!/usr/bin/env node
// From one node to a network, as its operator does it: the first node makes its organisation by itself, others join it by
// `quire join` and are replaced, callers move by `quire identity export` and `import`, and each node is stopped and started
// in its turn while a client goes on writing.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { freePort } from '../ports.mjs';
import { Brokers, later, until } from './brokers.mjs';

const { values: options } = parseArgs({
  options: {
    quire: { type: 'string' },
    libs: { type: 'string' },
    // The folder of a chaincode, with what npm installs for it.
    chaincode: { type: 'string' },
  },
});
if (!options.quire || !options.libs) throw new Error('--quire PATH and --libs DIR are needed');
const quire = path.resolve(options.quire);
const work = mkdtempSync(path.join(os.tmpdir(), 'quire-joining-'));
const file = (name, content) => {
  const at = path.join(work, name);
  if (content !== undefined) writeFileSync(at, content);
  return at;
};

/** Runs a command, and returns what it printed; one that fails throws what it said. */
async function run(...args) {
  return (await promisify(execFile)(quire, args)).stdout.trim();
}

/** A command that is refused: what it said. */
async function refused(...args) {
  const failed = await run(...args).then((printed) => assert.fail(`${args.join(' ')}: ${printed}`), (error) => error);
  assert.equal(failed.code, 2, failed.stderr);
  return failed.stderr;
}

class Node {
  constructor(name) {
    this.name = name;
    this.data = path.join(work, name);
    this.starts = 0;
  }

  get at() {
    return ['--data', this.data];
  }

  /** Starts it with the flags that `quire join` named, or those of the first node. */
  async start(...flags) {
    if (flags.length > 0) this.flags = flags;
    this.starts += 1;
    this.log = path.join(work, `${this.name}-${this.starts}.log`);
    const output = openSync(this.log, 'w');
    this.address ??= `127.0.0.1:${await freePort()}`;
    const listen = ['--listen', this.address, '--grpc-listen', 'none'];
    this.child = spawn(quire, ['run', ...this.at, ...this.flags, ...listen], { stdio: ['ignore', output, output] });
    this.ended = new Promise((resolve) => this.child.on('exit', resolve));
    await until(`${this.name} listens`, () => {
      const text = readFileSync(this.log, 'utf8');
      assert.equal(this.child.exitCode, null, text);
      return text.includes(` is listening on ${this.url}`);
    });
  }

  get url() {
    return `http://${this.address}`;
  }

  async stop(signal = 'SIGTERM') {
    this.child.kill(signal);
    return this.ended;
  }

  async ask(method, where, { key, body, token = this.token } = {}) {
    const response = await fetch(`${this.url}/v1/channels/main${where && `/${where}`}`, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
  }

  put(key, document, idempotencyKey = `write-${key}`) {
    return this.ask('PUT', `state/orders/${key}`, { key: idempotencyKey, body: document });
  }

  async height() {
    return (await this.ask('GET', '')).body?.height;
  }

  invite(name) {
    return run('org', 'invite', name, ...this.at);
  }

  /** Joins, and starts as it is told to. */
  async join(first, { token, more = [], before = () => {} } = {}) {
    const invitation = file(`${this.name}.invitation`, token ?? (await first.invite(this.name)));
    const told = await run('join', first.url, '--token-file', invitation, ...this.at, ...more);
    await before();
    const [, line] = told.match(/Start it:\n {2}quire run --data \S+ (.*)/);
    await this.start(...line.split(' '));
  }
}

/** Writes, at this node or else at the next, until it is acknowledged. */
async function written(nodes, key, document) {
  let place = 0;
  await until(`a write of ${key}`, async () => {
    const node = nodes[place++ % nodes.length];
    const { status } = await node.put(key, document);
    return status === 201;
  });
}

/** Waits until all have as many blocks; they must be the same. */
async function agree(nodes) {
  const height = await until('nodes of one height', async () => {
    const heights = await Promise.all(nodes.map((node) => node.height()));
    return heights.every((height) => height === heights[0]) && heights[0];
  });
  for (let number = 0; number < height; number++) {
    const blocks = await Promise.all(nodes.map((node) => node.ask('GET', `blocks/${number}`)));
    const [one, ...others] = blocks.map(({ body }) => [body.hash, body.metadata.commitHash]);
    for (const other of others) assert.deepEqual(other, one, `block ${number}`);
  }
  return height;
}

const brokers = new Brokers(options.libs, work, { count: 1 });
const [first, second, third, fourth] = ['node1', 'node2', 'node3', 'node4'].map((name) => new Node(name));
const passphrase = ['--passphrase-file', file('passphrase', 'correct horse battery\n')];
let failed = true;

try {
  await brokers.start();
  const alone = new Node('alone');
  await alone.start('--ordering', 'embedded');
  assert.match(await refused('org', 'invite', 'x', ...alone.at), /orders its channels by itself/);
  await alone.stop();
  assert.match(await refused('org', 'invite', 'x', ...alone.at), /Invitations are a running node's/);
  console.log('ok  a node that orders by itself invites nobody');

  await first.start('--ordering', 'kafka', '--kafka-brokers', brokers.list);
  await written([first], 'a', { n: 1 });
  const sealed = file('callers.pem');
  await run('identity', 'export', sealed, ...passphrase, ...first.at);
  const guess = file('guess', 'correct house battery');
  const token = await first.invite('node2');
  const joining = [first.url, '--token', token, ...second.at];
  assert.match(await refused('join', first.url, '--token', 'quire_join_x', ...second.at), /401 UNAUTHENTICATED/);
  const wrong = ['--identities', sealed, '--passphrase-file', guess];
  assert.match(await refused('join', ...joining, ...wrong), /passphrase is not the one/);
  assert.match(await refused('join', ...joining, '--channel', 'none'), /404 CHANNEL_NOT_FOUND/);
  assert.match(await refused('run', ...second.at), /has not yet joined.*[^]*quire join/);
  const narrow = await run('org', 'invite', 'node5', '--channel', 'main', ...first.at);
  const beyond = await refused('join', first.url, '--token', narrow, ...third.at, '--channel', 'other');
  assert.match(beyond, /403 FORBIDDEN.*not for channel other/);
  assert.doesNotMatch(beyond, /somebody else has the token/);
  rmSync(third.data, { recursive: true });
  await second.join(first, { token, more: ['--identities', sealed, ...passphrase] });
  await agree([first, second]);
  assert.match(await refused('join', first.url, '--token', token, ...third.at), /403 INVITATION_USED.*another node/);
  rmSync(third.data, { recursive: true });
  console.log('ok  a node joins by an invitation, which no other node can use');

  const there = await until('the write at the second', async () => {
    const answer = await second.put('a', { n: 1 });
    return answer.status !== 503 && answer;
  });
  const here = await first.put('a', { n: 1 });
  assert.deepEqual([there.status, there.body.transactionId], [201, here.body.transactionId]);
  assert.equal((await second.put('a', { n: 2 })).body.code, 'IDEMPOTENCY_KEY_REUSED');
  assert.equal(await agree([first, second]), 2);
  console.log('ok  a key of a caller without a token, retried at the other node, is the same transaction');

  const caller = (node) => run('token', 'create', '--identity', 'shop', '--role', 'writer', ...node.at);
  first.token = await caller(first);
  const ordered = await first.put('b', { n: 1 });
  assert.equal(ordered.status, 201);
  assert.match(await refused('token', 'create', '--identity', 'shop', '--role', 'writer', ...second.at), /identity import/);
  await run('identity', 'export', sealed, 'shop', ...passphrase, ...first.at);
  const content = readFileSync(sealed, 'utf8');
  const bytes = Buffer.from(content.split('\n').slice(1, -2).join(''), 'base64');
  bytes[60] ^= 1;
  const lines = bytes.toString('base64').replace(/.{64}/g, '$&\n');
  const flipped = file('flipped.pem', `-----BEGIN QUIRE IDENTITIES-----\n${lines}\n-----END QUIRE IDENTITIES-----\n`);
  const cut = file('cut.pem', content.slice(0, 300));
  const take = (sealed, ...more) => ['identity', 'import', sealed, ...(more.length > 0 ? more : passphrase), ...second.at];
  assert.match(await refused(...take(flipped)), /it was cut, or changed/);
  assert.match(await refused(...take(cut)), /it was cut, or changed/);
  assert.match(await refused(...take(sealed, '--passphrase-file', guess)), /passphrase is not the one/);
  const strangers = file('strangers.pem');
  await run('identity', 'export', strangers, ...passphrase, ...alone.at);
  assert.match(await refused(...take(strangers)), /none of this node's organisation/);
  assert.ok(!existsSync(path.join(second.data, 'identities', 'shop')), 'nothing was imported');
  assert.match(await run(...take(sealed)), /^1 imported: shop/);
  assert.match(await run(...take(sealed)), /1 were there already: shop/);
  second.token = await caller(second);
  const retried = await second.put('b', { n: 1 });
  assert.deepEqual([retried.status, retried.body.transactionId], [201, ordered.body.transactionId]);
  assert.equal(await agree([first, second]), 3);
  console.log('ok  an identity that was sealed and imported retries its keys at the other node; a wrong file changes nothing');

  if (options.chaincode) {
    const deploy = (node) => run('chaincode', 'deploy', 'transfers', path.resolve(options.chaincode), ...node.at);
    const runs = async (node) => (await node.ask('GET', 'chaincodes')).body.chaincodes?.[0]?.isRunning;
    await deploy(first);
    await until('the definition at the second', async () => (await second.height()) === (await first.height()));
    assert.equal(await runs(second), false, 'its package is not installed there');
    assert.match(await deploy(second), /is deployed/);
    await agree([first, second]);
    for (const node of [first, second]) await until(`the chaincode at ${node.name}`, () => runs(node));
    const height = await first.height();
    for (const [place, node] of [first, second].entries()) {
      const call = { chaincode: 'transfers', function: 'OpenAccount', args: [`account${place}`, '100'] };
      const called = await node.ask('POST', 'transactions', { key: `open-${place}`, body: call });
      assert.equal(called.status, 201, JSON.stringify(called.body));
    }
    assert.equal(await agree([first, second]), height + 2, 'the second approved nothing anew');
    console.log('ok  a chaincode that one node of an organisation approved runs at the other when its package is installed there');
  }

  // The command is killed later and later, until it is done before it is killed.
  const invitation = file('node3.invitation', await first.invite('node3'));
  let kills = 0;
  for (let ms = 5; ; ms += 7) {
    const child = spawn(quire, ['join', first.url, '--token-file', invitation, ...third.at], { stdio: 'ignore' });
    const ended = new Promise((resolve) => child.on('exit', resolve));
    const over = await Promise.race([ended, later(ms)]);
    child.kill('SIGKILL');
    await ended;
    if (over === 0) break;
    kills += 1;
  }
  assert.ok(kills > 0);
  await third.join(first, {
    token: readFileSync(invitation, 'utf8'),
    more: ['--identities', sealed, ...passphrase],
    before: async () => {
      assert.match(await refused('run', ...third.at, ...first.flags), /tokens.json[^]*quire token create/);
      third.token = await caller(third);
    },
  });
  await agree([first, second, third]);
  assert.deepEqual(readdirSync(third.data).filter((name) => name.includes('joining')), []);
  console.log(`ok  a node whose joining was killed ${kills} times has joined in the end`);

  const nodes = [first, second, third];
  await Promise.all(Array.from({ length: 150 }, (_, i) => written([nodes[i % 3]], `k${i}`, { i })));
  await second.stop('SIGKILL');
  await Promise.all(Array.from({ length: 50 }, (_, i) => written([first, third], `gone${i}`, { i })));
  rmSync(second.data, { recursive: true });
  await fourth.join(first);
  await run('identity', 'import', sealed, ...passphrase, ...fourth.at);
  fourth.token = await caller(fourth);
  const now = [first, third, fourth];
  console.log(`ok  a node whose disk is lost is replaced by another, up to block ${(await agree(now)) - 1}`);

  // One after the other is stopped and started, as for another release, while a client goes on.
  let over = false;
  let writes = 0;
  const client = (async () => {
    for (; !over; writes++) {
      await written([...now.slice(writes % 3), ...now], `rolling${writes}`, { writes }).catch((error) => {
        over = true;
        throw error;
      });
    }
  })();
  for (const node of now) {
    assert.equal(await node.stop(), 0);
    await node.start();
    await until(`${node.name} is ready`, async () => (await fetch(`${node.url}/readyz`)).status === 200);
    const key = `after-${node.name}`;
    await written([node], key, {});
  }
  over = true;
  await client;
  await agree(now);
  for (let i = 0; i < writes; i++) {
    const { body } = await fourth.ask('GET', `history/orders/rolling${i}`);
    assert.equal(body.entries.length, 1, `rolling${i} is there once`);
  }
  console.log(`ok  each node is stopped and started in its turn, and ${writes} writes of a client meanwhile are there once`);

  for (const node of now) assert.equal(await node.stop(), 0);
  for (const node of now) {
    assert.match(await run('check', ...node.at, '--signatures', '--revalidate'), /sound/);
  }
  console.log('ok  what each has is sound');
  failed = false;
} finally {
  for (const node of [first, second, third, fourth]) if (node.child?.exitCode === null) await node.stop('SIGKILL');
  await brokers.stop();
  if (failed) {
    for (const node of [first, second, third, fourth]) if (node.log) console.error(readFileSync(node.log, 'utf8').slice(-3000));
    console.error(`what they left is in ${work}`);
  } else rmSync(work, { recursive: true });
}
