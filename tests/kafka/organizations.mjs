#!/usr/bin/env node
// Two organisations with a node each and a topic of a real Apache Kafka: a transaction needs the endorsements of both,
// which whoever submits it at one of them need not know.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { freePort } from '../ports.mjs';
import { Brokers, until } from './brokers.mjs';

const { values: options } = parseArgs({
  options: { quire: { type: 'string' }, libs: { type: 'string' }, chaincode: { type: 'string' } },
});
if (!options.quire || !options.libs) throw new Error('--quire PATH and --libs DIR are needed');
const quire = path.resolve(options.quire);

const work = mkdtempSync(path.join(os.tmpdir(), 'quire-organizations-'));
const NAMES = ['Org1', 'Org2'];
const ports = [];
for (const _ of NAMES) ports.push(await freePort());

const crypto = (name) => `
  - Name: ${name}
    Domain: ${name.toLowerCase()}.example.com
    EnableNodeOUs: true
    Template: { Count: 1, SANS: [ "127.0.0.1" ] }
    Users: { Count: 1 }`;

const organization = (name, place) => `
  - &${name}
    Name: ${name}MSP
    ID: ${name}MSP
    MSPDir: crypto/peerOrganizations/${name.toLowerCase()}.example.com/msp
    AnchorPeers: [ { Host: 127.0.0.1, Port: ${ports[place]} } ]
    Policies:
      Readers: { Type: Signature, Rule: "OR('${name}MSP.member')" }
      Writers: { Type: Signature, Rule: "OR('${name}MSP.member')" }
      Admins: { Type: Signature, Rule: "OR('${name}MSP.admin')" }
      Endorsement: { Type: Signature, Rule: "OR('${name}MSP.peer')" }`;

const POLICIES = `
        Readers: { Type: ImplicitMeta, Rule: "ANY Readers" }
        Writers: { Type: ImplicitMeta, Rule: "ANY Writers" }
        Admins: { Type: ImplicitMeta, Rule: "MAJORITY Admins" }`;

const PROFILE = `
Organizations:${NAMES.map(organization).join('')}
Profiles:
  Channel:
    Capabilities: { V2_0: true }
    Policies:${POLICIES}
    Orderer:
      OrdererType: solo
      BatchTimeout: 2s
      BatchSize: { MaxMessageCount: 500, AbsoluteMaxBytes: 10 MB, PreferredMaxBytes: 2 MB }
      Organizations: [ *Org1, *Org2 ]
      Policies:${POLICIES}
        BlockValidation: { Type: ImplicitMeta, Rule: "ANY Writers" }
      Capabilities: { V2_0: true }
    Application:
      Organizations: [ *Org1, *Org2 ]
      Policies:${POLICIES}
        Endorsement: { Type: ImplicitMeta, Rule: "MAJORITY Endorsement" }
        LifecycleEndorsement: { Type: ImplicitMeta, Rule: "MAJORITY Endorsement" }
      Capabilities: { V2_0: true }
`;

/** The node of an organisation, which speaks TLS with the certificate that its organisation vouches for. */
class Node {
  constructor(name, place) {
    this.msp = `${name}MSP`;
    this.org = path.join(work, 'crypto', 'peerOrganizations', `${name.toLowerCase()}.example.com`);
    this.peer = path.join(this.org, 'peers', `peer0.${name.toLowerCase()}.example.com`);
    this.data = path.join(work, name);
    this.port = ports[place];
    this.starts = 0;
  }

  get identity() {
    const client = path.join(this.org, 'users', `User1@${path.basename(this.org)}`, 'msp');
    return ['--data', this.data, '--msp-id', this.msp, '--msp', path.join(this.peer, 'msp'), '--client-msp', client];
  }

  join() {
    execFileSync(quire, ['channel', 'join', '--block', path.join(work, 'main.block'), ...this.identity]);
    const admin = path.join(this.org, 'users', `Admin@${path.basename(this.org)}`, 'msp');
    execFileSync(quire, ['identity', 'import', 'org-admin', admin, '--data', this.data, '--msp-id', this.msp]);
  }

  async start(...more) {
    this.starts += 1;
    this.log = path.join(work, `${this.msp}-${this.starts}.log`);
    const output = openSync(this.log, 'w');
    const tls = path.join(this.peer, 'tls');
    const args = [
      ...['run', ...this.identity, '--listen', '127.0.0.1:0', '--grpc-listen', `127.0.0.1:${this.port}`],
      ...['--tls-cert', path.join(tls, 'server.crt'), '--tls-key', path.join(tls, 'server.key')],
      ...['--ordering', 'kafka', '--kafka-brokers', brokers.list, ...more],
    ];
    this.child = spawn(quire, args, { stdio: ['ignore', output, output] });
    this.ended = new Promise((resolve) => this.child.on('exit', resolve));
    this.ca = readFileSync(path.join(tls, 'ca.crt'));
    await until(`the node of ${this.msp} listens`, () => {
      const text = readFileSync(this.log, 'utf8');
      assert.equal(this.child.exitCode, null, text);
      this.url = text.match(/Quire \S+ is listening on (https:\/\/[\d.]+:\d+)/)?.[1];
      return this.url;
    });
  }

  async stop(signal = 'SIGTERM') {
    this.child.kill(signal);
    return this.ended;
  }

  async ask(method, where, { key, body, type = 'application/json' } = {}) {
    const headers = {
      ...(body === undefined ? {} : { 'content-type': type }),
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    };
    return new Promise((resolve, reject) => {
      const request = https.request(`${this.url}${where}`, { method, headers, ca: this.ca }, (response) => {
        let text = '';
        response.on('data', (data) => (text += data));
        response.on('end', () => {
          const json = /json/.test(response.headers['content-type'] ?? '');
          resolve({ status: response.statusCode, headers: response.headers, body: json ? JSON.parse(text) : text });
        });
      });
      request.on('error', reject);
      request.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  put(key, document) {
    const where = `/v1/channels/main/state/orders/${key}`;
    return this.ask('PUT', where, { key: `put-${key}`, body: document });
  }

  get(key) {
    return this.ask('GET', `/v1/channels/main/state/orders/${key}`);
  }

  async outcomes() {
    const { body } = await this.ask('GET', '/metrics');
    const counts = body.matchAll(/quire_endorsement_asked_seconds_count\{organization="(\w+)",outcome="(\w+)"\} (\d+)/g);
    return Object.fromEntries([...counts].map(([, name, outcome, count]) => [`${name} ${outcome}`, Number(count)]));
  }

  check() {
    const how = ['check', '--data', this.data, '--msp-id', this.msp, '--signatures', '--revalidate'];
    return execFileSync(quire, how, { encoding: 'utf8' });
  }
}

const brokers = new Brokers(options.libs, work, { count: 1 });
const nodes = NAMES.map((name, place) => new Node(name, place));
const [one, two] = nodes;
let failed = true;

try {
  mkdirSync(work, { recursive: true });
  writeFileSync(path.join(work, 'crypto-config.yaml'), `PeerOrgs:${NAMES.map(crypto).join('')}\n`);
  writeFileSync(path.join(work, 'configtx.yaml'), PROFILE);
  const run = (...args) => execFileSync(quire, args, { cwd: work, stdio: 'pipe' });
  run('cryptogen', 'generate', '--config', 'crypto-config.yaml', '--output', 'crypto');
  run('configtxgen', '-profile', 'Channel', '-channelID', 'main', '-outputBlock', 'main.block', '-configPath', '.');
  await brokers.start();
  for (const node of nodes) node.join();
  for (const node of nodes) await node.start();

  await until('a write that both have endorsed', async () => (await one.put('a', { n: 1 })).status === 201);
  await until('the write at the other', async () => (await two.get('a')).body.n === 1);
  assert.ok((await one.outcomes())['Org2MSP endorsed'] >= 1);
  console.log('ok  what is written at one node is endorsed by both, over TLS, and valid at both');

  const many = Array.from({ length: 200 }, (_, i) => nodes[i % 2].put(`k${i}`, { i }));
  for (const { status, body } of await Promise.all(many)) assert.equal(status, 201, JSON.stringify(body));
  // Each change reads what the one before it wrote, which the other node may not have yet.
  for (let n = 0; n < 20; n++) {
    const where = '/v1/channels/main/state/orders/a';
    const change = { key: `change-${n}`, type: 'application/merge-patch+json', body: { [`n${n}`]: n } };
    const changed = await nodes[n % 2].ask('PATCH', where, change);
    assert.equal(changed.status, 200, JSON.stringify(changed.body));
  }
  assert.equal(Object.keys((await one.get('a')).body).length, 21);
  console.log('ok  writes at both at once, and changes that read what the other node has just written');

  await two.stop('SIGKILL');
  const refused = await one.put('alone', { n: 1 });
  assert.equal(refused.status, 503);
  assert.equal(refused.body.code, 'ENDORSERS_UNAVAILABLE');
  assert.ok(refused.headers['retry-after']);
  const [endorser] = refused.body.endorsers;
  assert.deepEqual(
    { ...endorser, detail: undefined },
    { organization: 'Org2MSP', address: `127.0.0.1:${ports[1]}`, outcome: 'UNREACHABLE', detail: undefined },
  );
  console.log(`ok  without the other organisation nothing is ordered, and who is missing is told: ${endorser.detail}`);

  await two.start();
  await until('the same write', async () => (await one.put('alone', { n: 1 })).status === 201);
  console.log('ok  when it is back, the same request goes through');

  if (options.chaincode) {
    const source = path.resolve(options.chaincode);
    const deploy = (node) => {
      const args = ['chaincode', 'deploy', 'transfers', source, '--data', node.data, '--msp-id', node.msp];
      return execFileSync(quire, args, { encoding: 'utf8' });
    };
    deploy(one);
    deploy(two);
    const defined = await until('the chaincode at both', async () => {
      const told = await Promise.all(nodes.map((node) => node.ask('GET', '/v1/channels/main/chaincodes')));
      const all = told.map(({ body }) => body.chaincodes?.find(({ name }) => name === 'transfers'));
      return all.every((found) => found?.isRunning) && all;
    });
    assert.deepEqual(defined[0].approvals, { Org1MSP: true, Org2MSP: true });
    const call = { chaincode: 'transfers', function: 'OpenAccount', args: ['alice', '100'] };
    const opened = await one.ask('POST', '/v1/channels/main/transactions', { key: 'open', body: call });
    assert.equal(opened.status, 201, JSON.stringify(opened.body));
    console.log('ok  a chaincode that both have approved is committed, and its calls are endorsed by both');
  }

  for (const node of nodes) assert.equal(await node.stop(), 0);
  for (const node of nodes) assert.match(node.check(), /sound/);
  console.log('ok  what each has is sound');
  failed = false;
} finally {
  for (const node of nodes) if (node.child) await node.stop();
  await brokers.stop();
  if (failed) {
    for (const node of nodes) if (node.log) console.error(readFileSync(node.log, 'utf8').slice(-3000));
  } else rmSync(work, { recursive: true });
}
