#!/usr/bin/env node
// Drives a node with Hyperledger Caliper and its Fabric connector, unchanged, over TLS that only the server shows a
// certificate for. Keeps Caliper's report, and fails if any transaction did.
//
//   npm ci --ignore-scripts && node run.mjs --quire ../../target/release/quire --seconds 60 --out report.html

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Node } from '../../tests/fabric-clients/node.mjs';

const { values: options } = parseArgs({
  options: {
    quire: { type: 'string' },
    seconds: { type: 'string', default: '60' },
    out: { type: 'string', default: 'report.html' },
    // Where the packages are, if not here.
    packages: { type: 'string' },
  },
});
if (!options.quire) throw new Error('--quire PATH is needed');
const here = path.dirname(fileURLToPath(import.meta.url));
const packages = options.packages ?? here;

const node = new Node(options.quire, '--tls-cert', '@work/cert.pem', '--tls-key', '@work/key.pem');
node.args = node.args.map((arg) => arg.replace('@work', node.work));
const made = spawnSync('openssl', [
  ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
  ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'],
  ...['-keyout', path.join(node.work, 'key.pem'), '-out', path.join(node.work, 'cert.pem')],
]);
assert.equal(made.status, 0, `${made.stderr}`);
await node.start();

const workspace = path.join(node.work, 'caliper');
mkdirSync(workspace);
const msp = path.join(node.data, 'identities', 'client', 'msp');
const only = (folder) => path.join(msp, folder, readdirSync(path.join(msp, folder))[0]);
writeFileSync(
  path.join(workspace, 'network.yaml'),
  `name: Quire
version: "2.0.0"
caliper:
  blockchain: fabric
channels:
  - channelName: main
    contracts:
      - id: orders
organizations:
  - mspid: QuireMSP
    identities:
      certificates:
        - name: client
          clientPrivateKey: { path: "${only('keystore')}" }
          clientSignedCert: { path: "${only('signcerts')}" }
    peers:
      - endpoint: ${node.grpc}
        grpcOptions:
          ssl-target-name-override: localhost
        tlsCACerts: { path: "${path.join(node.work, 'cert.pem')}" }
`,
);
const round = (label, module, half) => `
    - label: ${label}
      txDuration: ${half}
      rateControl: { type: fixed-load, opts: { transactionLoad: 50 } }
      workload: { module: '${path.join(here, module)}' }`;
const half = Math.ceil(Number(options.seconds) / 2);
writeFileSync(
  path.join(workspace, 'benchmark.yaml'),
  `test:
  name: documents
  workers: { number: 1 }
  rounds:${round('put', 'put.cjs', half)}${round('get', 'get.cjs', half)}
`,
);
const caliper = spawn(
  process.execPath,
  [
    path.join(packages, 'node_modules/@hyperledger/caliper-cli/caliper.js'),
    ...['launch', 'manager', '--caliper-workspace', workspace, '--caliper-flow-only-test'],
    ...['--caliper-networkconfig', 'network.yaml', '--caliper-benchconfig', 'benchmark.yaml'],
    ...['--caliper-fabric-gateway-enabled', '--caliper-report-path', path.join(workspace, 'report.html')],
  ],
  {
    cwd: packages,
    env: { ...process.env, NODE_PATH: path.join(packages, 'node_modules') },
    stdio: ['ignore', 'pipe', 'inherit'],
  },
);
let printed = '';
caliper.stdout.on('data', (data) => {
  printed += data;
});
const status = await new Promise((resolve) => caliper.on('exit', resolve));
console.log(printed.split('\n').filter((line) => /^[|+]/.test(line)).join('\n'));
assert.equal(status, 0, printed.slice(-4000));
if (!existsSync(path.join(workspace, 'report.html'))) throw new Error(printed.slice(-4000));
copyFileSync(path.join(workspace, 'report.html'), options.out);
const rows = readFileSync(options.out, 'utf8').match(/<tr>[\s\S]*?<\/tr>/g) ?? [];
for (const label of ['put', 'get']) {
  const row = rows.find((one) => one.includes(`<td>${label}</td>`));
  const cells = [...(row ?? '').matchAll(/<td>(.*?)<\/td>/g)].map((cell) => cell[1].trim());
  assert.ok(Number(cells[1]) > 0, `${label}: nothing succeeded: ${cells}`);
  assert.equal(Number(cells[2]), 0, `${label}: ${cells[2]} failed`);
}
console.log(`ok  no transaction failed; the report is in ${options.out}`);
await node.stop('SIGTERM');
rmSync(node.work, { recursive: true });
