// The served description of the API against the API: schemathesis makes requests from it, right and
// wrong ones, and looks for answers that the description does not have, and for any 5xx.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const VERSION = '4.32.5';
const HERE = path.dirname(fileURLToPath(import.meta.url));

const { values: options } = parseArgs({ options: { quire: { type: 'string' }, examples: { type: 'string' } } });
if (!options.quire) throw new Error('--quire PATH is needed');

const work = mkdtempSync(path.join(os.tmpdir(), 'quire-openapi-'));
const data = path.join(work, 'data');

function run(command, args, settings = {}) {
  const done = spawnSync(command, args, { stdio: 'inherit', ...settings });
  if (done.error) throw done.error;
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')}: exit ${done.status}`);
  return done.stdout;
}

/** schemathesis in an environment of its own, kept from run to run. */
function findSchemathesis() {
  if (process.env.SCHEMATHESIS) return process.env.SCHEMATHESIS;
  const home = path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'), 'quire', `schemathesis-${VERSION}`);
  const program = path.join(home, 'bin', 'schemathesis');
  if (!existsSync(program)) {
    run('python3', ['-m', 'venv', home]);
    run(path.join(home, 'bin', 'pip'), ['install', '--quiet', '--disable-pip-version-check', `schemathesis==${VERSION}`]);
  }
  return program;
}

async function startNode() {
  // A file, not a pipe: while schemathesis runs nobody here reads.
  const log = path.join(work, 'node.log');
  const output = openSync(log, 'w');
  const node = spawn(options.quire, ['run', '--data', data, '--listen', '127.0.0.1:0'], { stdio: ['ignore', output, output] });
  node.ended = new Promise((resolve) => node.on('exit', resolve).on('error', resolve));
  node.log = () => readFileSync(log, 'utf8');
  for (let waited = 0; waited < 600; waited++) {
    node.url = node.log().match(/listening on (http:\/\/127\.0\.0\.1:\d+)/)?.[1];
    if (node.url) return node;
    if (node.exitCode !== null) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the node did not start\n${node.log()}`);
}

/** Something to be found: documents, a key's outcome, an index, a second channel. */
async function fill(url) {
  const send = async (method, target, body, headers = {}) => {
    const answer = await fetch(url + target, {
      method,
      body: JSON.stringify(body),
      headers: { 'Content-Type': 'application/json', ...headers },
    });
    if (!answer.ok) throw new Error(`${method} ${target}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
  await send('POST', '/v1/channels', { name: 'other' });
  const main = '/v1/channels/main';
  const first = await send('PUT', `${main}/state/orders/1001`, { total: 12.5 });
  const second = await send('PUT', `${main}/state/orders/a%2Fb`, { total: 7 }, { 'Idempotency-Key': 'one' });
  await send('POST', `${main}/state/orders/_index`, { index: { fields: ['total'] }, ddoc: 'by-total', name: 'by-total' });
  return [first.transactionId, second.transactionId, '0'.repeat(64)];
}

/** The configuration, with names that exist on this node. */
function configure(ids) {
  const dictionaries = [
    ['transactions', ids],
    ['waits', ['0', '1']],
  ].map(([name, values]) => `${name} = { values = ${JSON.stringify(values)} }`);
  let text = readFileSync(path.join(HERE, 'schemathesis.toml'), 'utf8');
  text = text.replace('[dictionaries]\n', `[dictionaries]\n${dictionaries.join('\n')}\n`);
  if (options.examples) text = text.replace(/max-examples = \d+/, `max-examples = ${options.examples}`);
  const file = path.join(work, 'schemathesis.toml');
  writeFileSync(file, text);
  return file;
}

const program = findSchemathesis();
const node = await startNode();
try {
  const config = configure(await fill(node.url));
  run(program, ['--config-file', config, 'run', `${node.url}/openapi.json`, '--no-color'], {
    cwd: work,
    env: { ...process.env, PYTHONPATH: HERE, SCHEMATHESIS_HOOKS: 'hooks', PYTHONDONTWRITEBYTECODE: '1' },
  });
  if (/panicked/.test(node.log())) throw new Error(`a handler panicked\n${node.log()}`);
  node.kill('SIGTERM');
  const code = await node.ended;
  if (code !== 0) throw new Error(`the node ended with ${code}\n${node.log()}`);
  // Whatever was sent, what was accepted is a sound ledger.
  run(options.quire, ['check', '--data', data]);
} finally {
  node.kill('SIGKILL');
  rmSync(work, { recursive: true, force: true });
}
