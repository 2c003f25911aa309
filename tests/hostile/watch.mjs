// Looks at a node while it is attacked: how long its health takes to say, how long a writer waits, and how much
// memory it has. A thread of its own, so that the attacks do not hold its clocks.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { parentPort, workerData } from 'node:worker_threads';
import { Target, sleep } from './http.mjs';

const target = new Target(workerData.target);
const agents = [0, 1].map(() => new (target.isTls ? https : http).Agent({ keepAlive: true, maxSockets: 1 }));
let begun = fresh();
let isOver = false;

function fresh() {
  return { health: [], writes: [], failures: {}, rss: 0 };
}

export const memoryOf = (pid) => {
  try {
    return Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)[1]) * 1024;
  } catch {
    return 0;
  }
};

function note(list, answer, isWell) {
  list.push(answer.ms);
  if (!isWell) {
    const word = `${answer.status || 'none'} ${answer.code}`;
    begun.failures[word] = (begun.failures[word] || 0) + 1;
  }
}

async function watchHealth() {
  while (!isOver) {
    const answer = await target.request('GET', '/healthz', { agent: agents[0], timeout: 60_000 });
    note(begun.health, answer, answer.status === 200);
    await sleep(20);
  }
}

async function watchWriter() {
  for (let count = 0; !isOver; count++) {
    const answer = await target.request('PUT', `${target.state}-writer/${count % 100}`, { body: { count }, agent: agents[1], timeout: 60_000 });
    note(begun.writes, answer, answer.status === 200 || answer.status === 201);
    await sleep(10);
  }
}

async function watchMemory() {
  while (!isOver && workerData.pid) {
    begun.rss = Math.max(begun.rss, memoryOf(workerData.pid));
    await sleep(20);
  }
}

const quantile = (list, q) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * q))] ?? 0;

parentPort.on('message', (message) => {
  if (message === 'end') isOver = true;
  const { health, writes, failures, rss } = begun;
  begun = fresh();
  parentPort.postMessage({
    health: { slowest: Math.max(0, ...health), count: health.length },
    writer: { p99: quantile(writes, 0.99), median: quantile(writes, 0.5), count: writes.length },
    failures,
    rss,
  });
});

await Promise.all([watchHealth(), watchWriter(), watchMemory()]);
for (const agent of agents) agent.destroy();
