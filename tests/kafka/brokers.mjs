// Brokers of Apache Kafka, each with a vote on who leads (KRaft), on loopback ports of their own.

import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { freePort } from '../ports.mjs';
import { here } from './places.mjs';

export const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until a condition holds; says what is missing otherwise. */
export async function until(what, condition, seconds = 60) {
  const end = Date.now() + seconds * 1000;
  let last;
  while (Date.now() < end) {
    try {
      const found = await condition();
      if (found) return found;
      last = found;
    } catch (error) {
      last = error;
    }
    await later(100);
  }
  throw new Error(`${what}: not within ${seconds} s; ${last?.stack ?? last}`);
}

/** A cluster in a folder. `libs` is the folder of Kafka's jars. */
export class Brokers {
  constructor(libs, work, { count = 3, settings = {}, place = () => here } = {}) {
    this.libs = libs;
    this.work = path.join(work, 'brokers');
    // One that begins with a dash would be a flag of the tool.
    this.cluster = randomBytes(16).toString('base64url').replace(/^-/, 'Q');
    this.settings = settings;
    this.brokers = Array.from({ length: count }, (_, one) => ({ id: one + 1, place: place() }));
    mkdirSync(this.work, { recursive: true });
  }

  /** What clients begin with. */
  get list() {
    return this.brokers.map((broker) => `${broker.place.host}:${broker.port}`).join(',');
  }

  async start() {
    for (const broker of this.brokers) {
      broker.port = await freePort();
      broker.controller = await freePort();
    }
    for (const broker of this.brokers) this.#format(broker);
    for (const broker of this.brokers) this.run(broker);
    await until('brokers that answer', async () => {
      for (const broker of this.brokers) await answers(broker);
      return true;
    });
  }

  #data(broker) {
    return path.join(broker.place.disk?.folder ?? this.work, `data-${broker.id}`);
  }

  #format(broker) {
    const voters = this.brokers.map((one) => `${one.id}@${one.place.host}:${one.controller}`).join(',');
    const { host } = broker.place;
    const copies = Math.min(3, this.brokers.length);
    const properties = {
      'process.roles': 'broker,controller',
      'node.id': broker.id,
      'controller.quorum.voters': voters,
      listeners: `PLAINTEXT://${host}:${broker.port},CONTROLLER://${host}:${broker.controller}`,
      'advertised.listeners': `PLAINTEXT://${host}:${broker.port}`,
      'controller.listener.names': 'CONTROLLER',
      'log.dirs': this.#data(broker),
      'auto.create.topics.enable': false,
      'offsets.topic.replication.factor': copies,
      'message.max.bytes': 64 << 20,
      'replica.fetch.max.bytes': 64 << 20,
      ...this.settings,
    };
    broker.file = path.join(this.work, `broker-${broker.id}.properties`);
    const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}\n`);
    writeFileSync(broker.file, lines.join(''));
    const format = ['format', '-t', this.cluster, '-c', broker.file];
    execFileSync('java', ['-cp', `${this.libs}/*`, 'kafka.tools.StorageTool', ...format], { stdio: 'pipe' });
  }

  /** Starts a broker, which may have run before. */
  run(broker) {
    broker.starts = (broker.starts ?? 0) + 1;
    broker.log = path.join(this.work, `broker-${broker.id}-${broker.starts}.log`);
    const output = openSync(broker.log, 'w');
    const memory = ['-Xms64m', '-Xmx384m'];
    const java = ['java', ...memory, '-cp', `${this.libs}/*`, 'kafka.Kafka', broker.file];
    const [program, ...args] = [...broker.place.within, ...java];
    broker.child = spawn(program, args, {
      stdio: ['ignore', output, output],
    });
    broker.ended = new Promise((resolve) => broker.child.on('exit', resolve));
  }

  async kill(broker, signal = 'SIGKILL') {
    broker.child.kill(signal);
    await broker.ended;
  }

  async stop() {
    for (const broker of this.brokers) broker.child?.kill('SIGCONT');
    await Promise.all(this.brokers.filter((broker) => broker.child).map((broker) => this.kill(broker)));
  }

  /** All of them lose everything, and start anew at the same ports. */
  async forget() {
    await this.stop();
    for (const broker of this.brokers) {
      rmSync(this.#data(broker), { recursive: true });
      this.#format(broker);
      this.run(broker);
    }
  }

  /** What the brokers printed last. */
  said() {
    return this.brokers.map((broker) => readFileSync(broker.log, 'utf8').slice(-2000)).join('\n');
  }
}

/** Whether a broker takes connections. */
function answers({ place, port }) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, place.host, () => {
      socket.destroy();
      resolve();
    });
    socket.on('error', reject);
  });
}
