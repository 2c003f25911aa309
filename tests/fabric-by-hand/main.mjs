#!/usr/bin/env node
// Fabric's own programs and Quire on one channel: a peer of each follows what orderers of the other order. Both must
// have the same blocks, verdicts, commit hashes and state, whoever dies in between.
//
// By hand, for nobody's CI builds Fabric:
//   node main.mjs --quire PATH --fabric DIR --chaincode PATH [--keys PATH] [--orderers quire|fabric] [--work DIR]
// DIR is a checkout of Fabric, in whose `bin` are peer, orderer, osnadmin, configtxgen, configtxlator, cryptogen and
// ledgerutil, and in `bin/ccaas_builder/bin` detect, build and release of its `ccaas_builder`. The chaincode is
// examples/transfers-go, built. --keys is a further one, `private` of the scenarios of hyperledger/fabric-gateway, built:
// it sets policies of single keys.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { later, until } from '../kafka/brokers.mjs';
import { freePort } from '../ports.mjs';
import { block, snapshotState } from './messages.mjs';
import { CHANNEL, Network } from './network.mjs';

const { values: options } = parseArgs({
  options: Object.fromEntries(['quire', 'fabric', 'chaincode', 'keys', 'orderers', 'work'].map((name) => [name, { type: 'string' }])),
});
for (const name of ['quire', 'fabric', 'chaincode']) if (!options[name]) throw new Error(`--${name} is needed`);
const given = (name) => path.resolve(options[name]);
const top = options.work ?? mkdtempSync(path.join(os.tmpdir(), 'fabric-by-hand-'));
const ok = (what) => console.log(`${new Date().toISOString().slice(11, 19)} ok  ${what}`);

/** The network with a chaincode that both peers dial. */
class Run {
  constructor(whose) {
    this.whose = whose;
    const work = path.join(top, whose);
    const builder = path.join(given('fabric'), 'bin/ccaas_builder');
    this.network = new Network({ quire: given('quire'), fabric: given('fabric'), work, builder });
    this.work = work;
    this.packages = {};
    this.services = [];
  }

  async begin() {
    await this.network.begin(this.whose, this.whose === 'fabric' ? 3 : 1);
    this.fabric = this.network.fabricPeer;
    this.quire = this.network.quirePeer;
    await this.same();
    ok(`both peers have joined the channel that ${this.whose} orders`);
  }

  /** Waits until both peers have as many blocks as the orderer, and compares all that can be compared. */
  async same() {
    const infos = await until('both peers are at one height', () => {
      const [one, two] = this.network.peers.map((peer) => peer.info());
      return one.height === two.height && this.height !== one.height && [one, two];
    });
    assert.deepEqual(infos[0], infos[1]);
    const from = this.height ?? 0;
    this.height = infos[0].height;
    for (let number = from; number < this.height; number++) {
      const [one, two] = this.network.peers.map((peer) => block(peer.blockBytes(number)));
      assert.deepEqual(two, one, `block ${number}`);
      this.codes = { ...this.codes, [number]: one.codes };
      if (number > 0) assert.equal(one.commitHash.length, 64, `block ${number} has a commit hash`);
      this.commitHash = one.commitHash;
    }
    return this.height;
  }

  async deploy(name, policy, code = 'chaincode') {
    const { network } = this;
    const packageId = (this.packages[code] ??= await this.install(code));
    const what = ['--channelID', CHANNEL, '--name', name, '--version', '1', '--sequence', '1'];
    const definition = [...what, ...(policy ? ['--signature-policy', policy] : [])];
    const lifecycle = ['lifecycle', 'chaincode'];
    for (const peer of network.peers) {
      peer.cli([...lifecycle, 'approveformyorg', ...definition, '--package-id', packageId, ...network.ordererFlags()]);
    }
    for (const peer of network.peers) {
      const ready = JSON.parse(peer.cli([...lifecycle, 'checkcommitreadiness', ...definition, '--output', 'json']));
      assert.deepEqual(ready.approvals, { Org1MSP: true, Org2MSP: true });
    }
    this.fabric.cli([...lifecycle, 'commit', ...definition, ...network.ordererFlags(), ...network.peerFlags()]);
    await this.same();
    const [one, two] = network.peers.map((peer) =>
      JSON.parse(peer.cli([...lifecycle, 'querycommitted', '-C', CHANNEL, '-n', name, '--output', 'json'])));
    assert.deepEqual(two, one);
    ok(`${name}: approved at each peer, committed with the endorsements of both`);
  }

  /** Installs one package at both peers, and starts the service that they dial. */
  async install(code) {
    const address = `127.0.0.1:${await freePort()}`;
    const folder = path.join(this.work, code);
    mkdirSync(folder);
    writeFileSync(path.join(folder, 'connection.json'), JSON.stringify({ address, dial_timeout: '10s', tls_required: false }));
    writeFileSync(path.join(folder, 'metadata.json'), JSON.stringify({ type: 'ccaas', label: code }));
    const tar = (name, ...files) => execFileSync('tar', ['czf', name, ...files], { cwd: folder });
    tar('code.tar.gz', 'connection.json');
    tar('package.tgz', 'metadata.json', 'code.tar.gz');
    const file = path.join(folder, 'package.tgz');
    const packageId = this.fabric.cli(['lifecycle', 'chaincode', 'calculatepackageid', file]).trim();
    const env = { ...process.env, CHAINCODE_SERVER_ADDRESS: address, CORE_CHAINCODE_ID_NAME: packageId };
    const output = openSync(path.join(this.work, `${code}.log`), 'w');
    this.services.push(spawn(given(code), [], { env, stdio: ['ignore', output, output] }));
    for (const peer of this.network.peers) {
      peer.cli(['lifecycle', 'chaincode', 'install', file]);
      const { installed_chaincodes: all } = JSON.parse(peer.cli(['lifecycle', 'chaincode', 'queryinstalled', '--output', 'json']));
      assert.ok(all.some((one) => one.package_id === packageId));
    }
    return packageId;
  }

  /** Calls a chaincode as User1 of Org1 at some of the peers, and waits for the block there. */
  invoke(name, call, args, { peers = this.network.peers, orderer = 0 } = {}) {
    const text = JSON.stringify({ function: call, Args: args });
    const where = [...this.network.ordererFlags(orderer), ...this.network.peerFlags(peers), '--waitForEvent'];
    return this.fabric.cli(['chaincode', 'invoke', '-C', CHANNEL, '-n', name, '-c', text, ...where], { user: 'User1' });
  }

  /** A call that may come too early for a process that has just started. */
  async invoked(...how) {
    return until(`${how[1]} ${how[2]}`, () => {
      this.invoke(...how);
      return true;
    });
  }

  /** Several calls at one time, of which only some can be valid. */
  async race() {
    const { network } = this;
    const one = (i) => new Promise((resolve) => {
      const text = JSON.stringify({ function: 'Deposit', Args: ['race', '1'] });
      const args = ['chaincode', 'invoke', '-C', CHANNEL, '-n', 'both', '-c', text, ...network.ordererFlags(i % network.orderers.length), ...network.peerFlags()];
      const env = { ...process.env, FABRIC_CFG_PATH: network.config, ...this.fabric.environment('User1') };
      spawn(path.join(network.binaries, 'peer'), args, { env, stdio: 'ignore' }).on('exit', resolve);
    });
    await this.invoked('both', 'OpenAccount', ['race', '100']);
    await Promise.all(Array.from({ length: 12 }, (_, i) => one(i)));
    await later(1000);
    await this.same();
    const codes = Object.values(this.codes).flat();
    assert.ok(codes.includes(11), `there is a conflict among ${codes}`);
    ok(`calls in conflict get the same verdicts: ${codes.filter((code) => code === 11).length} lost`);
  }

  /** Keys have policies of their own: who must endorse the next change of one. */
  async keys() {
    await this.deploy('keys', "OR('Org1MSP.peer','Org2MSP.peer')", 'keys');
    const { fabric, quire } = this;
    await this.invoked('keys', 'SetStateWithEndorser', ['k', '1', 'Org2MSP'], { peers: [fabric] });
    const change = (value, peers) => {
      try {
        this.invoke('keys', 'ChangeState', ['k', value], { peers });
        return 0;
      } catch (error) {
        return Number(error.message.match(/invalidated with status \((\w+)\)/)?.[1] === 'ENDORSEMENT_POLICY_FAILURE') && 10;
      }
    };
    assert.deepEqual([change('2', [fabric]), change('3', [quire]), change('4', [quire, fabric])], [10, 0, 0]);
    await this.invoked('keys', 'SetStateEndorsers', ['k', 'Org1MSP', 'Org2MSP'], { peers: [quire] });
    assert.deepEqual([change('5', [quire]), change('6', [fabric]), change('7', [fabric, quire])], [10, 10, 0]);
    await this.same();
    assert.ok(Object.values(this.codes).flat().includes(10));
    ok('a key goes by its own policy at both peers, whoever set it');
  }

  /** The configuration is changed by the orderers' administrator, with Fabric's tools. */
  async reconfigure(seconds) {
    const { network, work } = this;
    const file = (name) => path.join(work, name);
    this.fabric.cli(['channel', 'fetch', 'config', file('config.pb'), '-c', CHANNEL, ...network.ordererFlags()]);
    const translate = (verb, ...args) => network.fabric('configtxlator', [verb, ...args]);
    translate('proto_decode', '--type', 'common.Block', '--input', file('config.pb'), '--output', file('config.json'));
    const { config } = JSON.parse(readFileSync(file('config.json'), 'utf8')).data.data[0].payload.data;
    const encode = (content, to, type = 'common.Config') => {
      writeFileSync(file('some.json'), JSON.stringify(content));
      translate('proto_encode', '--type', type, '--input', file('some.json'), '--output', file(to));
    };
    encode(config, 'before.pb');
    config.channel_group.groups.Orderer.values.BatchTimeout.value.timeout = `${seconds}s`;
    encode(config, 'after.pb');
    translate('compute_update', '--channel_id', CHANNEL, '--original', file('before.pb'), '--updated', file('after.pb'), '--output', file('update.pb'));
    translate('proto_decode', '--type', 'common.ConfigUpdate', '--input', file('update.pb'), '--output', file('update.json'));
    const update = JSON.parse(readFileSync(file('update.json'), 'utf8'));
    const header = { channel_header: { channel_id: CHANNEL, type: 2 } };
    encode({ payload: { header, data: { config_update: update } } }, 'envelope.pb', 'common.Envelope');
    const admin = path.join(network.crypto, 'ordererOrganizations/example.com/users/Admin@example.com/msp');
    const env = { ...this.fabric.environment('Admin'), CORE_PEER_LOCALMSPID: 'OrdererMSP', CORE_PEER_MSPCONFIGPATH: admin };
    network.fabric('peer', ['channel', 'update', '-c', CHANNEL, '-f', file('envelope.pb'), ...network.ordererFlags()], env);
    await this.same();
    ok(`the configuration was changed in block ${this.height - 1}, and is in force at both`);
  }

  /** Kills a process, goes on without it, and starts it again. */
  async without(process, how, goesOn) {
    await process.stop('SIGKILL');
    await goesOn?.();
    await process.start();
    await this.invoked('both', 'Deposit', ['a', '1']);
    await this.same();
    ok(how);
  }

  async deaths() {
    const deposit = (peer, orderer = 0) => () => this.invoked('either', 'Deposit', ['a', '1'], { peers: [peer], orderer });
    const several = (one) => async () => {
      for (let i = 0; i < 5; i++) await one();
    };
    await this.without(this.fabric, "Fabric's peer was killed, and has caught up with Quire's", several(deposit(this.quire)));
    await this.without(this.quire, "Quire's peer was killed, and has caught up with Fabric's", several(deposit(this.fabric)));
    for (const [place, orderer] of this.network.orderers.entries()) {
      const others = this.network.orderers.length > 1 ? deposit(this.quire, (place + 1) % 3) : undefined;
      await this.without(orderer, `${orderer.name} was killed and started again`, others);
    }
  }

  ask(where) {
    const url = `https://127.0.0.1:${this.quire.ports.http}/v1/channels/${CHANNEL}${where}`;
    return new Promise((resolve, reject) => {
      const request = https.get(url, { ca: readFileSync(this.quire.tls('ca.crt')) }, (response) => {
        let text = '';
        response.on('data', (data) => (text += data));
        response.on('end', () => resolve(JSON.parse(text)));
      });
      request.on('error', reject);
    });
  }

  /** A snapshot of Fabric's peer against what Quire's answers by REST. */
  async states() {
    const { folder } = await this.fabric.state();
    const all = snapshotState(folder);
    for (const namespace of ['both', 'either']) {
      const theirs = all.filter((row) => row.namespace === namespace);
      const { rows } = await this.ask(`/state/${namespace}?limit=1000`);
      const number = ([length, ...bytes]) => [bytes.slice(0, length).reduce((sum, byte) => sum * 256 + byte, 0), bytes.slice(length)];
      const version = (bytes) => {
        const [height, rest] = number([...bytes]);
        return `${height}.${number(rest)[0]}`;
      };
      const expected = theirs.map(({ key, value, version: at }) => ({ key, version: version(at), value: JSON.parse(value) }));
      assert.ok(expected.length > 0);
      assert.deepEqual(rows, expected);
      ok(`${namespace}: ${rows.length} keys with their versions and values are in the snapshot of Fabric's peer and at Quire's`);
    }
  }

  /** What is on the disks, by the tools of both. */
  async disks() {
    await this.network.end();
    assert.match(this.quire.check(), /sound/);
    const chains = {
      fabric: path.join(this.fabric.data, 'production/ledgersData/chains/chains', CHANNEL),
      quire: path.join(this.quire.data, 'quire-data/channels', CHANNEL),
    };
    for (const [whose, chain] of Object.entries(chains)) {
      const store = path.join(this.work, `verify-${whose}`);
      const target = path.join(store, 'ledgersData/chains/chains', CHANNEL);
      mkdirSync(target, { recursive: true });
      for (const name of readdirSync(chain)) if (name.startsWith('blockfile_')) cpSync(path.join(chain, name), path.join(target, name));
      try {
        const told = this.network.fabric('ledgerutil', ['verify', store, '-o', store]);
        ok(`ledgerutil verify of the blocks of ${whose}'s peer: ${told.trim().split('\n').at(-1)}`);
      } catch (error) {
        console.log(`ledgerutil verify of ${whose}: ${error.message}`);
      }
    }
    ok(`quire check --signatures --revalidate is sound; ${this.height} blocks, the newest commit hash is ${this.commitHash}`);
  }

  async all() {
    await this.begin();
    await this.deploy('both');
    await this.deploy('either', "OR('Org1MSP.peer','Org2MSP.peer')");
    for (const name of ['both', 'either']) await this.invoked(name, 'OpenAccount', ['a', '100']);
    for (let i = 0; i < 10; i++) await this.invoked(i % 2 ? 'both' : 'either', 'Deposit', ['a', String(i + 1)]);
    await this.same();
    ok('calls that both peers endorse, or either');
    await this.race();
    if (options.keys) await this.keys();
    await this.reconfigure('0.1');
    await this.deaths();
    await this.reconfigure('0.3');
    await this.states();
    await this.disks();
  }

  async end() {
    await this.network.end();
    for (const service of this.services) service.kill();
  }
}

console.log(`logs are in ${top}`);
for (const whose of options.orderers ? [options.orderers] : ['quire', 'fabric']) {
  const run = new Run(whose);
  try {
    await run.all();
  } finally {
    await run.end();
  }
}
