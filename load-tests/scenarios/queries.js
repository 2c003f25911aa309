// Rich queries over a seeded data set: equality, a range and a sort that indexes serve, and a scan. DOCUMENTS are
// loaded by batches first; SEED=0 uses those of an earlier run with the same RUN.
import exec from 'k6/execution';
import { RUN, batch, index, query, summaryTrendStats } from './lib.js';

const documents = Number(__ENV.DOCUMENTS || 10000);
const BATCH = 500;
const CUSTOMERS = 200;

export const options = {
  summaryTrendStats,
  setupTimeout: '600s',
  scenarios: {
    queries: { executor: 'constant-vus', vus: Number(__ENV.USERS || 8), duration: __ENV.DURATION || '30s' },
  },
  thresholds: {
    checks: ['rate==1'],
    'http_req_duration{name:find by customer}': ['p(99)<250'],
    'http_req_duration{name:find a sorted range}': ['p(99)<250'],
    'http_req_duration{name:find by scan}': ['p(99)<5000'],
  },
};

const document = (key) => {
  const n = Number(key.split('-').pop());
  return { run: RUN, customer: `customer-${n % CUSTOMERS}`, total: n, status: n % 10 === 0 ? 'open' : 'paid', note: 'x'.repeat(100) };
};

export function setup() {
  if (__ENV.SEED !== '0') {
    for (let first = 0; first < documents; first += BATCH) {
      const keys = Array.from({ length: Math.min(BATCH, documents - first) }, (_, n) => `query-${RUN}-${first + n}`);
      batch(keys, { document, tags: { name: 'seed' } });
    }
  }
  index(['run', 'customer']);
  index(['run', 'total']);
}

export default function () {
  const n = exec.scenario.iterationInTest;
  query({ selector: { run: RUN, customer: `customer-${n % CUSTOMERS}` }, limit: 50 }, 'find by customer');
  const from = (n * 7919) % Math.max(1, documents - 100);
  const range = { run: RUN, total: { $gte: from, $lt: from + 100 } };
  query({ selector: range, sort: [{ run: 'asc' }, { total: 'asc' }], limit: 100 }, 'find a sorted range');
  // Nothing indexes it, so it reads the namespace; now and then, as in life.
  if (n % 50 === 0) query({ selector: { status: 'open', note: { $regex: '^x' } }, limit: 25 }, 'find by scan');
}
