// Loading in bulk: LINES documents a request, by several clients at once. The result has documents a second.
import exec from 'k6/execution';
import { Counter } from 'k6/metrics';
import { RUN, batch, summaryTrendStats } from './lib.js';

const lines = Number(__ENV.LINES || 500);
const loaded = new Counter('documents_loaded');

export const options = {
  summaryTrendStats,
  scenarios: {
    loading: { executor: 'constant-vus', vus: Number(__ENV.USERS || 4), duration: __ENV.DURATION || '30s' },
  },
  thresholds: {
    checks: ['rate==1'],
    documents_loaded: ['count>0'],
    'http_req_duration{name:batch}': ['p(99)<30000'],
  },
};

export default function () {
  const n = exec.scenario.iterationInTest;
  const keys = Array.from({ length: lines }, (_, line) => `batch-${RUN}-${n}-${line}`);
  const document = (key) => ({ key, customer: 'acme', total: 12.5, note: 'x'.repeat(100) });
  const answer = batch(keys, { document });
  if (answer.status === 200) loaded.add(lines);
}
