// Orderers and peers, each of Fabric's programs or of Quire, on one channel and on loopback ports of their own.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { until } from '../kafka/brokers.mjs';
import { freePort } from '../ports.mjs';

export const CHANNEL = 'ours';
const LOOPBACK = '127.0.0.1';

const POLICIES = `
        Readers: { Type: ImplicitMeta, Rule: "ANY Readers" }
        Writers: { Type: ImplicitMeta, Rule: "ANY Writers" }
        Admins: { Type: ImplicitMeta, Rule: "MAJORITY Admins" }`;

const signature = (id, endorsement) => `
      Readers: { Type: Signature, Rule: "OR('${id}.member')" }
      Writers: { Type: Signature, Rule: "OR('${id}.member')" }
      Admins: { Type: Signature, Rule: "OR('${id}.admin')" }
      Endorsement: { Type: Signature, Rule: "OR('${id}.${endorsement}')" }`;

const organization = (name, msp, more) => `
  - &${name}
    Name: ${name}MSP
    ID: ${name}MSP
    MSPDir: ${msp}
    ${more}
    Policies:${signature(`${name}MSP`, 'peer')}`;

/** A process with a log, that is started and killed. */
class Process {
  constructor(work, name) {
    Object.assign(this, { work, name, starts: 0, data: path.join(work, name) });
    mkdirSync(this.data, { recursive: true });
  }

  async start() {
    this.starts += 1;
    this.log = path.join(this.work, `${this.name}-${this.starts}.log`);
    const output = openSync(this.log, 'w');
    const { command, args, env } = this.how();
    const options = { cwd: this.data, stdio: ['ignore', output, output], env: { ...process.env, ...env } };
    this.child = spawn(command, args, options);
    this.ended = new Promise((resolve) => this.child.on('exit', resolve));
    await until(`${this.name} serves`, () => {
      assert.equal(this.child.exitCode, null, readFileSync(this.log, 'utf8').slice(-3000));
      return this.serves();
    });
  }

  async stop(signal = 'SIGTERM') {
    if (!this.child) return;
    this.child.kill(signal);
    await this.ended;
    this.child = undefined;
  }

  said(pattern) {
    return pattern.test(readFileSync(this.log, 'utf8'));
  }
}

/** What is common to the orderers: where they listen, and their folder of keys. */
class Orderer extends Process {
  constructor(network, name, ports) {
    super(network.work, name);
    Object.assign(this, { network, ports, address: `${LOOPBACK}:${ports.grpc}`, admin: `${LOOPBACK}:${ports.admin}` });
    this.crypto = path.join(network.crypto, 'ordererOrganizations/example.com/orderers', `${name}.example.com`);
    this.tls = (file) => path.join(this.crypto, 'tls', file);
  }

  /** Joins the channel, as an administrator does by Fabric's osnadmin. */
  join() {
    const tls = ['--ca-file', this.tls('ca.crt'), '--client-cert', this.tls('server.crt'), '--client-key', this.tls('server.key')];
    const args = ['channel', 'join', '--channelID', CHANNEL, '--config-block', this.network.block, '-o', this.admin, ...tls];
    const answer = this.network.fabric('osnadmin', args);
    assert.match(answer, /Status: 201/, answer);
  }
}

class FabricOrderer extends Orderer {
  how() {
    const tls = (prefix) => ({
      [`${prefix}_TLS_ENABLED`]: 'true',
      [`${prefix}_TLS_PRIVATEKEY`]: this.tls('server.key'),
      [`${prefix}_TLS_CERTIFICATE`]: this.tls('server.crt'),
      [`${prefix}_TLS_ROOTCAS`]: `[${this.tls('ca.crt')}]`,
    });
    const env = {
      FABRIC_CFG_PATH: this.network.config,
      FABRIC_LOGGING_SPEC: 'info',
      ORDERER_GENERAL_LISTENADDRESS: LOOPBACK,
      ORDERER_GENERAL_LISTENPORT: String(this.ports.grpc),
      ORDERER_GENERAL_LOCALMSPID: 'OrdererMSP',
      ORDERER_GENERAL_LOCALMSPDIR: path.join(this.crypto, 'msp'),
      ...tls('ORDERER_GENERAL'),
      ORDERER_GENERAL_CLUSTER_CLIENTCERTIFICATE: this.tls('server.crt'),
      ORDERER_GENERAL_CLUSTER_CLIENTPRIVATEKEY: this.tls('server.key'),
      ORDERER_GENERAL_CLUSTER_ROOTCAS: `[${this.tls('ca.crt')}]`,
      ORDERER_GENERAL_BOOTSTRAPMETHOD: 'none',
      ORDERER_CHANNELPARTICIPATION_ENABLED: 'true',
      ORDERER_ADMIN_LISTENADDRESS: this.admin,
      ...tls('ORDERER_ADMIN'),
      ORDERER_ADMIN_TLS_CLIENTAUTHREQUIRED: 'true',
      ORDERER_ADMIN_TLS_CLIENTROOTCAS: `[${this.tls('ca.crt')}]`,
      ORDERER_OPERATIONS_LISTENADDRESS: `${LOOPBACK}:${this.ports.http}`,
      ORDERER_FILELEDGER_LOCATION: path.join(this.data, 'ledger'),
      ORDERER_CONSENSUS_WALDIR: path.join(this.data, 'wal'),
      ORDERER_CONSENSUS_SNAPDIR: path.join(this.data, 'snap'),
    };
    return { command: path.join(this.network.binaries, 'orderer'), args: [], env };
  }

  serves() {
    return this.said(/Beginning to serve requests/);
  }
}

class QuireOrderer extends Orderer {
  get identity() {
    return ['--data', path.join(this.data, 'quire-data'), '--msp-id', 'OrdererMSP', '--msp', path.join(this.crypto, 'msp')];
  }

  how() {
    const args = [
      ...['orderer', ...this.identity, '--listen', `${LOOPBACK}:${this.ports.http}`, '--grpc-listen', this.address],
      ...['--tls-cert', this.tls('server.crt'), '--tls-key', this.tls('server.key')],
      ...['--participation-listen', this.admin, '--participation-client-ca', this.tls('ca.crt')],
    ];
    return { command: this.network.quire, args };
  }

  serves() {
    return this.said(/is listening on/);
  }
}

/** A peer of an organisation, as its administrator's command line meets it. */
class Peer extends Process {
  constructor(network, org, ports) {
    super(network.work, `peer0.${org}`);
    Object.assign(this, { network, org, ports, address: `${LOOPBACK}:${ports.grpc}` });
    this.msp = `${org[0].toUpperCase()}${org.slice(1)}MSP`;
    this.folder = path.join(network.crypto, 'peerOrganizations', `${org}.example.com`);
    this.crypto = path.join(this.folder, 'peers', `peer0.${org}.example.com`);
    this.tls = (file) => path.join(this.crypto, 'tls', file);
  }

  user(name) {
    return path.join(this.folder, 'users', `${name}@${this.org}.example.com`, 'msp');
  }

  /** Runs Fabric's `peer` as somebody of this organisation, against this peer. */
  cli(args, { user = 'Admin' } = {}) {
    return this.network.fabric('peer', args, this.environment(user));
  }

  environment(user) {
    return {
      CORE_PEER_ADDRESS: this.address,
      CORE_PEER_LOCALMSPID: this.msp,
      CORE_PEER_MSPCONFIGPATH: this.user(user),
      CORE_PEER_TLS_ENABLED: 'true',
      CORE_PEER_TLS_ROOTCERT_FILE: this.tls('ca.crt'),
      FABRIC_LOGGING_SPEC: 'error',
    };
  }

  info() {
    return JSON.parse(this.cli(['channel', 'getinfo', '-c', CHANNEL]).replace(/^.*Blockchain info: /s, ''));
  }

  /** The bytes of a block as this peer has it. */
  blockBytes(number) {
    const file = path.join(this.work, `${this.name}-block`);
    this.cli(['channel', 'fetch', String(number), file, '-c', CHANNEL]);
    return readFileSync(file);
  }
}

export class FabricPeer extends Peer {
  how() {
    const env = {
      ...this.environment('Admin'),
      FABRIC_CFG_PATH: this.network.config,
      FABRIC_LOGGING_SPEC: 'info',
      CORE_PEER_ID: this.name,
      CORE_PEER_LISTENADDRESS: this.address,
      CORE_PEER_CHAINCODELISTENADDRESS: `${LOOPBACK}:${this.ports.chaincode}`,
      CORE_PEER_GOSSIP_BOOTSTRAP: this.address,
      CORE_PEER_GOSSIP_ENDPOINT: this.address,
      CORE_PEER_GOSSIP_EXTERNALENDPOINT: this.address,
      CORE_PEER_GOSSIP_USELEADERELECTION: 'false',
      CORE_PEER_GOSSIP_ORGLEADER: 'true',
      CORE_PEER_MSPCONFIGPATH: path.join(this.crypto, 'msp'),
      CORE_PEER_TLS_CERT_FILE: this.tls('server.crt'),
      CORE_PEER_TLS_KEY_FILE: this.tls('server.key'),
      CORE_PEER_FILESYSTEMPATH: path.join(this.data, 'production'),
      CORE_LEDGER_SNAPSHOTS_ROOTDIR: path.join(this.data, 'snapshots'),
      CORE_OPERATIONS_LISTENADDRESS: `${LOOPBACK}:${this.ports.http}`,
      CORE_VM_ENDPOINT: '',
    };
    return { command: path.join(this.network.binaries, 'peer'), args: ['node', 'start'], env };
  }

  serves() {
    return this.said(/Started peer with ID/);
  }

  join() {
    this.cli(['channel', 'join', '-b', this.network.block]);
  }

  /** The state of all namespaces, from a snapshot that the peer makes. */
  async state() {
    const tls = ['--peerAddress', this.address, '--tlsRootCertFile', this.tls('ca.crt')];
    const { height } = this.info();
    this.cli(['snapshot', 'submitrequest', '-c', CHANNEL, '-b', '0', ...tls]);
    const folder = path.join(this.data, 'snapshots/completed', CHANNEL, String(height - 1));
    await until('the snapshot', () => readdirSync(folder).length > 0);
    return { folder };
  }
}

export class QuirePeer extends Peer {
  get identity() {
    const client = ['--client-msp', this.user('User1')];
    return ['--data', path.join(this.data, 'quire-data'), '--msp-id', this.msp, '--msp', path.join(this.crypto, 'msp'), ...client];
  }

  how() {
    const args = [
      ...['run', ...this.identity, '--ordering', 'remote', '--grpc-listen', this.address],
      ...['--listen', `${LOOPBACK}:${this.ports.http}`, '--tls-cert', this.tls('server.crt'), '--tls-key', this.tls('server.key')],
    ];
    return { command: this.network.quire, args };
  }

  serves() {
    return this.said(/is listening on/);
  }

  join() {
    const args = ['channel', 'join', '--block', this.network.block, '--ordering', 'remote', ...this.identity];
    return execFileSync(this.network.quire, args, { encoding: 'utf8' });
  }

  check() {
    const how = ['--data', path.join(this.data, 'quire-data'), '--msp-id', this.msp, '--signatures', '--revalidate'];
    return execFileSync(this.network.quire, ['check', ...how], { encoding: 'utf8' });
  }
}

/** A channel of Org1, whose peer is Fabric's, and Org2, whose peer is Quire's. */
export class Network {
  constructor({ quire, fabric, work, builder, edit = (profile) => profile }) {
    Object.assign(this, { quire, work, binaries: path.join(fabric, 'bin'), builder, edit });
    mkdirSync(work, { recursive: true });
    this.config = path.join(work, 'config');
    this.crypto = path.join(work, 'crypto');
    this.block = path.join(work, `${CHANNEL}.block`);
    this.#settings(path.join(fabric, 'sampleconfig'));
  }

  /** Fabric's own settings, but for where its builder of chaincodes is. */
  #settings(sample) {
    mkdirSync(this.config);
    const core = readFileSync(path.join(sample, 'core.yaml'), 'utf8');
    writeFileSync(path.join(this.config, 'core.yaml'), core.replace('/opt/hyperledger/ccaas_builder', this.builder));
    writeFileSync(path.join(this.config, 'orderer.yaml'), readFileSync(path.join(sample, 'orderer.yaml')));
  }

  /** Runs one of Fabric's programs; gives what it printed, on both streams. */
  fabric(program, args, env = {}) {
    const environment = { ...process.env, FABRIC_CFG_PATH: this.config, ...env };
    const options = { encoding: 'utf8', env: environment, stdio: ['ignore', 'pipe', 'pipe'], timeout: 120_000 };
    try {
      return execFileSync(path.join(this.binaries, program), args, options);
    } catch (error) {
      throw new Error(`${program} ${args.join(' ')}\n${error.stdout}${error.stderr}`);
    }
  }

  /** Makes the keys, the configuration and the processes, and starts them all. */
  async begin(whose, orderers) {
    const ports = async () => ({ grpc: await freePort(), admin: await freePort(), http: await freePort(), chaincode: await freePort() });
    const names = Array.from({ length: orderers }, (_, i) => `orderer${i}`);
    const [one, two] = [await ports(), await ports()];
    const places = [];
    for (const _ of names) places.push(await ports());
    this.#cryptogen(names);
    this.#configtxgen(names, places, [one, two]);
    const Kind = whose === 'quire' ? QuireOrderer : FabricOrderer;
    this.orderers = names.map((name, i) => new Kind(this, name, places[i]));
    this.fabricPeer = new FabricPeer(this, 'org1', one);
    this.quirePeer = new QuirePeer(this, 'org2', two);
    this.peers = [this.fabricPeer, this.quirePeer];
    for (const orderer of this.orderers) await orderer.start();
    for (const orderer of this.orderers) orderer.join();
    this.quirePeer.join();
    for (const peer of this.peers) await peer.start();
    this.fabricPeer.join();
  }

  #cryptogen(orderers) {
    const san = `SANS: [ "${LOOPBACK}", localhost ]`;
    const specs = orderers.map((name) => `      - { Hostname: ${name}, ${san} }`).join('\n');
    const orderer = `OrdererOrgs:\n  - Name: Orderer\n    Domain: example.com\n    EnableNodeOUs: true\n    Specs:\n${specs}\n`;
    const peer = (name) => `
  - Name: ${name}
    Domain: ${name.toLowerCase()}.example.com
    EnableNodeOUs: true
    Template: { Count: 1, ${san} }
    Users: { Count: 1 }`;
    const file = path.join(this.work, 'crypto-config.yaml');
    writeFileSync(file, `${orderer}PeerOrgs:${peer('Org1')}${peer('Org2')}\n`);
    this.fabric('cryptogen', ['generate', '--config', file, '--output', this.crypto]);
  }

  #configtxgen(names, places, peers) {
    const certificate = (name) => `crypto/ordererOrganizations/example.com/orderers/${name}.example.com/tls/server.crt`;
    const consenters = names.map((name, i) => `
          - { Host: ${LOOPBACK}, Port: ${places[i].grpc}, ClientTLSCert: ${certificate(name)}, ServerTLSCert: ${certificate(name)} }`);
    const endpoints = places.map(({ grpc }) => `"${LOOPBACK}:${grpc}"`).join(', ');
    const msp = (org) => `crypto/peerOrganizations/${org}.example.com/msp`;
    const anchor = ({ grpc }) => `AnchorPeers: [ { Host: ${LOOPBACK}, Port: ${grpc} } ]`;
    const profile = `
Organizations:
${organization('Orderer', 'crypto/ordererOrganizations/example.com/msp', `OrdererEndpoints: [ ${endpoints} ]`)}
${organization('Org1', msp('org1'), anchor(peers[0]))}
${organization('Org2', msp('org2'), anchor(peers[1]))}
Profiles:
  Channel:
    Capabilities: { V2_0: true }
    Policies:${POLICIES}
    Orderer:
      OrdererType: etcdraft
      BatchTimeout: 200ms
      BatchSize: { MaxMessageCount: 10, AbsoluteMaxBytes: 10 MB, PreferredMaxBytes: 2 MB }
      EtcdRaft:
        Consenters:${consenters.join('')}
      Organizations: [ *Orderer ]
      Policies:${POLICIES}
        BlockValidation: { Type: ImplicitMeta, Rule: "ANY Writers" }
      Capabilities: { V2_0: true }
    Application:
      # A peer of Fabric knows no built-in chaincode.
      ACLs: { documents/Submit: /Channel/Application/Nobody }
      Organizations: [ *Org1, *Org2 ]
      Policies:${POLICIES}
        Endorsement: { Type: ImplicitMeta, Rule: "MAJORITY Endorsement" }
        LifecycleEndorsement: { Type: ImplicitMeta, Rule: "MAJORITY Endorsement" }
      Capabilities: { V2_5: true }
`;
    writeFileSync(path.join(this.work, 'configtx.yaml'), this.edit(profile));
    const args = ['-profile', 'Channel', '-channelID', CHANNEL, '-outputBlock', this.block, '-configPath', this.work];
    this.fabric('configtxgen', args, { FABRIC_CFG_PATH: this.work });
  }

  /** The flags that name an orderer. */
  ordererFlags(place = 0) {
    const orderer = this.orderers[place];
    return ['-o', orderer.address, '--tls', '--cafile', orderer.tls('ca.crt')];
  }

  /** The flags that name peers. */
  peerFlags(peers = this.peers) {
    return peers.flatMap((peer) => ['--peerAddresses', peer.address, '--tlsRootCertFiles', peer.tls('ca.crt')]);
  }

  async end() {
    for (const one of [...(this.peers ?? []), ...(this.orderers ?? [])]) await one.stop();
  }
}
