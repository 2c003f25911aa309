// The page at /docs in a real browser: every operation of the document is on it, it asks nobody but
// the node, and its content security policy lets its own script run.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({ options: { url: { type: 'string' } } });
if (!options.url) throw new Error('--url of a running node is needed');

const api = await (await fetch(`${options.url}/openapi.json`)).json();
const operations = Object.values(api.paths).flatMap((item) => Object.values(item));

const profile = mkdtempSync(path.join(os.tmpdir(), 'quire-browser-'));
const network = path.join(profile, 'network.json');
// Everything else is made unreachable: the page must work without a network.
const page = spawnSync(process.env.CHROMIUM || 'chromium', [
  ...(process.env.CHROMIUM_FLAGS || '').split(' ').filter(Boolean), '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking',
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
  `--user-data-dir=${profile}`, `--log-net-log=${network}`, '--virtual-time-budget=10000', '--timeout=20000',
  '--dump-dom', `${options.url}/docs`,
], { encoding: 'utf8', maxBuffer: 64 << 20, timeout: 120_000, killSignal: 'SIGKILL' });
if (page.error) throw page.error;

try {
  const missing = operations.filter(({ operationId }) => !page.stdout.includes(`<details id="${operationId}">`));
  if (missing.length > 0 || operations.length === 0) {
    throw new Error(`not on the page: ${missing.map(({ operationId }) => operationId)}\n${page.stdout.slice(0, 2000)}\n${page.stderr}`);
  }
  const schemas = Object.keys(api.components.schemas).filter((name) => !page.stdout.includes(`id="schema-${name}"`));
  if (schemas.length > 0) throw new Error(`schemas not on the page: ${schemas}`);
  if (!page.stdout.includes(api.info.description.slice(0, 40))) throw new Error('the page does not say what this is');
  const asked = [...readFileSync(network, 'utf8').matchAll(/"url":"(https?:\/\/[^/"]+)/g)].map(([, origin]) => origin);
  const theirs = page.stdout.match(/(?:src|href)="https?:[^"]*"/g);
  if (theirs) throw new Error(`the page refers to ${theirs}`);
  if (!asked.includes(options.url)) throw new Error('the browser never asked the node');
  console.log(`${operations.length} operations and ${Object.keys(api.components.schemas).length} schemas on the page, by ${browser()}`);
} finally {
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
}

function browser() {
  return spawnSync(process.env.CHROMIUM || 'chromium', ['--version'], { encoding: 'utf8' }).stdout.trim();
}
