// What the scenarios share: addresses, one write, one read, and what counts as wrong.
import http from 'k6/http';
import { check } from 'k6';

export const BASE = `${__ENV.URL}/v1/channels/${__ENV.CHANNEL || 'main'}`;
// Keys of one run never meet those of another. All users of a run must have the same, so it comes from outside.
export const RUN = __ENV.RUN;
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

/** Makes an index and waits until it is built. */
export function index(fields, namespace = 'load') {
  const body = JSON.stringify({ index: { fields }, ddoc: fields.join('-'), name: fields.join('-') });
  const url = `${BASE}/state/${namespace}/_index`;
  const answer = http.post(url, body, { headers: JSON_BODY, tags: { name: 'index' }, timeout: '300s' });
  check(answer, { 'index: 200': (r) => r.status === 200 });
}

export function query(request, name, tags) {
  const url = `${BASE}/state/load/_find`;
  const answer = http.post(url, JSON.stringify(request), { headers: JSON_BODY, tags: { name, ...tags } });
  check(answer, { [`${name}: 200, with documents`]: (r) => r.status === 200 && r.json('docs').length > 0 });
  return answer;
}

/** Puts a document under each key, in one request. Every line has a key of its own for repetitions. */
export function batch(keys, { document = (key) => ({ key }), tags } = {}) {
  const lines = keys.map((key) => {
    const operations = [{ op: 'put', namespace: 'load', key, value: document(key) }];
    return JSON.stringify({ operations, idempotencyKey: `${RUN}-${key}` });
  });
  const headers = { 'Content-Type': 'application/x-ndjson' };
  const url = `${BASE}/transactions:batch`;
  const answer = http.post(url, `${lines.join('\n')}\n`, { headers, tags: { name: 'batch', ...tags }, timeout: '120s' });
  const statuses = () => answer.body.trim().split('\n').map((line) => JSON.parse(line).status);
  check(answer, {
    'batch: every line 201': (r) => r.status === 200 && statuses().every((status) => status === 201),
    'batch: an answer a line': () => statuses().length === keys.length,
  });
  return answer;
}

/** The blocks from one to another, as server-sent events of a stream that ends. */
export function listen(from, to, tags) {
  const answer = http.get(`${BASE}/events?from=${from}&to=${to}`, { tags: { name: 'events', ...tags }, timeout: '120s' });
  const events = () => answer.body.match(/^event: block$/gm) || [];
  check(answer, { 'events: every block': (r) => r.status === 200 && events().length === to - from + 1 });
  return answer;
}

// p50 is not in k6's default summary.
export const summaryTrendStats = ['avg', 'med', 'p(95)', 'p(99)', 'max', 'count'];
