// Event streams that end: listeners read BLOCKS blocks of the past (`to=`), while others write. k6 reads no stream
// without an end. The result has blocks a second.
import exec from 'k6/execution';
import { Counter } from 'k6/metrics';
import { RUN, listen, put, summaryTrendStats } from './lib.js';

const blocks = Number(__ENV.BLOCKS || 200);
const told = new Counter('blocks_told');
const duration = __ENV.DURATION || '30s';

export const options = {
  summaryTrendStats,
  setupTimeout: '300s',
  scenarios: {
    listeners: { executor: 'constant-vus', vus: Number(__ENV.LISTENERS || 20), duration, exec: 'listeners' },
    writers: { executor: 'constant-vus', vus: 2, duration, exec: 'writers' },
  },
  thresholds: {
    checks: ['rate==1'],
    blocks_told: ['count>0'],
    'http_req_duration{name:events}': ['p(99)<10000'],
    'http_req_duration{name:put}': ['p(99)<1000'],
  },
};

/** A chain that is long enough: one writer, so a block each. */
export function setup() {
  let newest = 0;
  for (let n = 0; newest < blocks; n++) newest = put(`events-${RUN}-${n}`).json('blockNumber');
  return newest;
}

export function listeners(newest) {
  listen(newest - blocks + 1, newest);
  told.add(blocks);
}

export function writers() {
  put(`events-${RUN}-w-${exec.scenario.iterationInTest}`);
}
