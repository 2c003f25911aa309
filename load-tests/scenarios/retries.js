// Clients that give up early and ask again: each write is sent three times, the first with a time-out
// that is mostly too short. All who get an answer get the same one, and the document is written once.
import http from 'k6/http';
import { check } from 'k6';
import exec from 'k6/execution';
import { BASE, RUN, get, put, summaryTrendStats } from './lib.js';

export const options = {
  summaryTrendStats,
  scenarios: {
    impatient: {
      executor: 'constant-vus',
      vus: Number(__ENV.VUS || 20),
      duration: __ENV.DURATION || '30s',
    },
  },
  thresholds: {
    checks: ['rate==1'],
    'http_req_duration{name:put}': ['p(99)<1000'],
  },
};

export default function () {
  const key = `retry-${RUN}-${exec.scenario.iterationInTest}`;
  const body = JSON.stringify({ customer: 'acme', total: 12.5, note: 'x'.repeat(100), key });
  // The same body as put() below: a key belongs to one request.
  http.put(`${BASE}/state/load/${key}`, body, {
    headers: { 'Content-Type': 'application/json', 'Idempotency-Key': key },
    timeout: '3ms',
    tags: { name: 'impatient' },
  });
  const second = put(key, { idempotencyKey: key });
  const third = put(key, { idempotencyKey: key });
  const history = get(`/history/load/${key}`, 'history');
  check(null, {
    'all answers are the same': () => second.json('transactionId') === third.json('transactionId'),
    'written once': () => history.json('entries').length === 1,
  });
}
