// Everybody changes the same few documents: merges lose races, and the node tries them again.
import { put, submit, summaryTrendStats } from './lib.js';
import exec from 'k6/execution';

const KEYS = Number(__ENV.KEYS || 5);

export const options = {
  summaryTrendStats,
  scenarios: {
    merges: { executor: 'constant-vus', vus: Number(__ENV.VUS || 20), duration: __ENV.DURATION || '30s' },
  },
  thresholds: {
    checks: ['rate==1'],
    // Told that it lost every attempt (409): rare, and never silent.
    http_req_failed: ['rate<0.1'],
    http_req_duration: ['p(99)<2000'],
  },
};

export function setup() {
  for (let n = 0; n < KEYS; n++) put(`hot-${n}`);
}

export default function () {
  const n = exec.scenario.iterationInTest;
  const value = { [`vu${exec.vu.idInTest}`]: n };
  submit([{ op: 'merge', namespace: 'load', key: `hot-${n % KEYS}`, value }], { name: 'merge' });
}
