// What the scenarios share: addresses, one write, one read, and what counts as wrong.
import http from 'k6/http';
import { check } from 'k6';

export const BASE = `${__ENV.URL}/v1/channels/${__ENV.CHANNEL || 'main'}`;
// Keys of one run never meet those of another.
export const RUN = __ENV.RUN || `${Date.now()}`;
const JSON_BODY = { 'Content-Type': 'application/json' };

export function put(key, { idempotencyKey, tags, namespace = 'load' } = {}) {
  const headers = { ...JSON_BODY };
  if (idempotencyKey) headers['Idempotency-Key'] = idempotencyKey;
  const body = JSON.stringify({ customer: 'acme', total: 12.5, note: 'x'.repeat(100), key });
  const answer = http.put(`${BASE}/state/${namespace}/${key}`, body, {
    headers,
    tags: { name: 'put', ...tags },
  });
  check(answer, { 'put: 200 or 201': (r) => r.status === 200 || r.status === 201 });
  return answer;
}

export function get(path, name, tags) {
  const answer = http.get(`${BASE}${path}`, { tags: { name, ...tags } });
  check(answer, { [`${name}: 200`]: (r) => r.status === 200 });
  return answer;
}

export function submit(operations, { idempotencyKey, tags, name = 'submit' } = {}) {
  const headers = { ...JSON_BODY };
  if (idempotencyKey) headers['Idempotency-Key'] = idempotencyKey;
  const answer = http.post(`${BASE}/transactions`, JSON.stringify({ operations }), {
    headers,
    tags: { name, ...tags },
  });
  // A transaction that lost every attempt at a contended key is told so: nothing took effect.
  const lost = answer.status === 409 && /_READ_CONFLICT/.test(answer.body);
  check(answer, { [`${name}: 201, or told that it lost`]: (r) => r.status === 201 || lost });
  return answer;
}

// p50 is not in k6's default summary.
export const summaryTrendStats = ['avg', 'med', 'p(95)', 'p(99)', 'max', 'count'];
