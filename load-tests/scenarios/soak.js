// An hour (DURATION) of moderate load: does anything grow that should not? Watch memory, disk by part and
// the engine's backlog on the dashboards meanwhile.
import { RUN, get, put, summaryTrendStats } from './lib.js';
import exec from 'k6/execution';

const rate = Number(__ENV.RATE || 100);
const KEYS = 10000;

export const options = {
  summaryTrendStats,
  scenarios: {
    soak: {
      executor: 'constant-arrival-rate',
      rate,
      duration: __ENV.DURATION || '1h',
      preAllocatedVUs: rate,
      maxVUs: rate * 4,
    },
  },
  thresholds: {
    checks: ['rate>0.9999'],
    'http_req_duration{name:put}': ['p(99)<250'],
    dropped_iterations: ['count==0'],
  },
};

export default function () {
  const n = exec.scenario.iterationInTest;
  const key = `soak-${n % KEYS}`;
  put(key, { idempotencyKey: `soak-${RUN}-${n}` });
  get(`/state/load/${key}`, 'get');
  if (n % 100 === 0) get(`/history/load/${key}?limit=10`, 'history');
}
