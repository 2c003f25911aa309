#!/usr/bin/env node
// Three organisations with a node each, two orderers of a fourth, and a Kafka, all on this machine: brought up, a real
// data set loaded at all three, and torn down by Ctrl-C.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Brokers } from '../../tests/kafka/brokers.mjs';
import { check } from './check.mjs';
import { load } from './load.mjs';
import { Network } from './network.mjs';

const { values: options } = parseArgs({
  options: {
    quire: { type: 'string', default: 'quire' },
    libs: { type: 'string' },
    brokers: { type: 'string', default: '1' },
    check: { type: 'boolean', default: false },
  },
});
const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, '../..');

/** The jars of Kafka, from Maven Central the first time. */
function libs() {
  const folder = path.join(root, 'target', 'kafka-libs');
  if (existsSync(folder)) return folder;
  console.log('Kafka comes from Maven Central, this once');
  const pom = path.join(root, 'tests/kafka/pom.xml');
  const goal = ['dependency:copy-dependencies', `-DoutputDirectory=${folder}`];
  execFileSync('mvn', ['-q', '-B', '-f', pom, ...goal], { stdio: 'inherit' });
  return folder;
}

/** The countries of the other example, with what npm has of them. */
function countries() {
  const folder = path.join(here, '../world-countries');
  if (!existsSync(path.join(folder, 'node_modules'))) {
    const how = ['ci', '--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund'];
    execFileSync('npm', how, { stdio: 'inherit' });
  }
  return createRequire(path.join(folder, 'main.mjs'))('world-countries/countries.json');
}

const work = mkdtempSync(path.join(os.tmpdir(), 'quire-network-'));
mkdirSync(work, { recursive: true });
const documents = countries();
const brokers = new Brokers(options.libs ?? libs(), work, { count: Number(options.brokers) });
const network = new Network(options.quire, work);
const interrupted = new Promise((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => resolve(signal));
});

/** Brings everything up, and does what was asked for. */
async function go() {
  const began = Date.now();
  const step = (text) => console.log(`${((Date.now() - began) / 1000).toFixed(1).padStart(6)} s  ${text}`);
  await brokers.start();
  step(`Kafka takes connections at ${brokers.list}`);
  await network.make();
  step(`keys and certificates of ${network.names} are in ${network.crypto}, the channel's block 0 in ${network.block}`);
  await network.start(brokers.list);
  for (const one of [...network.orderers, ...network.peers]) step(`${one} runs`);
  const { count, seconds } = await load(network.peers, documents);
  step(`${count} countries are written, a third at each organisation: ${Math.round(count / seconds)} a second`);
  const height = await network.agree();
  step(`all three have the same ${height} blocks`);
  if (options.check) {
    await check(network, documents, step);
    return;
  }
  network.tell();
  await interrupted;
}

let failed = true;
try {
  const stopped = await Promise.race([go(), interrupted]);
  if (stopped !== undefined) console.log(`\n${stopped}: everything is stopped`);
  failed = false;
} catch (error) {
  console.error(error.stack);
  console.error(network.said());
} finally {
  await network.stop();
  await brokers.stop();
  rmSync(work, { recursive: true });
}
process.exit(failed ? 1 : 0);
