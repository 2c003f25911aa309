// Does every kind of request work, and answer soon? Ten seconds; runs with all tests.
import http from 'k6/http';
import { check } from 'k6';
import exec from 'k6/execution';
import { BASE, RUN, batch, get, index, listen, put, query, submit, summaryTrendStats } from './lib.js';

export const options = {
  summaryTrendStats,
  scenarios: {
    everything: { executor: 'constant-vus', vus: 8, duration: __ENV.DURATION || '10s' },
  },
  thresholds: {
    checks: ['rate==1'],
    http_req_duration: ['p(95)<500', 'p(99)<1500'],
    dropped_iterations: ['count==0'],
  },
};

export default function () {
  const n = exec.scenario.iterationInTest;
  const key = `smoke-${RUN}-${n}`;
  const first = put(key, { idempotencyKey: key });
  const again = put(key, { idempotencyKey: key });
  check(again, {
    'a repetition names the same transaction': (r) =>
      r.json('transactionId') === first.json('transactionId'),
  });
  get(`/state/load/${key}`, 'get');
  get(`/history/load/${key}`, 'history');
  get(`/transactions/${first.json('transactionId')}`, 'transaction');
  get(`/blocks/${first.json('blockNumber')}`, 'block');
  get('/state/load?limit=10', 'range');
  // All of them merge into one key: some lose the race and are tried again by the node.
  submit([{ op: 'merge', namespace: 'load', key: 'smoke-hot', value: { [`vu${exec.vu.idInTest}`]: n } }], {
    name: 'merge',
  });
  query({ selector: { key }, limit: 1 }, 'find: by index');
  query({ selector: { total: 12.5 }, limit: 1 }, 'find: scan');
  batch([1, 2].map((line) => `${key}-${line}`));
  listen(first.json('blockNumber'), first.json('blockNumber'));
  const refused = http.put(`${BASE}/state/load/${key}`, '{}', {
    headers: { 'Content-Type': 'application/json', 'If-None-Match': '*' },
    responseCallback: http.expectedStatuses(412),
    tags: { name: 'refused' },
  });
  check(refused, { 'refused: 412': (r) => r.status === 412 });
  const wanted = { responseCallback: http.expectedStatuses(404), tags: { name: 'missing' } };
  const missing = http.get(`${BASE}/state/load/none-${key}`, wanted);
  check(missing, { 'missing: 404': (r) => r.status === 404 });
}

export function setup() {
  put('smoke-hot');
  index(['key']);
}
