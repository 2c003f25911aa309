#!/usr/bin/env node
// 250 countries into a running Quire, then one of them read, changed, and the change proved.

import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { readBlock } from './block.mjs';
import { Quire } from './client.mjs';
import { Progress } from './progress.mjs';

const PACKAGE = 'world-countries-5.1.0';
const NAMESPACE = 'countries';
const IN_FLIGHT = 16;
const CHANGED = 'CHE';

const countries = createRequire(import.meta.url)('world-countries/countries.json');

/** One document, one key, one body: whoever loads this document makes this transaction. */
function transactionOf(country, purpose = 'load') {
  const body = JSON.stringify(country);
  const digest = createHash('sha256').update(body).digest('hex').slice(0, 32);
  return { body, idempotencyKey: `${PACKAGE}/${purpose}/${country.cca3}/${digest}` };
}

/** Loads every country, 16 at a time; returns the version each was written as. */
async function load(quire) {
  const progress = new Progress(countries.length, 'countries');
  const versions = new Map();
  let replayed = 0;
  const queue = countries.values();
  const worker = async () => {
    for (const country of queue) {
      const { body, idempotencyKey } = transactionOf(country);
      const answer = await quire.put(Quire.path('state', NAMESPACE, country.cca3), body, idempotencyKey);
      if (answer.headers.get('idempotency-replayed') === 'true') replayed += 1;
      versions.set(country.cca3, answer.headers.get('etag'));
      progress.advance();
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  console.log(`${countries.length - replayed} written, ${replayed} were there already, `
    + `${quire.retries} retries, ${progress.seconds.toFixed(1)} s\n`);
  return versions;
}

/** Changes one country, if it still is what the load wrote. */
async function change(quire, loadedAs) {
  const path = Quire.path('state', NAMESPACE, CHANGED);
  const answer = await quire.get(path);
  const read = JSON.parse(answer.body);
  console.log(`${NAMESPACE}/${CHANGED} is ${read.flag} ${read.name.official}, version ${answer.headers.get('etag')}`);

  const original = countries.find((country) => country.cca3 === CHANGED);
  const changed = { ...original, note: 'no capital by law; Bern is the federal city' };
  const { body, idempotencyKey } = transactionOf(changed, 'note');
  const written = await quire.put(path, body, idempotencyKey, { 'if-match': loadedAs });
  const transaction = JSON.parse(written.body);
  const replayed = written.headers.get('idempotency-replayed') === 'true' ? ', in an earlier run' : '';
  console.log(`changed with If-Match: ${loadedAs} to version ${written.headers.get('etag')}${replayed}\n`);
  return transaction;
}

async function history(quire) {
  const { entries } = await quire.json(`${Quire.path('history', NAMESPACE, CHANGED)}?order=asc`);
  console.log(`history of ${NAMESPACE}/${CHANGED}, oldest first:`);
  for (const entry of entries) {
    console.log(`  block ${entry.blockNumber} tx ${entry.txNumber}  ${entry.timestamp}  `
      + `${entry.transactionId.slice(0, 16)}...  note: ${JSON.stringify(entry.value?.note ?? null)}`);
  }
  console.log();
}

/** Fetches the block as bytes and checks what it claims, by hand. */
async function prove(quire, { transactionId, blockNumber }) {
  const fetchBlock = async (number) => readBlock((await quire.get(`/blocks/${number}`, 'application/x-protobuf')).body);
  const block = await fetchBlock(blockNumber);
  const before = await fetchBlock(blockNumber - 1);
  const position = block.transactions.findIndex(({ id }) => id === transactionId);
  const channel = await quire.json('');
  const successor = channel.height > blockNumber + 1
    ? { what: `block ${blockNumber + 1} names it as the block before`, hash: (await fetchBlock(blockNumber + 1)).previousHash }
    : { what: 'the channel names it as its tip', hash: channel.currentBlockHash };

  console.log(`block ${blockNumber} proves it, computed from its bytes:`);
  const claims = [
    [`transaction ${transactionId.slice(0, 16)}... is in it, as number ${position}`, position >= 0],
    ['the block marks it as valid', block.transactions[position]?.valid],
    [`data hash ${block.dataHash} covers its ${block.transactions.length} envelopes`, block.dataHash === block.computedDataHash],
    [`it links to block ${before.number}, ${before.hash}`, block.previousHash === before.hash],
    [`its own hash is ${block.hash}`, block.number === blockNumber],
    [successor.what, successor.hash === block.hash],
  ];
  for (const [claim, holds] of claims) console.log(`  ${holds ? 'yes' : 'NO '}  ${claim}`);
  return claims.every(([, holds]) => holds);
}

const { values: options } = parseArgs({
  options: {
    url: { type: 'string', default: process.env.QUIRE_URL ?? 'http://127.0.0.1:7080' },
    channel: { type: 'string', default: 'main' },
  },
});
try {
  const quire = new Quire(options.url, options.channel);
  const versions = await load(quire);
  const transaction = await change(quire, versions.get(CHANGED));
  await history(quire);
  process.exitCode = (await prove(quire, transaction)) ? 0 : 1;
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
