// Nodes of one organisation that have a channel together.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { freePort } from '../ports.mjs';
import { until } from './brokers.mjs';
import { here } from './places.mjs';

const ORGANIZATION = `
PeerOrgs:
  - Name: Org1
    Domain: org1.example.com
    EnableNodeOUs: true
    Template: { Count: COUNT }
    Users: { Count: 1 }
`;

const PROFILE = `
Organizations:
  - &Org1
    Name: Org1MSP
    ID: Org1MSP
    MSPDir: crypto/peerOrganizations/org1.example.com/msp
    Policies:
      Readers: { Type: Signature, Rule: "OR('Org1MSP.member')" }
      Writers: { Type: Signature, Rule: "OR('Org1MSP.member')" }
      Admins: { Type: Signature, Rule: "OR('Org1MSP.admin')" }
      Endorsement: { Type: Signature, Rule: "OR('Org1MSP.peer')" }
Channel: &Channel
  Capabilities: { V2_0: true }
  Policies:
    Readers: { Type: ImplicitMeta, Rule: "ANY Readers" }
    Writers: { Type: ImplicitMeta, Rule: "ANY Writers" }
    Admins: { Type: ImplicitMeta, Rule: "MAJORITY Admins" }
Profiles:
  Channel:
    <<: *Channel
    Orderer:
      OrdererType: solo
      BatchTimeout: 2s
      BatchSize: { MaxMessageCount: 500, AbsoluteMaxBytes: 10 MB, PreferredMaxBytes: 2 MB }
      Organizations: [ *Org1 ]
      Policies:
        Readers: { Type: ImplicitMeta, Rule: "ANY Readers" }
        Writers: { Type: ImplicitMeta, Rule: "ANY Writers" }
        Admins: { Type: ImplicitMeta, Rule: "MAJORITY Admins" }
        BlockValidation: { Type: ImplicitMeta, Rule: "ANY Writers" }
      Capabilities: { V2_0: true }
    Application:
      Organizations: [ *Org1 ]
      Policies:
        Readers: { Type: ImplicitMeta, Rule: "ANY Readers" }
        Writers: { Type: ImplicitMeta, Rule: "ANY Writers" }
        Admins: { Type: ImplicitMeta, Rule: "MAJORITY Admins" }
        Endorsement: { Type: ImplicitMeta, Rule: "MAJORITY Endorsement" }
        LifecycleEndorsement: { Type: ImplicitMeta, Rule: "MAJORITY Endorsement" }
      Capabilities: { V2_0: true }
`;

/** A node with a data directory of its own. */
export class Node {
  constructor(network, place, machine) {
    this.network = network;
    this.place = place;
    this.machine = machine;
    this.data = path.join(machine.disk?.folder ?? network.work, `node-${place}`);
    this.starts = 0;
  }

  /** The flags that say who it is, for its first start. */
  get identity() {
    const org = path.join(this.network.work, 'crypto', 'peerOrganizations', 'org1.example.com');
    return [
      ...['--data', this.data, '--msp-id', 'Org1MSP'],
      ...['--msp', path.join(org, 'peers', `peer${this.place}.org1.example.com`, 'msp')],
      ...['--client-msp', path.join(org, 'users', 'User1@org1.example.com', 'msp')],
    ];
  }

  join(block) {
    execFileSync(this.network.quire, ['channel', 'join', '--block', block, ...this.identity]);
  }

  /** Starts it, and waits until it says where it is. */
  async start(...more) {
    this.starts += 1;
    this.log = path.join(this.network.work, `node-${this.place}-${this.starts}.log`);
    const output = openSync(this.log, 'w');
    const { host, within } = this.machine;
    this.address ??= `${host}:${await freePort()}`;
    const at = ['--listen', this.address, '--grpc-listen', 'none'];
    const { ordering, quire } = this.network;
    const run = [...within, quire, 'run', ...this.identity, ...at, ...ordering, ...more];
    const [program, ...args] = run;
    this.child = spawn(program, args, {
      stdio: ['ignore', output, output],
      env: { ...process.env, ...this.machine.clock?.environment },
    });
    this.ended = new Promise((resolve) => this.child.on('exit', resolve));
    await until(`node ${this.place} listens`, () => {
      const text = readFileSync(this.log, 'utf8');
      assert.equal(this.child.exitCode, null, text);
      return text.includes(` is listening on http://${this.address}`);
    });
  }

  async stop(signal = 'SIGTERM') {
    this.child.kill(signal);
    return this.ended;
  }

  async ask(method, where, { key, body, signal } = {}) {
    const response = await fetch(`http://${this.address}/v1/channels/main/${where}`, {
      method,
      signal,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(key === undefined ? {} : { 'idempotency-key': key }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
  }

  /** Writes a document, and returns the answer. */
  put(key, document, idempotencyKey) {
    return this.ask('PUT', `state/orders/${key}`, { key: idempotencyKey, body: document });
  }

  async height() {
    const response = await fetch(`http://${this.address}/v1/channels/main`);
    return (await response.json()).height;
  }

  /** `quire check`, of a node that stopped. */
  check() {
    const how = ['check', '--data', this.data, '--msp-id', 'Org1MSP', '--signatures', '--revalidate'];
    return execFileSync(this.network.quire, how, { encoding: 'utf8' });
  }
}

/** An organisation of several nodes, and the channel that they join. */
export class Network {
  constructor(quire, work, { count = 3, ordering = [], place = () => here } = {}) {
    this.quire = path.resolve(quire);
    this.work = work;
    this.ordering = ordering;
    mkdirSync(work, { recursive: true });
    writeFileSync(path.join(work, 'crypto-config.yaml'), ORGANIZATION.replace('COUNT', count));
    writeFileSync(path.join(work, 'configtx.yaml'), PROFILE);
    const run = (...args) => execFileSync(this.quire, args, { cwd: work, stdio: 'pipe' });
    run('cryptogen', 'generate', '--config', 'crypto-config.yaml', '--output', 'crypto');
    run('configtxgen', '-profile', 'Channel', '-channelID', 'main', '-outputBlock', 'main.block', '-configPath', '.');
    this.nodes = Array.from({ length: count }, (_, one) => new Node(this, one, place()));
  }

  /** All nodes join the channel, each by itself. */
  join() {
    for (const node of this.nodes) node.join(path.join(this.work, 'main.block'));
  }

  /** Waits until all nodes have as many blocks; they must be the same. Returns how many. */
  async agree(nodes = this.nodes) {
    const height = await until('nodes of one height', async () => {
      const heights = await Promise.all(nodes.map((node) => node.height()));
      return heights.every((height) => height === heights[0]) && heights[0];
    });
    for (let number = this.compared ?? 0; number < height; number++) {
      const blocks = await Promise.all(nodes.map((node) => node.ask('GET', `blocks/${number}`)));
      const [one, ...others] = blocks.map(({ body }) => [body.hash, body.metadata.commitHash]);
      assert.ok(one[0], JSON.stringify(blocks[0]));
      for (const other of others) assert.deepEqual(other, one, `block ${number}`);
    }
    this.compared = height;
    return height;
  }
}
