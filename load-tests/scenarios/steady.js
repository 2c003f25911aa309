// A constant rate of writes and reads that does not wait for answers: is latency flat?
import { RUN, get, put, summaryTrendStats } from './lib.js';
import exec from 'k6/execution';

const rate = Number(__ENV.RATE || 200);

export const options = {
  summaryTrendStats,
  scenarios: {
    writes: {
      executor: 'constant-arrival-rate',
      rate,
      duration: __ENV.DURATION || '60s',
      preAllocatedVUs: rate,
      maxVUs: rate * 4,
    },
  },
  thresholds: {
    checks: ['rate>0.999'],
    'http_req_duration{name:put}': ['p(99)<250'],
    'http_req_duration{name:get}': ['p(99)<100'],
    dropped_iterations: ['count==0'],
  },
};

export default function () {
  const key = `steady-${RUN}-${exec.scenario.iterationInTest}`;
  put(key, { idempotencyKey: key });
  get(`/state/load/${key}`, 'get');
}
