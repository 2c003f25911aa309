#!/usr/bin/env node
// What a backup takes beside a plain copy of the same bytes, which reads and writes files one after the other and syncs
// each; and what writes take while backups are made: `node scripts/backup-figures.mjs --quire BINARY [--megabytes 2000] [--rounds 5] [--on DIR]`.
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, fdatasyncSync, mkdirSync, mkdtempSync, openSync, readSync, readdirSync, rmSync, statSync, writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: { quire: { type: 'string' }, megabytes: { type: 'string', default: '2000' }, rounds: { type: 'string', default: '5' }, on: { type: 'string', default: os.tmpdir() } },
});
if (!options.quire) throw new Error('--quire PATH is needed');
const quire = path.resolve(options.quire);
const [megabytes, rounds] = [Number(options.megabytes), Number(options.rounds)];
const work = mkdtempSync(path.join(options.on, 'backup-figures-'));
const data = path.join(work, 'data');

const run = (...args) => {
  const ended = spawnSync(quire, args, { encoding: 'utf8' });
  if (ended.status !== 0) throw new Error(`quire ${args.join(' ')}: ${ended.stderr}`);
  return ended.stdout;
};
const seconds = (work) => {
  const begun = process.hrtime.bigint();
  work();
  return Number(process.hrtime.bigint() - begun) / 1e9;
};
const median = (numbers) => numbers.toSorted((one, other) => one - other)[Math.floor(numbers.length / 2)];

/** Starts a node, writes values to it until its blocks have so many bytes, and gives it back. */
async function fill() {
  const node = spawn(quire, ['run', '--data', data, '--listen', '127.0.0.1:0', '--grpc-listen', 'none', '--log-spec', 'warn'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  node.stdout.on('data', (text) => (printed += text));
  while (!printed.includes('curl http://')) await new Promise((after) => setTimeout(after, 20));
  const [, api] = printed.match(/listening on (http:\/\/\S+)/);
  const value = JSON.stringify({ value: 'x'.repeat(60_000) });
  let left = Math.ceil((megabytes * 1e6) / 64_000);
  const client = async () => {
    while (left-- > 0) {
      const answer = await fetch(`${api}/v1/channels/main/state/bulk/${left}`, { method: 'PUT', headers: { 'Content-Type': 'application/json' }, body: value });
      if (!answer.ok) throw new Error(`a write: ${answer.status} ${await answer.text()}`);
      await answer.arrayBuffer();
    }
  };
  await Promise.all(Array.from({ length: 64 }, client));
  return { node, api };
}

/** Milliseconds of small writes by eight clients, one after another each, until `work` has ended. */
async function latencies(api, work) {
  let going = true;
  const took = [];
  const client = async (_, number) => {
    for (let n = 0; going; n++) {
      const begun = process.hrtime.bigint();
      const answer = await fetch(`${api}/v1/channels/main/state/small/${number}-${n}`, { method: 'PUT', headers: { 'Content-Type': 'application/json' }, body: '{"value":1}' });
      await answer.arrayBuffer();
      if (!answer.ok) throw new Error(`a write: ${answer.status}`);
      took.push(Number(process.hrtime.bigint() - begun) / 1e6);
    }
  };
  const clients = Array.from({ length: 8 }, client);
  await work();
  going = false;
  await Promise.all(clients);
  took.sort((one, other) => one - other);
  const at = (part) => Number(took[Math.floor(took.length * part)].toFixed(2));
  return { writes: took.length, p50: at(0.5), p99: at(0.99), most: took.at(-1) };
}

const ended = (child) => new Promise((after) => child.on('exit', after));

/** Copies a folder file by file, each synced; how many bytes there were. */
function plainCopy(from, to) {
  let bytes = 0;
  const buffer = Buffer.alloc(1 << 20);
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(from)) {
    const [source, target] = [path.join(from, name), path.join(to, name)];
    if (statSync(source).isDirectory()) {
      bytes += plainCopy(source, target);
      continue;
    }
    const [reading, writing] = [openSync(source, 'r'), openSync(target, 'w')];
    for (let read; (read = readSync(reading, buffer)) > 0; bytes += read) writeSync(writing, buffer, 0, read);
    fdatasyncSync(writing);
    closeSync(reading);
    closeSync(writing);
  }
  return bytes;
}

try {
  const { node, api } = await fill();
  const at = (name) => path.join(work, name);
  const fresh = (name) => rmSync(at(name), { recursive: true, force: true });
  run('backup', at('kept'), '--data', data);
  let bytes = 0;
  const jobs = {
    'plain copy': () => (bytes = plainCopy(at('kept'), at('plain'))),
    backup: () => run('backup', at('one'), '--data', data),
    'second backup': () => run('backup', at('kept'), '--data', data),
    archive: () => run('backup', at('one.tar.zst'), '--data', data),
    restore: () => run('restore', at('kept'), '--data', at('restored')),
  };
  const took = Object.fromEntries(Object.keys(jobs).map((job) => [job, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [job, work] of Object.entries(jobs)) {
      for (const name of ['plain', 'one', 'one.tar.zst', 'restored']) fresh(name);
      // What the job before left to be written is not of this one.
      spawnSync('sync');
      took[job].push(seconds(work));
    }
  }
  const plain = median(took['plain copy']);
  const figures = Object.entries(took).map(([job, all]) => {
    const middle = median(all);
    return { job, seconds: middle, megabytesASecond: Math.round(bytes / 1e6 / middle), ofPlainCopy: Number((plain / middle).toFixed(2)), all };
  });
  const writes = [];
  for (let round = 0; round < rounds; round++) {
    fresh('one');
    let took = 0;
    const backup = async () => {
      const begun = process.hrtime.bigint();
      await ended(spawn(quire, ['backup', at('one'), '--data', data], { stdio: 'ignore' }));
      took = Number(process.hrtime.bigint() - begun) / 1e6;
    };
    const during = await latencies(api, backup);
    const quiet = await latencies(api, () => new Promise((after) => setTimeout(after, took)));
    writes.push({ quiet, during, backupMs: Math.round(took) });
  }
  console.log(JSON.stringify({ megabytes: Math.round(bytes / 1e6), rounds, figures, writes }, null, 1));
  node.kill();
  await new Promise((ended) => node.on('exit', ended));
} finally {
  rmSync(work, { recursive: true, force: true });
}
