// Processes of a test and a Prometheus that looks at them: started on ports of their own, ended with the test.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { freePort } from '../ports.mjs';
import { FOLDER } from './dashboards.mjs';

export const work = mkdtempSync(path.join(os.tmpdir(), 'quire-observability-'));
const children = [];
const problems = [];

/** Something that is wrong; the test goes on, and fails. */
export const problem = (text) => problems.push(text);

export function start(command, args, settings = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, ...settings });
  child.log = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (child.log += text));
  child.ended = new Promise((resolve) => child.on('exit', resolve).on('error', resolve));
  children.push(child);
  return child;
}

/** Sends a signal to a process and to those that it started. */
export function end(child, signal) {
  try {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

export async function until(what, seconds, look) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited ${seconds} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export function run(command, args) {
  const done = spawnSync(command, args, { encoding: 'utf8' });
  if (done.error) throw done.error;
  if (done.status !== 0) problem(`${command} ${args.join(' ')}: exit ${done.status}\n${done.stdout}${done.stderr}`);
  return done;
}

/** A Prometheus with our configuration and these targets, every second; the function asks it. */
export async function startPrometheus(targets, alertsFile = path.join(FOLDER, 'alerts.yml')) {
  const config = readFileSync(path.join(FOLDER, 'prometheus.yml'), 'utf8')
    .replace('"127.0.0.1:7081"', targets.map((target) => `"${target}"`).join(', '))
    .replaceAll('15s', '1s')
    .replace('alerts.yml', alertsFile);
  const file = path.join(work, 'prometheus.yml');
  writeFileSync(file, config);
  const port = await freePort();
  start('prometheus', [`--config.file=${file}`, `--storage.tsdb.path=${path.join(work, 'prometheus')}`, `--web.listen-address=127.0.0.1:${port}`]);
  const url = `http://127.0.0.1:${port}`;
  await until('Prometheus', 30, () => fetch(`${url}/-/ready`).then((r) => r.ok, () => false));
  return async (expr) => {
    const answer = await fetch(`${url}/api/v1/query`, { method: 'POST', body: new URLSearchParams({ query: expr }) });
    const { status, error, data } = await answer.json();
    if (status !== 'success') throw new Error(`${expr}: ${error}`);
    return data.result;
  };
}

/** Runs a test, and ends what it started however it ends. */
export async function main(test) {
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => {
      for (const child of children) end(child, 'SIGKILL');
      process.exit(1);
    });
  }
  try {
    await test();
  } catch (error) {
    const logs = children.map((child) => `${child.spawnfile}: exit ${child.exitCode} ${child.signalCode}\n${child.log.slice(-2000)}`);
    problem(`${error.stack}\n${error.cause ?? ''}\n${logs.join('\n')}`);
  } finally {
    for (const child of children) end(child, 'SIGTERM');
    // What hangs on purpose does not end when it is asked to.
    const late = setTimeout(() => children.forEach((child) => end(child, 'SIGKILL')), 5000);
    await Promise.all(children.map((child) => child.ended));
    clearTimeout(late);
    rmSync(work, { recursive: true, force: true });
  }
  for (const text of problems) console.error(`FAILED: ${text}`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
