#!/usr/bin/env node
// A hostile caller of gRPC: messages that are none, in every way and for every method; streams that are reset, that
// never end and that are never read. Each call ends with a status, memory stays within a bound, and the node goes on.

import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { createPrivateKey } from 'node:crypto';
import { readFileSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import * as grpc from '@grpc/grpc-js';
import { connect as connectGateway, hash, signers } from '@hyperledger/fabric-gateway';
import { Node } from './node.mjs';

const { values: options } = parseArgs({
  options: { quire: { type: 'string' }, seed: { type: 'string', default: '1' } },
});
if (!options.quire) throw new Error('--quire PATH is needed');

const UNARY = [
  '/gateway.Gateway/Evaluate',
  '/gateway.Gateway/Endorse',
  '/gateway.Gateway/Submit',
  '/gateway.Gateway/CommitStatus',
  '/protos.Endorser/ProcessProposal',
  '/discovery.Discovery/Discover',
  '/grpc.health.v1.Health/Check',
];
const STREAMS = [
  '/gateway.Gateway/ChaincodeEvents',
  '/protos.Deliver/Deliver',
  '/protos.Deliver/DeliverFiltered',
  '/protos.Deliver/DeliverWithPrivateData',
  '/orderer.AtomicBroadcast/Deliver',
  '/orderer.AtomicBroadcast/Broadcast',
  '/grpc.health.v1.Health/Watch',
];
/** Names of gRPC's codes that a call of nonsense may end with. */
const CODES = { 0: 'OK', 2: 'UNKNOWN', 3: 'INVALID_ARGUMENT', 4: 'DEADLINE_EXCEEDED', 5: 'NOT_FOUND', 7: 'PERMISSION_DENIED', 8: 'RESOURCE_EXHAUSTED', 9: 'FAILED_PRECONDITION', 10: 'ABORTED', 11: 'OUT_OF_RANGE', 12: 'UNIMPLEMENTED', 13: 'INTERNAL', 14: 'UNAVAILABLE' };
const MEMORY_MIB = 600;

const node = new Node(options.quire, '--body-timeout', '3', '--memory-budget', String(256 << 20));
await node.start();
const memory = (of = node) => {
  const text = readFileSync(`/proc/${of.child.pid}/status`, 'utf8');
  return Number(text.match(/VmRSS:\s+(\d+) kB/)[1]) / 1024;
};
let most = 0;
const looked = setInterval(() => {
  most = Math.max(most, memory());
}, 100);

// A generator of Park and Miller: the same calls for the same seed.
let state = Number(options.seed);
const random = (below) => {
  state = (state * 48271) % 2147483647;
  return state % below;
};

const connect = (to = node) =>
  new Promise((resolve, reject) => {
    const session = http2.connect(`http://${to.grpc}`, { maxSessionMemory: 1000 });
    session.on('error', reject);
    session.on('connect', () => resolve(session));
  });

/** Sends bytes as a call, and answers how it ended: a code of gRPC, or what happened to the stream. */
function call(session, path, body, { headers = {}, end = true } = {}) {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    const timer = setTimeout(() => reject(new Error(`${path} has no end: ${body.subarray(0, 40).toString('hex')}`)), 20_000);
    let code;
    const take = (fields) => {
      if (fields['grpc-status'] !== undefined) code = Number(fields['grpc-status']);
      else if (fields[':status'] !== undefined && fields[':status'] !== 200) code = `http ${fields[':status']}`;
    };
    stream.on('response', take);
    stream.on('trailers', take);
    stream.on('data', () => {});
    stream.on('error', (error) => {
      code ??= error.message;
    });
    stream.on('close', () => {
      clearTimeout(timer);
      resolve(code ?? `reset ${stream.rstCode}`);
    });
    if (end) stream.end(body);
    else stream.write(body);
  });
}

/** A message in gRPC's frame. */
function frame(message, { length = message.length, compressed = 0 } = {}) {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed, 0);
  head.writeUInt32BE(length >>> 0, 1);
  return Buffer.concat([head, message]);
}
const noise = (length) => Buffer.from(Array.from({ length }, () => random(256)));

/** A message of fields that are messages of fields, as deep as asked. */
function nested(depth) {
  let message = Buffer.from([0x0a, 0x00]);
  for (let level = 0; level < depth; level++) {
    const length = [];
    for (let rest = message.length; ; rest >>>= 7) {
      length.push(rest < 128 ? rest : (rest & 127) | 128);
      if (rest < 128) break;
    }
    message = Buffer.concat([Buffer.from([0x1a, ...length]), message]);
  }
  return message;
}

const nonsense = [
  ['nothing', () => Buffer.alloc(0)],
  ['an empty message', () => frame(Buffer.alloc(0))],
  ['no frame', () => noise(64)],
  ['a frame that is longer than said', () => frame(noise(10), { length: 4 })],
  ['a frame that breaks off', () => frame(noise(10), { length: 4000 })],
  ['a frame of four gigabytes', () => frame(noise(10), { length: 0xffffffff })],
  ['a compressed frame', () => frame(noise(64), { compressed: 1 })],
  ['a flag that there is not', () => frame(noise(64), { compressed: 7 })],
  ['noise', () => frame(noise(1 + random(300)))],
  ['two messages', () => Buffer.concat([frame(nested(3)), frame(nested(3))])],
  ['a deep message', () => frame(nested(5000))],
  ['text', () => frame(Buffer.from('GET / HTTP/1.1\r\n\r\n'))],
];

const session = await connect();
const ended = new Map();
for (const path of [...UNARY, ...STREAMS, '/nosuch.Service/Method', '/', '/gateway.Gateway/']) {
  for (const [what, make] of nonsense) {
    // A good question of Watch has no end of its own.
    const headers = STREAMS.includes(path) ? { 'grpc-timeout': '500m' } : {};
    for (let round = 0; round < (what === 'noise' ? 30 : 1); round++) {
      const code = await call(session, path, make(), { headers });
      assert.ok(code in CODES, `${path}, ${what}: ended with ${code}`);
      ended.set(CODES[code], (ended.get(CODES[code]) ?? 0) + 1);
    }
  }
}
console.log(`ok  nonsense ends with a status: ${[...ended].map(([name, count]) => `${name} ${count}`).join(', ')}`);

for (const [headers, expected] of [
  [{ 'content-type': 'application/json' }, 'http 415'],
  [{ 'grpc-timeout': 'soon' }, 0],
  [{ 'grpc-timeout': '99999999H' }, 0],
  [{ 'grpc-encoding': 'nosuch' }, 12],
]) {
  const code = await call(session, '/grpc.health.v1.Health/Check', frame(Buffer.alloc(0)), { headers });
  assert.equal(code, expected, JSON.stringify(headers));
}
console.log('ok  headers that are wrong are answered');

{
  // More than the memory for requests, of callers who never finish.
  const sessions = await Promise.all(Array.from({ length: 8 }, () => connect()));
  const calls = [];
  for (const one of sessions) {
    one.on('error', () => {});
    for (let stream = 0; stream < 8; stream++) {
      const body = frame(Buffer.alloc(8 << 20), { length: 90 << 20 });
      calls.push(call(one, '/gateway.Gateway/Submit', body, { end: false, headers: { 'grpc-timeout': '4S' } }));
    }
  }
  const codes = await Promise.all(calls);
  const refused = codes.filter((code) => code === 8).length;
  assert.ok(codes.every((code) => code in CODES), `${codes}`);
  assert.ok(refused > 0, `nobody was refused: ${codes}`);
  sessions.forEach((one) => one.destroy());
  console.log(`ok  64 requests of 90 MiB that never end: ${refused} refused for memory, the others by their deadline`);
}

{
  // More calls than the node works on at a time, whose requests never come.
  const sessions = await Promise.all(Array.from({ length: 3 }, () => connect()));
  const calls = [];
  for (const one of sessions) {
    for (let count = 0; count < 800; count++) calls.push(call(one, '/gateway.Gateway/Evaluate', Buffer.alloc(0), { end: false }));
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(await call(session, '/gateway.Gateway/Evaluate', frame(Buffer.alloc(0))), 3);
  assert.equal(await call(session, '/grpc.health.v1.Health/Check', frame(Buffer.alloc(0))), 0);
  const codes = await Promise.all(calls);
  assert.ok(codes.every((code) => code === 4), `${[...new Set(codes)]}`);
  sessions.forEach((one) => one.destroy());
  console.log('ok  2,400 calls whose requests never come take nobody’s place, and end');
}

{
  // Ten thousand streams that do nothing.
  const sessions = await Promise.all(Array.from({ length: 40 }, () => connect()));
  let open = 0;
  let refused = 0;
  const streams = [];
  for (const one of sessions) {
    one.on('error', () => {});
    for (let count = 0; count < 250; count++) {
      const stream = one.request({
        ':method': 'POST',
        ':path': '/grpc.health.v1.Health/Watch',
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      stream.on('error', () => {});
      streams.push(
        new Promise((resolve) => {
          stream.on('response', (fields) => {
            if (fields['grpc-status'] === '8') refused += 1;
            else open += 1;
            resolve();
          });
        }),
      );
      stream.on('data', () => {});
      stream.end(frame(Buffer.alloc(0)));
    }
  }
  await Promise.all(streams);
  assert.equal(open + refused, 10_000);
  assert.ok(open >= 4000 && refused > 0, `${open} open, ${refused} refused`);
  assert.equal(await call(session, '/grpc.health.v1.Health/Check', frame(Buffer.alloc(0))), 0);
  sessions.forEach((one) => one.destroy());
  console.log(`ok  10,000 idle streams: ${open} open, ${refused} refused`);
}

{
  // Streams that are reset as soon as they are asked for.
  const one = await connect();
  let broken = false;
  one.on('error', () => {
    broken = true;
  });
  for (let count = 0; count < 5000 && !broken && !one.destroyed; count++) {
    const stream = one.request({ ':method': 'POST', ':path': UNARY[count % UNARY.length], 'content-type': 'application/grpc' });
    stream.on('error', () => {});
    stream.write(frame(noise(50), { length: 100 }));
    stream.close(http2.constants.NGHTTP2_CANCEL);
    if (count % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  one.destroy();
  assert.equal(await call(session, '/grpc.health.v1.Health/Check', frame(Buffer.alloc(0))), 0);
  console.log('ok  5,000 streams that are reset at once');
}

/** A request for all blocks, signed. */
async function seek(to) {
  const folder = path.join(to.data, 'identities', 'client', 'msp');
  const only = (name) => readFileSync(path.join(folder, name, readdirSync(path.join(folder, name))[0]));
  const client = new grpc.Client(to.grpc, grpc.credentials.createInsecure());
  const gateway = connectGateway({
    client,
    hash: hash.sha256,
    identity: { mspId: 'QuireMSP', credentials: only('signcerts') },
    signer: signers.newPrivateKeySigner(createPrivateKey(only('keystore'))),
  });
  const unsigned = gateway.getNetwork('main').newBlockEventsRequest({ startBlock: 0n });
  const signature = await signers.newPrivateKeySigner(createPrivateKey(only('keystore')))(unsigned.getDigest());
  const signed = gateway.newSignedBlockEventsRequest(unsigned.getBytes(), signature).getBytes();
  gateway.close();
  client.close();
  return Buffer.from(signed);
}

{
  // Readers who ask for all blocks, and take none: less than a block is on its way to each.
  const slow = new Node(options.quire, '--stall-timeout', '3');
  await slow.start();
  for (let count = 0; count < 20; count++) {
    const put = await fetch(`${slow.url}/v1/channels/main/state/large/${count}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ text: 'x'.repeat(500_000) }),
    });
    assert.equal(put.status, 201);
  }
  const before = memory(slow);
  const request = frame(await seek(slow));
  const sessions = await Promise.all(Array.from({ length: 50 }, () => connect(slow)));
  const cut = sessions.map((one) => {
    one.on('error', () => {});
    const stream = one.request({
      ':method': 'POST',
      ':path': '/protos.Deliver/Deliver',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => {});
    stream.write(request);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('a reader who never reads is not cut off')), 30_000);
      one.on('close', () => resolve(clearTimeout(timer)));
    });
  });
  await Promise.all(cut);
  const metrics = await (await fetch(`${slow.url}/metrics`)).text();
  const count = Number(metrics.match(/^quire_connections_cut_off_total (\d+)/m)[1]);
  assert.ok(count >= 50, `${count} were cut off`);
  const more = memory(slow) - before;
  assert.ok(more < 200, `they took ${more.toFixed()} MiB`);
  await slow.stop('SIGTERM');
  assert.equal(slow.child.exitCode, 0);
  rmSync(slow.work, { recursive: true });
  console.log('ok  50 readers of blocks who never read are cut off');
}

session.destroy();
const fresh = await connect();
assert.equal(await call(fresh, '/grpc.health.v1.Health/Check', frame(Buffer.alloc(0))), 0);
fresh.destroy();
clearInterval(looked);
assert.ok(most < MEMORY_MIB, `the node took ${most.toFixed()} MiB`);
console.log(`ok  the node took ${most.toFixed()} MiB at most, and goes on`);
await node.stop('SIGTERM');
assert.equal(node.child.exitCode, 0);
rmSync(node.work, { recursive: true });
