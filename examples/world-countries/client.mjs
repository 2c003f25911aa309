// A client that may always try again: whatever changes something carries an Idempotency-Key, so the
// same request sent twice is one transaction.

import { setTimeout as sleep } from 'node:timers/promises';

const ATTEMPTS = 12;
const RETRY = new Set([429, 503, 504]);

export class Quire {
  constructor(url, channel) {
    this.base = `${url.replace(/\/+$/, '')}/v1/channels/${encodeURIComponent(channel)}`;
    this.retries = 0;
  }

  /** Path of a document's state or history. */
  static path(resource, namespace, key) {
    return `/${resource}/${encodeURIComponent(namespace)}/${encodeURIComponent(key)}`;
  }

  async get(path, accept = 'application/json') {
    return this.send(path, { headers: { accept } });
  }

  async json(path) {
    return JSON.parse((await this.get(path)).body);
  }

  /** Writes a document; `idempotencyKey` must name this very request and no other. */
  async put(path, document, idempotencyKey, headers = {}) {
    return this.send(path, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', 'idempotency-key': idempotencyKey, ...headers },
      body: document,
    });
  }

  /** Sends until there is an answer that means something, waiting as long as the node asks for. */
  async send(path, options) {
    for (let attempt = 1; ; attempt += 1) {
      let wait = Math.min(5_000, 50 * 2 ** attempt) * (0.5 + Math.random());
      let problem;
      try {
        const response = await fetch(this.base + path, { ...options, signal: AbortSignal.timeout(60_000) });
        const body = Buffer.from(await response.arrayBuffer());
        if (response.ok) return { status: response.status, headers: response.headers, body };
        problem = new Error(`${options.method ?? 'GET'} ${path}: ${response.status} ${body}`);
        if (!RETRY.has(response.status)) throw Object.assign(problem, { final: true });
        const seconds = Number(response.headers.get('retry-after'));
        if (seconds > 0) wait = seconds * 1_000;
      } catch (error) {
        if (error.final) throw error;
        problem = new Error(`${this.base}: ${error.cause?.message ?? error.message}`);
      }
      if (attempt === ATTEMPTS) throw problem;
      this.retries += 1;
      await sleep(wait);
    }
  }
}
