#!/usr/bin/env node
// What the scenario suite of hyperledger/fabric-gateway asks of `docker`, done with the nodes of Quire: an orderer, five
// peers of three organisations, and the command lines of their administrators.
//
// Put a folder with a link `docker` to this file first on the PATH of the suite. QUIRE is the binary, SCENARIO the
// suite's folder, WORK a folder for data and logs. The names of the peers must lead to 127.0.0.1.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createServer } from 'node:http';
import https from 'node:https';
import { existsSync, mkdirSync, openSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const { QUIRE: quire, SCENARIO: scenario, WORK: work } = process.env;
for (const [name, value] of Object.entries({ QUIRE: quire, SCENARIO: scenario, WORK: work })) {
  if (!value) throw new Error(`${name} is not set`);
}
const material = path.join(scenario, 'fixtures/crypto-material');
const crypto = path.join(material, 'crypto-config');
const block = path.join(material, 'mychannel.block');
const ORDERER = { name: 'orderer1.example.com', grpc: 7050, admin: 7053, http: 7043 };
const PEERS = [
  ['peer0.org1', 7051, 7443], ['peer1.org1', 9051, 9443],
  ['peer0.org2', 8051, 8443], ['peer1.org2', 10051, 10443],
  ['peer0.org3', 11051, 11443],
].map(([name, grpc, operations]) => ({ name: `${name}.example.com`, org: name.split('.')[1], grpc, operations }));

/** How far the port of operations is from where the suite asks for the health. */
const SECURE = 20_000;

const msp = (org) => `O${org.slice(1)}MSP`;
const folder = (org) => path.join(crypto, `peerOrganizations/${org}.example.com`);
const data = ({ name }) => path.join(work, name);
const tls = (home) => ['--tls-cert', path.join(home, 'tls/server.crt'), '--tls-key', path.join(home, 'tls/server.key')];

/** The flags by which a node knows who it is. */
function identity(node) {
  const home = homeOf(node);
  const own = ['--data', data(node), '--msp-id', node.org ? msp(node.org) : 'OrdererMSP', '--msp', path.join(home, 'msp')];
  return node.org ? [...own, '--client-msp', path.join(folder(node.org), `users/User1@${node.org}.example.com/msp`)] : own;
}

function homeOf({ name, org }) {
  return org ? path.join(folder(org), 'peers', name) : path.join(crypto, 'ordererOrganizations/example.com/orderers', name);
}

/** Starts a process that outlives this one. */
function detached(name, command, args) {
  const output = openSync(path.join(work, `${name}.log`), 'a');
  const child = spawn(command, args, { detached: true, stdio: ['ignore', output, output] });
  writeFileSync(path.join(work, `${name}.pid`), String(child.pid));
  child.unref();
}

/** Serves the health of a peer in plain, as the suite asks for it: the node serves all by TLS. */
function health(node) {
  const ca = readFileSync(path.join(homeOf(node), 'tls/ca.crt'));
  const options = { host: '127.0.0.1', servername: node.name, port: node.operations + SECURE, path: '/healthz', ca };
  const answer = (_, response) => {
    const asked = https.get(options, (told) => {
      response.writeHead(told.statusCode, told.headers);
      told.pipe(response);
    });
    asked.on('error', () => response.writeHead(503).end('{"status":"away"}'));
  };
  createServer(answer).listen(node.operations, '127.0.0.1');
}

/** Starts a node, and waits until it listens. */
function start(node) {
  const home = homeOf(node);
  const kind = node.org ? ['run', '--ordering', 'remote', '--operations-listen', `127.0.0.1:${node.operations + SECURE}`] : ['orderer'];
  const listen = ['--listen', `127.0.0.1:${node.http ?? 0}`, '--grpc-listen', `${node.name}:${node.grpc}`];
  const ca = path.join(home, 'tls/ca.crt');
  const admin = ['--participation-listen', `127.0.0.1:${node.admin}`, '--participation-client-ca', ca];
  const log = path.join(work, `${node.name}.log`);
  const from = existsSync(log) ? readFileSync(log).length : 0;
  detached(node.name, quire, [...kind, ...identity(node), ...listen, ...tls(home), ...(node.admin ? admin : [])]);
  if (node.org) detached(healthOf(node), process.execPath, [process.argv[1], 'health', node.name]);
  for (let tries = 0; tries < 300; tries++) {
    if (readFileSync(log).subarray(from).includes('is listening on')) return;
    spawnSync('sleep', ['0.1']);
  }
  throw new Error(`${node.name} does not listen: ${readFileSync(log, 'utf8').slice(-2000)}`);
}

/** Ends a node, and returns when it is gone. */
function stop(node) {
  if (node.org) end(healthOf(node));
  end(node.name);
}

const healthOf = ({ name }) => `health-${name}`;

function end(name) {
  const file = path.join(work, `${name}.pid`);
  if (!existsSync(file)) return;
  const pid = Number(readFileSync(file, 'utf8'));
  rmSync(file);
  for (let tries = 0; tries < 300; tries++) {
    try {
      process.kill(pid, tries === 0 ? 'SIGTERM' : 0);
    } catch {
      return;
    }
    spawnSync('sleep', ['0.1']);
  }
  throw new Error(`${name} does not end`);
}

/**
 * The suite's network, with one orderer, with each peer an anchor peer, since peers are known by the configuration and not
 * by gossip, with the policies by which peers endorse, and without the built-in chaincode.
 */
function network() {
  const policy = (indent, name, type, rule) => `${indent}${name}: { Type: ${type}, Rule: "${rule}" }\n`;
  const endorsement = ['Endorsement', 'LifecycleEndorsement'];
  const policies = endorsement.map((name) => policy(' '.repeat(8), name, 'ImplicitMeta', 'MAJORITY Endorsement')).join('');
  return readFileSync(path.join(material, 'configtx.yaml'), 'utf8')
    .replaceAll(/ {12}- Host: orderer[23]\..*\n( {14}.*\n){3}/g, '')
    .replaceAll(/ {8}- orderer[23]\..*\n/g, '')
    .replace('Application: &ApplicationDefaults\n', '$&    ACLs: { documents/Submit: /Channel/Application/Nobody }\n')
    .replace(/ {12}Rule: "MAJORITY Admins"\n/, `$&${policies}`)
    .replaceAll(/ {16}Rule: "OR\('(Org\dMSP)\.admin'\)"\n/g, (line, org) =>
      line + policy(' '.repeat(12), 'Endorsement', 'Signature', `OR('${org}.peer')`))
    .replaceAll(/ {12}- Host: peer0\.(org\d)\..*\n.*\n/g, (first, org) =>
      first + PEERS.filter((peer) => peer.org === org && !peer.name.startsWith('peer0'))
        .map(({ name, grpc }) => `            - { Host: ${name}, Port: ${grpc} }\n`).join(''))
    .replaceAll('crypto-config/', `${crypto}/`);
}

/** What create_channel.sh does in a container. */
function createChannel() {
  rmSync(crypto, { recursive: true, force: true });
  rmSync(block, { force: true });
  const run = (...args) => execFileSync(quire, args, { cwd: material, stdio: 'inherit' });
  run('cryptogen', 'generate', '--config', 'crypto-config.yaml', '--output', 'crypto-config');
  writeFileSync(path.join(work, 'configtx.yaml'), network());
  run('configtxgen', '-configPath', work, '-profile', 'ThreeOrgsApplicationGenesis', '-outputBlock', block, '-channelID', 'mychannel');
  for (const name of readdirSync(crypto, { recursive: true })) {
    if (name.endsWith('_sk')) renameSync(path.join(crypto, name), path.join(crypto, path.dirname(name), 'key.pem'));
  }
}

/** Runs a command of an administrator's container. */
function execute(args) {
  const env = {};
  while (args[0] === '-e') {
    const [name, value] = args[1].split('=');
    env[name] = value;
    args = args.slice(2);
  }
  const [container, program, ...rest] = args;
  const org = container.replace('_cli', '');
  const here = path.join(work, container);
  mkdirSync(here, { recursive: true });
  const mapped = rest.map((word) => word
    .replace(/^\/etc\/hyperledger\/config(tx)?\//, `${material}/`)
    .replace(/^\/opt\/gopath\/src\/github\.com\//, `${path.join(scenario, 'fixtures')}/`));
  const peer = PEERS.find((one) => one.org === org);
  const environment = {
    CORE_PEER_ADDRESS: `${peer.name}:${peer.grpc}`,
    CORE_PEER_LOCALMSPID: msp(org),
    CORE_PEER_MSPCONFIGPATH: path.join(folder(org), `users/Admin@${org}.example.com/msp`),
    CORE_PEER_TLS_ENABLED: 'true',
    CORE_PEER_TLS_ROOTCERT_FILE: path.join(homeOf(peer), 'tls/ca.crt'),
    ...env,
  };
  if (program === 'osnadmin' && !mapped.some((word) => word.startsWith(ORDERER.name))) {
    return 0; // There is one orderer.
  }
  if (program === 'peer' && rest[0] === 'channel' && rest[1] === 'join') {
    const joining = PEERS.find(({ name, grpc }) => `${name}:${grpc}` === environment.CORE_PEER_ADDRESS);
    return run(['channel', 'join', '--block', block, '--ordering', 'remote', ...identity(joining)], here, {});
  }
  const status = run([program, ...mapped], here, environment);
  if (status === 0 && mapped.includes('commit')) built(mapped[mapped.indexOf('--name') + 1]);
  return status;
}

/** Waits until all peers run a chaincode. Fabric builds it when it is installed, and a node when it is committed. */
function built(name) {
  const runs = (peer) => {
    const args = ['chaincode', 'list', '--channel', 'mychannel', '--data', data(peer), '--msp-id', msp(peer.org)];
    const { stdout } = spawnSync(quire, args, { encoding: 'utf8' });
    return stdout.split('\n').some((line) => line.startsWith(`${name}\t`) && line.endsWith('\truns'));
  };
  for (let tries = 0; tries < 600; tries++) {
    if (PEERS.filter(({ name }) => existsSync(path.join(work, `${name}.pid`))).every(runs)) return;
    spawnSync('sleep', ['0.5']);
  }
  throw new Error(`${name} does not run`);
}

function run(args, cwd, environment) {
  return spawnSync(quire, args, { cwd, stdio: 'inherit', env: { ...process.env, ...environment } }).status;
}

function main([verb, ...args]) {
  mkdirSync(work, { recursive: true });
  const all = [ORDERER, ...PEERS];
  const named = () => all.find(({ name }) => name === args[0]);
  if (verb === 'health') return health(named());
  if (verb === 'exec') return execute(args);
  if (verb === 'stop') return stop(named());
  if (verb === 'start') return start(named());
  if (args.includes('up')) return all.forEach(start);
  if (args.includes('down')) return all.reverse().forEach(stop);
  if (args.includes('run')) return createChannel();
  throw new Error(`docker ${verb} ${args.join(' ')} is not known here`);
}

process.exitCode = main(process.argv.slice(2)) ?? 0;
