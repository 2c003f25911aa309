// A rate of writes that rises step by step, whether or not answers come: where is the knee?
// STEPS=200,400,800 and STEP_SECONDS=10 choose the steps; results tell each of them apart.
import { RUN, put, summaryTrendStats } from './lib.js';
import exec from 'k6/execution';

const steps = (__ENV.STEPS || '100,200,400,800,1200,1600,2000,2500,3000').split(',').map(Number);
const seconds = Number(__ENV.STEP_SECONDS || 10);

const scenarios = {};
const thresholds = { checks: ['rate>0.5'] };
steps.forEach((rate, n) => {
  scenarios[`rate_${rate}`] = {
    executor: 'constant-arrival-rate',
    rate,
    duration: `${seconds}s`,
    startTime: `${n * (seconds + 2)}s`,
    preAllocatedVUs: Math.min(rate, 500),
    maxVUs: 1000,
    gracefulStop: '2s',
  };
  // A threshold that always holds makes k6 keep the step's numbers apart.
  thresholds[`http_req_duration{scenario:rate_${rate}}`] = ['max>=0'];
  thresholds[`http_reqs{scenario:rate_${rate}}`] = ['count>=0'];
  thresholds[`http_req_failed{scenario:rate_${rate}}`] = ['rate<=1'];
  thresholds[`dropped_iterations{scenario:rate_${rate}}`] = ['count>=0'];
});
// The first step must be no effort at all.
thresholds[`http_req_failed{scenario:rate_${steps[0]}}`] = ['rate<0.001'];

export const options = { summaryTrendStats, scenarios, thresholds, discardResponseBodies: true };

export default function () {
  const key = `stress-${RUN}-${exec.scenario.name}-${exec.scenario.iterationInTest}`;
  put(key, { idempotencyKey: key });
}
