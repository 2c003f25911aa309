// Every expression of every panel and alert, against a node that works and a Prometheus that scrapes it.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { FOLDER, ROOT, alerts, panelExpressions } from './dashboards.mjs';
import { main, problem, run, start, startPrometheus, until, work } from './lib.mjs';

// What promtool says of names that are Fabric's, and that dashboards made for Fabric ask for.
const FABRIC_NAMES = [
  'deliver_blocks_sent counter metrics should have "_total" suffix',
  'deliver_streams_closed counter metrics should have "_total" suffix',
  'deliver_streams_opened counter metrics should have "_total" suffix',
  'endorser_duplicate_transaction_failures counter metrics should have "_total" suffix',
  'endorser_proposal_simulation_failures counter metrics should have "_total" suffix',
  'endorser_proposals_received counter metrics should have "_total" suffix',
  'endorser_successful_proposals counter metrics should have "_total" suffix',
  'ledger_transaction_count counter metrics should have "_total" suffix',
  'ledger_transaction_count non-histogram and non-summary metrics should not have "_count" suffix',
];
const MAX_SERIES = 2000;
// The process collector gives these too; nobody needs to look at them.
const UNSHOWN = ['process_start_time_seconds', 'process_virtual_memory_bytes', 'process_threads'];

const { values: options } = parseArgs({ options: { quire: { type: 'string' } } });
if (!options.quire) throw new Error('--quire PATH is needed');

async function startNode() {
  const node = start(options.quire, ['run', '--data', path.join(work, 'data'), '--listen', '127.0.0.1:0', '--operations-listen', '127.0.0.1:0']);
  await until('the node', 60, () => node.log.includes('curl http://'));
  const [, api] = node.log.match(/listening on (http:\/\/\S+)/);
  const [, metrics] = node.log.match(/metrics +(http:\/\/\S+)\/metrics/);
  return { api, metrics };
}

/** What Grafana would send: everything chosen, a window of some scrapes. */
const filled = (expr) => expr.replaceAll(/\$(instance|channel)/g, '.*').replaceAll('$__rate_interval', '60s');
/** What an alert compares: its own expression has data only when it fires. */
const compared = (expr) => expr.replaceAll(/ (==|>|<) [\d.]+(?= or |$)/g, '');

function checkMetrics(text) {
  const lint = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
  if (lint.error) throw lint.error;
  const said = lint.stderr.trim().split('\n').filter(Boolean);
  for (const line of said.filter((line) => !FABRIC_NAMES.includes(line))) problem(`promtool check metrics: ${line}`);
  for (const line of FABRIC_NAMES.filter((line) => !said.includes(line))) problem(`promtool no longer objects: ${line}`);
  const series = text.split('\n').filter((line) => line && !line.startsWith('#'));
  if (series.length > MAX_SERIES) problem(`${series.length} series: a label is not bounded`);
  for (const [, name, help] of text.matchAll(/^# HELP (\S+) (.*)$/gm)) {
    if (name.startsWith('quire_') && !help.endsWith('.')) problem(`${name}: its HELP is no sentence`);
  }
  const asked = [...panelExpressions(), ...alerts()].map(({ expr }) => expr).join('\n');
  for (const [, name] of text.matchAll(/^# TYPE (\S+) /gm)) {
    if (!UNSHOWN.includes(name) && !asked.includes(name)) problem(`${name} is on no dashboard and in no alert`);
  }
  return series.length;
}

async function checkExpressions(query) {
  const quiet = JSON.parse(readFileSync(new URL('quiet.json', import.meta.url)));
  const expressions = [...panelExpressions(), ...alerts().map(({ alert, expr }) => ({ name: `alert / ${alert}`, expr: compared(expr) }))];
  const names = new Set(expressions.map(({ name }) => name));
  for (const name of Object.keys(quiet).filter((name) => !names.has(name))) problem(`quiet.json: there is no ${name}`);
  let zeros = 0;
  for (const { name, expr } of expressions) {
    const result = await query(filled(expr));
    const numbers = result.map(({ value }) => Number(value[1]));
    if (!numbers.some(Number.isFinite) && quiet[name]?.startsWith('empty: ')) zeros += 1;
    else if (!numbers.some(Number.isFinite)) problem(`${name}: no data\n    ${expr}`);
    else if (!numbers.some((number) => number !== 0)) {
      zeros += 1;
      if (!quiet[name]) problem(`${name}: only zeros, and quiet.json does not say why\n    ${expr}`);
    }
  }
  return { count: expressions.length, zeros };
}

await main(async () => {
  run('promtool', ['check', 'rules', path.join(FOLDER, 'alerts.yml')]);
  run('promtool', ['test', 'rules', path.join(FOLDER, 'alerts.test.yml')]);
  run('promtool', ['check', 'config', path.join(FOLDER, 'prometheus.yml')]);

  const { api, metrics } = await startNode();
  const query = await startPrometheus([new URL(metrics).host]);
  // A rate wants a scrape from before the load.
  const scraped = () => query('quire_build_info').then((result) => result.length > 0, () => false);
  await until('a first scrape', 30, scraped);
  const load = start(path.join(ROOT, 'load-tests/run'), ['smoke', '--url', api, '--metrics', metrics, '--out', path.join(work, 'results')]);
  if ((await load.ended) !== 0) problem(`k6 smoke failed\n${load.log}`);
  console.log(load.log.slice(load.log.lastIndexOf('# smoke')));
  const height = async () => Number((await query('ledger_blockchain_height'))[0]?.value[1]);
  const channel = await fetch(`${api}/v1/channels/main`).then((r) => r.json());
  await until('a scrape of the end', 30, async () => (await height()) === channel.height);

  const series = checkMetrics(await fetch(`${metrics}/metrics`).then((r) => r.text()));
  const { count, zeros } = await checkExpressions(query);
  const firing = (await query('ALERTS{alertstate="firing"}')).map(({ metric }) => metric.alertname);
  if (firing.length > 0) problem(`fires on a healthy node: ${firing.join(', ')}`);
  console.log(`${series} series, ${count} expressions of panels and alerts, ${zeros} rightly zero`);
});
