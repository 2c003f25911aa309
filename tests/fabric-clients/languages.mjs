#!/usr/bin/env node
// Applications written for Fabric in other languages, each a command that is given where the node is and whose keys it
// may use, against one node with a chaincode that tells of what it does.

import { spawn, spawnSync } from 'node:child_process';
import assert from 'node:assert/strict';
import { cpSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Node } from './node.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const { values: options } = parseArgs({
  options: { quire: { type: 'string' }, client: { type: 'string', multiple: true } },
});
if (!options.quire || !options.client) throw new Error('--quire PATH and --client NAME=COMMAND are needed');

const node = new Node(options.quire, '--chaincode-listen', '127.0.0.1:0');

function run(command, ...args) {
  const done = spawnSync(command, args, { encoding: 'utf8' });
  assert.equal(done.status, 0, `${command} ${args.join(' ')}: ${done.stderr}`);
  return done.stdout;
}

/** The chaincode, running. */
async function deploy(name) {
  const folder = path.join(node.work, name);
  cpSync(path.join(here, '../../examples', name), folder, {
    recursive: true,
    filter: (file) => path.basename(file) !== 'node_modules',
  });
  run(options.quire, 'chaincode', 'deploy', name, folder, '--data', node.data);
  for (let waited = 0; waited < 600; waited++) {
    if (run(options.quire, 'chaincode', 'list', '--data', node.data).includes('\truns')) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${name} does not run`);
}

/** Somebody whom nobody knows. */
function stranger() {
  const [key, cert] = ['stranger.key', 'stranger.pem'].map((file) => path.join(node.work, file));
  const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key, '-out', cert];
  run('openssl', 'req', '-x509', ...made, '-subj', '/CN=stranger', '-days', '1');
  return { key, cert };
}

try {
  await node.start();
  await deploy('transfers');
  const msp = path.join(node.data, 'identities', 'client', 'msp');
  const only = (folder) => path.join(msp, folder, readdirSync(path.join(msp, folder))[0]);
  const { key, cert } = stranger();
  for (const client of options.client) {
    const [name, ...command] = client.split('=');
    const env = {
      ...process.env,
      QUIRE_GRPC: node.grpc,
      QUIRE_MSP: 'QuireMSP',
      QUIRE_CERT: only('signcerts'),
      QUIRE_KEY: only('keystore'),
      STRANGER_CERT: cert,
      STRANGER_KEY: key,
      CHECKPOINT: path.join(node.work, `${name}-checkpoint.json`),
      PREFIX: name,
    };
    const child = spawn('sh', ['-c', command.join('=')], { env, stdio: 'inherit' });
    const status = await new Promise((resolve) => child.on('exit', resolve));
    assert.equal(status, 0, `the client in ${name} failed`);
  }
} finally {
  await node.stop('SIGTERM');
}
rmSync(node.work, { recursive: true });
