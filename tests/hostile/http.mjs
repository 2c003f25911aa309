// What attacks are made of: requests that are answered, and connections that do whatever they like.
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A node under attack: its address, and the token that is shown to it. */
export class Target {
  constructor({ url, token, ca, channel = 'main' }) {
    this.url = new URL(url);
    this.isTls = this.url.protocol === 'https:';
    this.port = Number(this.url.port || (this.isTls ? 443 : 80));
    this.host = this.url.hostname.replace(/^\[|\]$/g, '');
    this.ca = ca;
    this.token = token;
    this.channel = `/v1/channels/${channel}`;
    this.state = `${this.channel}/state/hostile`;
    /** Bytes that were sent by way of `request` and `connect`. */
    this.sent = 0;
  }

  headers(more = {}) {
    return { ...(this.token ? { authorization: `Bearer ${this.token}` } : {}), ...more };
  }

  /** Whether it is an address of this machine alone. */
  isLoopback() {
    return this.host === 'localhost' || this.host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(this.host);
  }

  /** A request that is read to its end: `{status, code, ms, body}`; status 0 and why, where none came. */
  request(method, path, { body, type = 'application/json', headers = {}, timeout = 30_000, agent = false, keep = false } = {}) {
    const begun = performance.now();
    const payload = body === undefined ? undefined : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
    const all = this.headers(headers);
    if (payload) Object.assign(all, { 'content-type': type, 'content-length': payload.length });
    this.sent += (payload?.length || 0) + path.length + 200;
    return new Promise((resolve) => {
      const told = (answer) => resolve({ ...answer, ms: performance.now() - begun });
      const request = (this.isTls ? https : http).request({ host: this.host, port: this.port, method, path, headers: all, agent, ca: this.ca, timeout });
      request.on('response', (response) => {
        const parts = [];
        let length = 0;
        response.on('data', (part) => {
          length += part.length;
          if (keep || length < 1 << 20) parts.push(part);
        });
        response.on('error', (error) => told({ status: 0, code: error.code || 'CUT_OFF' }));
        response.on('end', () => {
          const text = Buffer.concat(parts).toString();
          told({ status: response.statusCode, code: problemCode(response.headers['content-type'], text), headers: response.headers, length, body: text });
        });
      });
      request.on('timeout', () => request.destroy(Object.assign(new Error('timeout'), { code: 'TIMEOUT' })));
      request.on('error', (error) => told({ status: 0, code: error.code || 'ERROR' }));
      request.end(payload);
    });
  }

  /** A bare connection, open. */
  connect() {
    return new Promise((resolve, reject) => {
      const settings = { host: this.host, port: this.port, ca: this.ca };
      const socket = this.isTls ? tls.connect({ ...settings, ALPNProtocols: ['http/1.1'] }) : net.connect(settings);
      socket.on('error', () => socket.destroy());
      socket.once('error', reject);
      socket.once(this.isTls ? 'secureConnect' : 'connect', () => resolve(socket));
    });
  }

  /** The head of a request, for a bare connection. */
  head(method, path, headers = {}) {
    const lines = Object.entries(this.headers({ host: this.url.host, ...headers }));
    return `${method} ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  }

  /** A connection of HTTP/2. */
  http2() {
    return new Promise((resolve, reject) => {
      const session = http2.connect(this.url.origin, { ca: this.ca });
      session.on('error', () => session.destroy());
      session.once('error', reject);
      session.once('connect', () => resolve(session));
    });
  }
}

function problemCode(type, text) {
  if (!/problem/.test(type || '')) return '';
  try {
    return JSON.parse(text).code || '';
  } catch {
    return '';
  }
}

/** What a bare connection is answered, until it ends, or for so long: `"408 REQUEST_TIMEOUT"`, `"silence"`. */
export function heard(socket, ms) {
  return new Promise((resolve) => {
    let text = '';
    const tell = () => {
      const status = text.match(/^HTTP\/1\.1 (\d+)/)?.[1];
      const code = status >= '400' && text.match(/"code":"([A-Z_]+)"/)?.[1];
      resolve(status ? `${status} ${code || ''}`.trim() : socket.destroyed ? 'closed' : 'silence');
    };
    const timer = setTimeout(tell, ms);
    socket.on('data', (part) => {
      if (text.length < 8192) text += part.toString('latin1');
      if (/^HTTP\/1\.1 \d+[\s\S]*?\r\n\r\n[\s\S]*\}/.test(text)) {
        clearTimeout(timer);
        tell();
      }
    });
    socket.on('close', () => {
      clearTimeout(timer);
      tell();
    });
  });
}

/** Runs `work` for 0 to `count`, so many at a time, and counts what it gives. */
export async function many(count, atOnce, work) {
  const answers = new Map();
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const answer = await work(next++);
      answers.set(answer, (answers.get(answer) || 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: Math.min(count, atOnce) }, worker));
  return answers;
}

/** An answer in a word: `"422 QUERY_TOO_EXPENSIVE"`. */
export const word = ({ status, code }) => `${status || 'none'} ${code || ''}`.trim();
