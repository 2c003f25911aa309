// Three organisations that trust nobody else's machine: each has a node, whose blocks two orderers make by a topic of Kafka.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { openSync, readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { until } from '../../tests/kafka/brokers.mjs';
import { freePort } from '../../tests/ports.mjs';

const NAMES = ['Org1', 'Org2', 'Org3'];
const CHANNEL = 'main';
const domain = (name) => `${name.toLowerCase()}.example.com`;

const crypto = () => `
OrdererOrgs:
  - Name: Orderer
    Domain: orderer.example.com
    EnableNodeOUs: true
    Specs:
      - { Hostname: orderer1, SANS: [ "127.0.0.1" ] }
      - { Hostname: orderer2, SANS: [ "127.0.0.1" ] }
PeerOrgs:${NAMES.map(
    (name) => `
  - Name: ${name}
    Domain: ${domain(name)}
    EnableNodeOUs: true
    Template: { Count: 1, SANS: [ "127.0.0.1" ] }
    Users: { Count: 1 }`,
  ).join('')}
`;

const MEMBERS = (id) => `
      Readers: { Type: Signature, Rule: "OR('${id}.member')" }
      Writers: { Type: Signature, Rule: "OR('${id}.member')" }
      Admins: { Type: Signature, Rule: "OR('${id}.admin')" }`;

const POLICIES = `
        Readers: { Type: ImplicitMeta, Rule: "ANY Readers" }
        Writers: { Type: ImplicitMeta, Rule: "ANY Writers" }
        Admins: { Type: ImplicitMeta, Rule: "MAJORITY Admins" }`;

const profile = (peers, orderers) => `
Organizations:
  - &Orderer
    Name: OrdererMSP
    ID: OrdererMSP
    MSPDir: crypto/ordererOrganizations/orderer.example.com/msp
    OrdererEndpoints: [ ${orderers.map((one) => `"127.0.0.1:${one.port}"`).join(', ')} ]
    Policies:${MEMBERS('OrdererMSP')}${peers
      .map(
        ({ name, msp, port }) => `
  - &${name}
    Name: ${msp}
    ID: ${msp}
    MSPDir: crypto/peerOrganizations/${domain(name)}/msp
    AnchorPeers: [ { Host: 127.0.0.1, Port: ${port} } ]
    Policies:${MEMBERS(msp)}
      Endorsement: { Type: Signature, Rule: "OR('${msp}.peer')" }`,
      )
      .join('')}
Profiles:
  Channel:
    Capabilities: { V2_0: true }
    Policies:${POLICIES}
    Orderer:
      OrdererType: solo
      BatchTimeout: 500ms
      BatchSize: { MaxMessageCount: 500, AbsoluteMaxBytes: 10 MB, PreferredMaxBytes: 2 MB }
      Organizations: [ *Orderer ]
      Policies:${POLICIES}
        BlockValidation: { Type: ImplicitMeta, Rule: "ANY Writers" }
      Capabilities: { V2_0: true }
    Application:
      Organizations: [ ${NAMES.map((name) => `*${name}`).join(', ')} ]
      Policies:${POLICIES}
        Endorsement: { Type: ImplicitMeta, Rule: "MAJORITY Endorsement" }
        LifecycleEndorsement: { Type: ImplicitMeta, Rule: "MAJORITY Endorsement" }
      Capabilities: { V2_0: true }
`;

/** A process of the network, which can be stopped and started again. */
class Member {
  constructor(network, name, folder) {
    Object.assign(this, { network, name, folder, starts: 0 });
    this.data = path.join(network.work, name);
  }

  get tls() {
    const at = (file) => path.join(this.folder, 'tls', file);
    return { ca: at('ca.crt'), flags: ['--tls-cert', at('server.crt'), '--tls-key', at('server.key')] };
  }

  async run(what, ...flags) {
    this.starts += 1;
    this.log = path.join(this.network.work, `${this.name}-${this.starts}.log`);
    const output = openSync(this.log, 'w');
    const args = [what, '--data', this.data, '--msp-id', this.msp, ...this.tls.flags, ...flags];
    this.child = spawn(this.network.quire, args, { stdio: ['ignore', output, output] });
    this.ended = new Promise((resolve) => this.child.on('exit', resolve));
    await until(`${this.name} listens`, () => {
      const text = readFileSync(this.log, 'utf8');
      assert.equal(this.child.exitCode, null, text);
      this.url = text.match(/Quire \S+ is listening on (https:\/\/[\d.]+:\d+)/)?.[1];
      return this.url;
    });
  }

  async stop(signal = 'SIGTERM') {
    if (this.child === undefined || this.child.exitCode !== null) return undefined;
    this.child.kill(signal);
    return this.ended;
  }

  /** Asks at its own address, and gives the answer with its body read. */
  ask(method, where, { key, body, type = 'application/json', accept = '*/*' } = {}) {
    const headers = {
      accept,
      ...(body === undefined ? {} : { 'content-type': type }),
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    };
    this.ca ??= readFileSync(this.tls.ca);
    this.agent ??= new https.Agent({ keepAlive: true, maxSockets: 32 });
    return new Promise((resolve, reject) => {
      const how = { method, headers, ca: this.ca, agent: this.agent };
      const request = https.request(`${this.url}${where}`, how, (response) => {
        let text = '';
        response.on('data', (data) => (text += data));
        response.on('end', () => {
          const json = /json/.test(response.headers['content-type'] ?? '');
          resolve({ status: response.statusCode, body: json ? JSON.parse(text) : text });
        });
      });
      request.on('error', reject);
      request.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}

/** An orderer alone: it has blocks and no state, and trusts nobody's verdict. */
class Orderer extends Member {
  constructor(network, number, port) {
    const name = `orderer${number}`;
    const organization = path.join(network.crypto, 'ordererOrganizations/orderer.example.com');
    super(network, name, path.join(organization, 'orderers', `${name}.orderer.example.com`));
    this.msp = 'OrdererMSP';
    this.port = port;
  }

  join() {
    const who = ['--data', this.data, '--msp-id', this.msp, '--msp', path.join(this.folder, 'msp')];
    this.network.command('channel', 'join', '--as-orderer', '--block', this.network.block, ...who);
  }

  start() {
    const at = ['--listen', '127.0.0.1:0', '--grpc-listen', `127.0.0.1:${this.port}`];
    return this.run('orderer', ...at, '--ordering', 'kafka', '--kafka-brokers', this.network.brokers);
  }

  toString() {
    return `${this.name} (Broadcast and Deliver at 127.0.0.1:${this.port}, metrics at ${this.url})`;
  }
}

/** An organisation's node: it endorses, judges every block by itself, and has all state. */
class Peer extends Member {
  constructor(network, name, port) {
    const organization = path.join(network.crypto, 'peerOrganizations', domain(name));
    super(network, name, path.join(organization, 'peers', `peer0.${domain(name)}`));
    Object.assign(this, { msp: `${name}MSP`, port, organization });
  }

  join() {
    const client = path.join(this.organization, 'users', `User1@${domain(this.name)}`, 'msp');
    const who = ['--data', this.data, '--msp-id', this.msp, '--msp', path.join(this.folder, 'msp'), '--client-msp', client];
    this.network.command('channel', 'join', '--ordering', 'remote', '--block', this.network.block, ...who);
    const admin = path.join(this.organization, 'users', `Admin@${domain(this.name)}`, 'msp');
    this.network.command('identity', 'import', 'org-admin', admin, '--data', this.data, '--msp-id', this.msp);
  }

  start() {
    const at = ['--listen', '127.0.0.1:0', '--grpc-listen', `127.0.0.1:${this.port}`];
    return this.run('run', ...at, '--ordering', 'remote');
  }

  async height() {
    return (await this.ask('GET', `/v1/channels/${CHANNEL}`)).body.height;
  }

  toString() {
    return `the node of ${this.msp} (REST at ${this.url}, Fabric's clients at 127.0.0.1:${this.port})`;
  }
}

export class Network {
  constructor(quire, work) {
    this.quire = quire.includes(path.sep) ? path.resolve(quire) : quire;
    this.work = work;
    this.crypto = path.join(work, 'crypto');
    this.block = path.join(work, `${CHANNEL}.block`);
    this.orderers = [];
    this.peers = [];
  }

  get names() {
    return [...NAMES, 'Orderer'].join(', ');
  }

  command(...args) {
    return execFileSync(this.quire, args, { cwd: this.work, stdio: 'pipe', encoding: 'utf8' });
  }

  /** Keys, certificates and the first block. */
  async make() {
    for (const number of [1, 2]) this.orderers.push(new Orderer(this, number, await freePort()));
    for (const name of NAMES) this.peers.push(new Peer(this, name, await freePort()));
    writeFileSync(path.join(this.work, 'crypto-config.yaml'), crypto());
    writeFileSync(path.join(this.work, 'configtx.yaml'), profile(this.peers, this.orderers));
    this.command('cryptogen', 'generate', '--config', 'crypto-config.yaml', '--output', 'crypto');
    const how = ['-profile', 'Channel', '-channelID', CHANNEL, '-outputBlock', this.block, '-configPath', '.'];
    this.command('configtxgen', ...how);
  }

  async start(brokers) {
    this.brokers = brokers;
    const all = [...this.orderers, ...this.peers];
    for (const one of all) one.join();
    await Promise.all(all.map((one) => one.start()));
    for (const peer of this.peers) {
      await until(`${peer.name} is ready`, async () => (await peer.ask('GET', '/readyz')).status === 200);
    }
  }

  async stop() {
    await Promise.all(this.peers.map((one) => one.stop()));
    await Promise.all(this.orderers.map((one) => one.stop()));
  }

  /** Waits until the organisations have as many blocks; they must be the same. */
  async agree() {
    const height = await until('nodes of one height', async () => {
      const heights = await Promise.all(this.peers.map((peer) => peer.height()));
      return heights.every((height) => height === heights[0]) && heights[0];
    });
    for (let number = 0; number < height; number++) {
      const blocks = await Promise.all(this.peers.map((peer) => peer.ask('GET', `/v1/channels/${CHANNEL}/blocks/${number}`)));
      const [one, ...others] = blocks.map(({ body }) => [body.hash, body.metadata.commitHash]);
      for (const other of others) assert.deepEqual(other, one, `block ${number}`);
    }
    return height;
  }

  /** What each process printed last. */
  said() {
    const all = [...this.orderers, ...this.peers].filter((one) => one.log);
    return all.map((one) => `${one.name}:\n${readFileSync(one.log, 'utf8').slice(-1500)}`).join('\n');
  }

  /** What there is to look at. */
  tell() {
    const [one, two, three] = this.peers;
    const curl = (peer) => `curl --cacert ${peer.tls.ca} ${peer.url}`;
    const channel = `/v1/channels/${CHANNEL}`;
    const query = `'{"selector":{"region":"Oceania"},"fields":["cca3","name.official"],"limit":5}'`;
    console.log(`
what Org1 wrote, as Org2 has it:     ${curl(two)}${channel}/state/countries/AFG
its history, as Org3 has it:         ${curl(three)}${channel}/history/countries/AFG
a write, which two of three endorse: ${curl(one)}${channel}/state/countries/UTO -X PUT -H 'content-type: application/json' -d '{"name":"Utopia"}'
a query:                             ${curl(two)}${channel}/state/countries/_find -H 'content-type: application/json' -d ${query}
the newest block:                    ${curl(three)}${channel}/blocks/latest
who was asked to endorse:            ${curl(one)}/metrics | grep quire_endorsement_asked
the organisations:                   ${this.quire} channel org list --data ${one.data} --msp-id ${one.msp}
without one orderer:                 kill ${this.orderers[0].child.pid}   # and write again
data and logs:                       ${this.work}

Ctrl-C stops everything, and removes it.`);
  }
}
