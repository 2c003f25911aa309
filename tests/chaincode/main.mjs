#!/usr/bin/env node
// Chaincode on npm's fabric-shim, unchanged, in a node: deployed by one command, called over HTTP, upgraded, killed,
// stopped and slow; through a kill of the node; and one that dials the node by itself, and one that is dialled.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { freePort } from '../ports.mjs';

const { values: options } = parseArgs({ options: { quire: { type: 'string' } } });
if (!options.quire) throw new Error('--quire PATH is needed');

const here = path.dirname(fileURLToPath(import.meta.url));
const work = mkdtempSync(path.join(os.tmpdir(), 'quire-chaincode-'));
const data = path.join(work, 'data');
// A thousand calls at a time keep a process of Node busy for seconds.
const TIMEOUT_SECONDS = 10;

let node;
let starts = 0;
async function start() {
  starts += 1;
  const log = path.join(work, `node-${starts}.log`);
  const output = openSync(log, 'w');
  const args = ['run', '--data', data, '--listen', '127.0.0.1:0', '--chaincode-listen', '127.0.0.1:0'];
  const child = spawn(options.quire, [...args, '--chaincode-timeout', String(TIMEOUT_SECONDS)], {
    stdio: ['ignore', output, output],
  });
  const ended = new Promise((resolve) => child.on('exit', resolve));
  await until('the node to start', () => {
    assert.equal(child.exitCode, null, readFileSync(log, 'utf8'));
    const text = readFileSync(log, 'utf8');
    const api = text.match(/Quire \S+ is listening on (http:\/\/127\.0\.0\.1:\d+)/)?.[1];
    const chaincodes = text.match(/chaincodes may dial (127\.0\.0\.1:\d+)/)?.[1];
    if (api && chaincodes) node = { child, ended, chaincodes, log, url: `${api}/v1/channels/main` };
    return api && chaincodes;
  });
}

async function stop(signal) {
  node.child.kill(signal);
  await node.ended;
}

/** Waits until something holds, a minute at most. */
async function until(what, holds) {
  for (let waited = 0; waited < 600; waited++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`waited in vain for ${what}\n${node ? readFileSync(node.log, 'utf8').slice(-4000) : ''}`);
}

function quire(...args) {
  const done = spawnSync(options.quire, ['chaincode', ...args, '--data', data], { encoding: 'utf8' });
  assert.equal(done.status, 0, done.stderr);
  return done.stdout;
}

/** What a channel defines: [name, sequence, version, package, whether it runs]. */
const listed = () => quire('list').trimEnd().split('\n').map((line) => line.split('\t'));
const runs = (name) => until(`${name} to run`, () => listed().some((row) => row[0] === name && row[4] === 'runs'));

async function call(kind, chaincode, name, ...args) {
  const response = await fetch(`${node.url}/${kind}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ chaincode, function: name, args }),
  });
  const body = await response.json();
  // A result that is no JSON comes as its bytes.
  if (body.resultBase64 !== undefined) body.result = Buffer.from(body.resultBase64, 'base64').toString();
  return { status: response.status, body };
}
async function submitted(...of) {
  const { status, body } = await call('transactions', ...of);
  assert.equal(status, 201, JSON.stringify(body));
  return body.result;
}
async function refused(status, code, ...of) {
  const { status: found, body } = await call(...of);
  assert.deepEqual([found, body.code], [status, code], JSON.stringify(body));
  return body.detail;
}

/** How often each of some texts is there. */
function counted(texts) {
  const counts = {};
  for (const text of texts) counts[text] = (counts[text] ?? 0) + 1;
  return counts;
}

/** What the node has in memory. */
function residentMiB() {
  const kib = spawnSync('ps', ['-o', 'rss=', '-p', String(node.child.pid)], { encoding: 'utf8' }).stdout;
  return Number(kib) / 1024;
}

/** How many calls the chaincode `odd` has said that it has begun and will not end. */
function stallsSeen() {
  return readFileSync(node.log, 'utf8').split('stalled ').length - 1;
}

/** The processes of a package's code. */
function processes(of) {
  const found = spawnSync('ps', ['-eo', 'pid,args'], { encoding: 'utf8' }).stdout.split('\n');
  const lines = found.filter((line) => line.includes(of) && line.includes('fabric-chaincode-node'));
  return lines.map((line) => Number.parseInt(line, 10));
}

/** The folder of a package's code. */
function codeOf(of) {
  const code = path.join(data, 'chaincodes/code');
  return path.join(code, readdirSync(code).find((one) => one.startsWith(of)));
}

const folder = path.join(work, 'transfers');
cpSync(path.join(here, '../../examples/transfers'), folder, {
  recursive: true,
  filter: (file) => path.basename(file) !== 'node_modules',
});
/** A chaincode for what the example does not do. */
const odd = path.join(work, 'odd');
cpSync(path.join(here, 'odd'), odd, { recursive: true });

try {
  await start();
  assert.match(quire('deploy', 'transfers', folder), /definition {2}1, version 1\nQuireMSP {2}approves\n/);
  await runs('transfers');
  await submitted('transfers', 'OpenAccount', 'a', '100');
  await submitted('transfers', 'OpenAccount', 'b', '100');
  await submitted('transfers', 'Deposit', 'a', '1000');
  assert.equal((await submitted('transfers', 'Transfer', 't1', 'a', 'b', '50')).status, 'EXECUTED');
  const waiting = await submitted('transfers', 'Transfer', 't2', 'a', 'b', '500');
  assert.equal(waiting.status, 'PENDING');
  assert.match(await refused(422, 'CHAINCODE_ERROR', 'transactions', 'transfers', 'Approve', 't2'), /second person/);
  const pending = await call('evaluate', 'transfers', 'ListPending');
  assert.deepEqual(pending.body.result, [waiting]);
  console.log('deployed by one command, and called');

  assert.match(quire('deploy', 'transfers', folder), /already: nothing was done/);
  assert.deepEqual(listed().map((row) => [row[0], row[1]]), [['transfers', '1']]);
  // Documents need no chaincode, and a namespace that one governs takes none.
  const put = (namespace) =>
    fetch(`${node.url}/state/${namespace}/k`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: '{"a": 1}',
    });
  assert.equal((await put('orders')).status, 201);
  assert.equal((await put('transfers')).status, 422);
  const around = await fetch(`${node.url}/transactions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"operations": [{"op": "put", "namespace": "transfers", "key": "account:a", "value": {"balance": 1e9}}]}',
  });
  assert.equal(around.status, 422);
  assert.match((await around.json()).detail, /governed by a chaincode/);

  // The chaincode's process is killed: the next call waits until it has come back.
  const [process] = processes('transfers.').slice(-1);
  assert.ok(process, 'a process of the chaincode');
  globalThis.process.kill(process, 'SIGKILL');
  await until('the process to be missed', () => listed()[0][4] !== 'runs');
  assert.equal((await submitted('transfers', 'Deposit', 'a', '1')).balance, 951);
  await runs('transfers');
  console.log('killed, it comes back, and a call waits for it');

  // The node is killed: nothing of what it acknowledged is lost, and its children end.
  const before = processes('transfers.');
  await stop('SIGKILL');
  await until('its children to end', () => processes('transfers.').every((one) => !before.includes(one)));
  await start();
  await runs('transfers');
  assert.equal((await call('evaluate', 'transfers', 'GetAccount', 'a')).body.result.balance, 951);
  console.log('the node killed, its chaincode goes on');

  // An upgrade: the next sequence, with other code over the same state.
  const code = path.join(folder, 'lib/transfers.js');
  writeFileSync(code, readFileSync(code, 'utf8').replaceAll('there is no ', 'nobody knows '));
  assert.match(quire('deploy', 'transfers', folder, '--version', '2.0'), /definition {2}2, version 2.0\n/);
  await runs('transfers');
  assert.match(await refused(422, 'CHAINCODE_ERROR', 'evaluate', 'transfers', 'GetAccount', 'zzz'), /nobody knows/);
  assert.equal((await submitted('transfers', 'Deposit', 'a', '1')).balance, 952);
  console.log('upgraded');

  // A definition tells who approved, and a caller without a token installs nothing.
  const defined = await (await fetch(`${node.url}/chaincodes/transfers`)).json();
  const { version, sequence, approvals, isRunning, initRequired, policy, packageId } = defined;
  assert.deepEqual([version, sequence, approvals, isRunning, initRequired], ['2.0', 2, { QuireMSP: true }, true, false]);
  assert.equal(policy, '/Channel/Application/Endorsement');
  const all = await (await fetch(`${node.url}/chaincodes`)).json();
  assert.deepEqual(all.chaincodes, [defined]);
  assert.equal((await fetch(`${node.url}/chaincodes/nosuch`)).status, 404);
  const deploy = async (body) => {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${node.url}/chaincodes`, { method: 'POST', headers, body: JSON.stringify(body) });
    return { status: answer.status, ...(await answer.json()) };
  };
  const again = await deploy({ name: 'transfers', packageId, version });
  assert.deepEqual([again.status, again.wasThere], [200, true], JSON.stringify(again));
  assert.equal((await deploy({ name: 'transfers', address: '127.0.0.1:9' })).code, 'FORBIDDEN');
  assert.equal((await deploy({ name: 'transfers', packageId: 'none:0' })).code, 'CHAINCODE_NOT_FOUND');
  console.log('told, and deployed by REST');

  // The system chaincodes tell of the channel, in Fabric's messages.
  const info = await call('evaluate', 'qscc', 'GetChainInfo', 'main');
  assert.equal(info.status, 200, JSON.stringify(info.body));
  assert.equal(info.body.result.codePointAt(0), 8);
  assert.match((await call('evaluate', 'lscc', 'getid', 'main', 'transfers')).body.result, /transfers/);
  assert.match(await refused(422, 'CHAINCODE_ERROR', 'evaluate', 'qscc', 'GetChainInfo', 'other'), /Invalid chain ID, other/);

  // Slow, stopped, and many at a time.
  quire('deploy', 'odd', odd);
  await runs('odd');
  assert.match(await refused(504, 'CHAINCODE_TIMEOUT', 'transactions', 'odd', 'Sleep', '60000'), /10/);
  assert.equal(await submitted('odd', 'Echo', 'a text'), 'a text');
  assert.equal((await call('evaluate', 'odd', 'PeerOrganization')).body.result, 'QuireMSP');
  // A thousand calls at a time: each is answered with its own result; where they take too long, or their process is
  // killed under them, with that; and the node holds nothing for them afterwards.
  const MANY = 1000;
  const atOnce = (kind, ...of) => Promise.all(Array.from({ length: MANY }, (_, at) => call(kind, 'odd', ...of, `${at}`)));
  const allAre = (answers, status, code) =>
    assert.deepEqual(counted(answers.map((one) => `${one.status} ${one.body.code}`)), { [`${status} ${code}`]: MANY });
  await atOnce('evaluate', 'Later');
  const settled = residentMiB();
  for (let round = 0; round < 3; round++) {
    const many = await atOnce('evaluate', 'Later');
    allAre(many, 200, undefined);
    assert.deepEqual(many.map((one) => one.body.result), many.map((_, at) => at));
  }
  allAre(await atOnce('evaluate', 'Stall'), 504, 'CHAINCODE_TIMEOUT');
  const begun = stallsSeen();
  const cut = atOnce('evaluate', 'Stall');
  await until('the calls to be under way', () => stallsSeen() === begun + MANY);
  globalThis.process.kill(processes('odd.').at(-1), 'SIGKILL');
  allAre(await cut, 502, 'CHAINCODE_UNAVAILABLE');
  await runs('odd');
  assert.equal(await submitted('odd', 'Echo', 'a text'), 'a text');
  const grown = residentMiB() - settled;
  assert.ok(grown < 64, `the node has grown by ${grown} MiB`);
  console.log(`a thousand calls at a time, five times: the node has grown by ${Math.round(grown)} MiB`);
  const [stopped] = processes('odd.').slice(-1);
  globalThis.process.kill(stopped, 'SIGSTOP');
  const [stalled, other] = await Promise.all([
    refused(504, 'CHAINCODE_TIMEOUT', 'evaluate', 'odd', 'Echo', 'x'),
    submitted('transfers', 'Deposit', 'a', '1'),
  ]);
  assert.ok(stalled);
  assert.equal(other.balance, 953);
  globalThis.process.kill(stopped, 'SIGCONT');
  await until('it to answer again', async () => (await call('evaluate', 'odd', 'Echo', 'x')).status === 200);
  // The same package under another name, whose first call must be an initialisation.
  const oddly = listed().find((row) => row[0] === 'odd')[3];
  const first = await deploy({ name: 'started', packageId: oddly, initRequired: true });
  assert.deepEqual([first.status, first.isCommitted], [201, true], JSON.stringify(first));
  await runs('started');
  assert.match(await refused(422, 'CHAINCODE_ERROR', 'transactions', 'started', 'Echo', 'x'), /initialis/);
  const init = () =>
    fetch(`${node.url}/transactions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ chaincode: 'started', function: 'Echo', args: ['x'], isInit: true }),
    });
  assert.equal((await init()).status, 201);
  assert.equal(await submitted('started', 'Echo', 'y'), 'y');
  assert.equal((await init()).status, 422);
  console.log('initialised once');
  // One chaincode calls another, in the same transaction.
  assert.equal((await submitted('odd', 'CallTransfers', 'a', '7')).balance, 960);
  assert.equal((await call('evaluate', 'transfers', 'GetAccount', 'a')).body.result.balance, 960);
  // What it tells is in the answer, in the transaction and in its block, and its history in the state.
  assert.equal(await submitted('odd', 'Put', 'k', 'v1'), 'v1');
  const told = await call('transactions', 'odd', 'Put', 'k', 'v2');
  const event = { chaincode: 'odd', name: 'Put', payload: { key: 'k' } };
  assert.deepEqual([told.status, told.body.event], [201, event]);
  const transaction = await (await fetch(`${node.url}/transactions/${told.body.transactionId}`)).json();
  assert.deepEqual(transaction.event, event);
  const block = told.body.blockNumber;
  for (const [filter, expected] of [['', [event]], ['&chaincode=odd', [event]], ['&chaincode=transfers', []]]) {
    const stream = await (await fetch(`${node.url}/events?from=${block}&to=${block}${filter}`)).text();
    const { transactions } = JSON.parse(stream.match(/^data: (.*)$/m)[1]);
    assert.deepEqual(transactions.map((one) => one.event), expected, stream);
  }
  assert.deepEqual((await call('evaluate', 'odd', 'History', 'k')).body.result, ['v2', 'v1']);
  assert.match(await refused(422, 'CHAINCODE_ERROR', 'transactions', 'odd', 'Private', 'k'), /not supported/);
  // The collection of the node's own organisation is kept; the block has the hash.
  await submitted('odd', 'KeepPrivate', 'p', 'a secret');
  const kept = (await call('evaluate', 'odd', 'ReadPrivate', 'p')).body.result;
  assert.deepEqual(kept, { value: 'a secret', hash: createHash('sha256').update('a secret').digest('hex') });
  await submitted('odd', 'ForgetPrivate', 'p');
  assert.deepEqual((await call('evaluate', 'odd', 'ReadPrivate', 'p')).body.result, { value: '', hash: '' });
  console.log('slow, stopped and crowded, it costs nobody else anything');

  // A package whose process is always down: nobody takes its place, at whichever door.
  const absent = path.join(work, 'absent');
  mkdirSync(absent);
  writeFileSync(path.join(absent, 'chaincode'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
  quire('deploy', 'absent', absent);
  const id = listed().find((row) => row[0] === 'absent')[3];
  const environment = readFileSync(`/proc/${processes('odd.').at(-1)}/environ`, 'utf8').split('\0');
  const theirs = Object.fromEntries(environment.map((line) => line.split(/=(.*)/s)).filter(([name]) => name.startsWith('CORE_')));
  assert.equal(theirs.CORE_PEER_TLS_ENABLED, 'true');
  for (const [what, env] of [
    ['a stranger', { CORE_PEER_ADDRESS: node.chaincodes, CORE_PEER_TLS_ENABLED: 'false' }],
    ['nobody, at the door of those that the node started', { ...theirs, CORE_PEER_TLS_ENABLED: 'false' }],
    ['another chaincode', theirs],
  ]) {
    const child = spawn('node_modules/.bin/fabric-chaincode-node', ['start', '--peer.address', env.CORE_PEER_ADDRESS], {
      cwd: codeOf('odd.'),
      env: { ...globalThis.process.env, ...env, CORE_CHAINCODE_ID_NAME: id },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    child.stdout.on('data', (text) => (said += text));
    child.stderr.on('data', (text) => (said += text));
    try {
      await until(`${what} to be turned away`, () => {
        assert.ok(listed().every((row) => row[0] !== 'absent' || row[4] !== 'runs'), `${what} runs as ${id}`);
        return /Chat stream with peer - on error|PERMISSION_DENIED|UNAVAILABLE/.test(said);
      });
    } finally {
      child.kill('SIGKILL');
    }
  }
  console.log('nobody registers as a package that is not his');

  // Chaincode as a service: the node dials it. And one that dials the node.
  const port = await freePort();
  for (const [name, args, env] of [
    ['service', ['server', `--chaincode-address=127.0.0.1:${port}`], ['--address', `127.0.0.1:${port}`]],
    ['dialling', ['start', '--peer.address', node.chaincodes], ['--address', '127.0.0.1:9']],
  ]) {
    quire('deploy', name, ...env);
    const id = listed().find((row) => row[0] === name)[3];
    // What was unpacked and built for another package has what this one needs.
    const cwd = codeOf('odd.');
    const more = name === 'service' ? [`--chaincode-id=${id}`] : [];
    const child = spawn('node_modules/.bin/fabric-chaincode-node', [...args, ...more], {
      cwd,
      env: { ...globalThis.process.env, CORE_CHAINCODE_ID_NAME: id },
      stdio: 'ignore',
    });
    try {
      await runs(name);
      assert.equal(await submitted(name, 'Echo', name), name);
    } finally {
      child.kill('SIGKILL');
    }
    console.log(`${name}: called`);
  }

  await stop('SIGTERM');
  const check = spawnSync(options.quire, ['check', '--data', data, '--signatures', '--revalidate'], { encoding: 'utf8' });
  assert.equal(check.status, 0, check.stdout + check.stderr);
  console.log(check.stdout.trimEnd());
  assert.deepEqual(processes(data), []);
  assert.ok(!existsSync(path.join(data, 'chaincodes/keys')), 'keys of processes are left');
} finally {
  node?.child.kill('SIGKILL');
  rmSync(work, { recursive: true, force: true, maxRetries: 20, retryDelay: 250 });
}
