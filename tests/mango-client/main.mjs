#!/usr/bin/env node
// nano, CouchDB's own client for Node, against the rich queries of a running node: find, createIndex,
// explain, the list of indexes, and pages by bookmark. A client that knows nothing of Quire must do.

import assert from 'node:assert/strict';
import { parseArgs } from 'node:util';
import nano from 'nano';

const { values: options } = parseArgs({
  options: { url: { type: 'string' }, channel: { type: 'string', default: 'main' } },
});
if (!options.url) {
  console.error('usage: node main.mjs --url http://127.0.0.1:7080 [--channel main]');
  process.exit(2);
}
const base = `${options.url}/v1/channels/${options.channel}/state`;
// Without `parseUrl: false` it takes what follows the host for a database.
const server = nano({ url: base, parseUrl: false });
const name = `nano${Date.now()}`;
const db = server.use(name);

const total = 95;
for (let n = 0; n < total; n++) {
  const id = `d${String(n).padStart(3, '0')}`;
  const answer = await fetch(`${base}/${name}/${id}`, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json', 'Idempotency-Key': `${name}-${id}` },
    body: JSON.stringify({ n: n % 40, group: n % 3 === 0 ? 'a' : 'b', tags: [`t${n % 5}`] }),
  });
  assert.equal(answer.status, 201, await answer.text());
}

// An index, twice, and the list that has it.
const index = { index: { fields: ['n'] }, ddoc: 'by-n', name: 'by-n', type: 'json' };
assert.deepEqual(await db.createIndex(index), { result: 'created', id: '_design/by-n', name: 'by-n' });
assert.equal((await db.createIndex(index)).result, 'exists');
const listed = await server.request({ db: name, path: '_index', method: 'GET' });
assert.deepEqual(listed.indexes.map((one) => one.name), ['_all_docs', 'by-n']);
assert.equal(listed.total_rows, 2);

// The planner's choice.
const query = { selector: { n: { $gte: 10 }, group: 'b' }, sort: ['n'], fields: ['_id', 'n'] };
const explained = await server.request({ db: name, path: '_explain', method: 'POST', body: query });
assert.equal(explained.index.name, 'by-n');

// One answer, and the same in pages.
const whole = await db.find({ ...query, limit: 1000 });
assert.equal(whole.warning, undefined);
const expected = [];
for (let n = 0; n < total; n++) {
  if (n % 40 >= 10 && n % 3 !== 0) expected.push({ _id: `d${String(n).padStart(3, '0')}`, n: n % 40 });
}
expected.sort((a, b) => a.n - b.n || (a._id < b._id ? -1 : 1));
assert.deepEqual(whole.docs, expected);
for (const limit of [1, 7, 50]) {
  const paged = [];
  let bookmark;
  for (;;) {
    const page = await db.find({ ...query, limit, bookmark });
    if (page.docs.length === 0) break;
    assert.ok(page.docs.length <= limit);
    paged.push(...page.docs);
    bookmark = page.bookmark;
  }
  assert.deepEqual(paged, expected, `pages of ${limit}`);
}

// Without an index for it: the same answer, with CouchDB's warning.
const scan = await db.find({ selector: { tags: { $elemMatch: { $eq: 't3' } } }, limit: 1000 });
assert.equal(scan.docs.length, total / 5);
assert.match(scan.warning, /No matching index found/);

// Errors arrive as nano's own.
await assert.rejects(db.find({ selector: { n: { $nope: 1 } } }), (error) => {
  assert.equal(error.statusCode, 400);
  assert.equal(error.error, 'invalid_operator');
  return true;
});
await assert.rejects(db.find({ ...query, sort: ['group'] }), { error: 'no_usable_index' });

const removed = await server.request({ db: name, path: '_index/by-n/json/by-n', method: 'DELETE' });
assert.equal(removed.ok, true);
console.log(`nano: ${expected.length} of ${total} documents found, whole and in pages; index made, chosen, listed, removed`);
