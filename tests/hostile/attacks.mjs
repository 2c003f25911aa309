// What is tried. Each attack says what it sends, which answers are the documented ones, and in which time it is over;
// docs/security.md has the same as a table.
import { heard, many, sleep, word } from './http.mjs';

const PATTERN = '(x{0,90}){0,90}y';
const repeat = (count, make) => Array.from({ length: count }, (_, index) => make(index));
const digits = (count) => '9'.repeat(count);
const patterns = (count) => repeat(count, (index) => ({ s: { $regex: `${PATTERN}${index}` } }));
/** A query within all limits of size, whose patterns look ahead: on every document it takes what it may. */
const hard = { selector: { $nor: repeat(100, (index) => ({ text: { $regex: `(?=.*a)(?=.*b)(?!.*${index}z).*y` } })) } };

/** A query that is within its budget, or is told that it is not. */
const QUERY = ['200', '422 QUERY_TOO_EXPENSIVE', '503 OVERLOADED', '400 INVALID_SELECTOR', '400 INVALID_ARGUMENT', '400 INVALID_JSON', '413 TOO_LARGE'];
const NEVER_JUDGED = ['422 QUERY_TOO_EXPENSIVE', '503 OVERLOADED', '400 INVALID_SELECTOR', '400 INVALID_ARGUMENT', '400 INVALID_JSON', '413 TOO_LARGE'];
/** A connection that was heard out, or ended. */
const ENDED = ['closed', '408 REQUEST_TIMEOUT', '503 OVERLOADED', '503 NOT_READY', '413 TOO_LARGE', '429 RATE_LIMITED'];

async function find(target, query, { path = '_find', timeout = 60_000 } = {}) {
  return word(await target.request('POST', `${target.state}/${path}`, { body: query, timeout }));
}

/** Several queries, one after the other. */
function queries(name, what, list, expected = QUERY, seconds = 30) {
  return {
    name,
    what,
    expected,
    seconds,
    run: async ({ target, size }) => {
      const made = list(size);
      return many(made.length, 1, (index) => find(target, ...[].concat(made[index])));
    },
  };
}

/** Bare connections that are begun, left alone, and listened to. */
function connections(name, what, count, expected, seconds, begin, listen) {
  return {
    name,
    what,
    expected,
    seconds,
    run: ({ target, size, isLong }) =>
      many(count[isLong ? 1 : 0], 10_000, async (index) => {
        const socket = await target.connect().catch((error) => error.code || 'ERROR');
        if (typeof socket === 'string') return 'closed';
        const answer = heard(socket, listen ?? seconds * 1000);
        await begin({ target, socket, index, size });
        const told = await answer;
        socket.destroy();
        return told;
      }),
  };
}

export const ATTACKS = [
  queries(
    'patterns',
    '1,000 (4,000) patterns of 8,100 states each, under $nor, $or, $and, $elemMatch, $allMatch; asked and explained',
    (size) => {
      const count = size(1000, 4000);
      const forms = [
        { $nor: patterns(count) },
        { $or: patterns(count) },
        { a: { $elemMatch: { $or: patterns(count) } } },
        { a: { $allMatch: { $nor: patterns(count) } } },
      ];
      return forms.flatMap((selector) => [[{ selector }], [{ selector }, { path: '_explain' }]]);
    },
    NEVER_JUDGED,
  ),
  queries('patterns on documents', '2,000 small patterns, each tried on 3,000 documents', (size) => [
    [{ selector: { $nor: repeat(size(500, 2000), (index) => ({ text: { $regex: `^(a|b)*${index}c$` } })) } }],
    [{ selector: { text: { $regex: '(a*)*b' } } }],
  ]),
  queries('branches', 'an $or of 20,000 branches, flat and below $not', (size) => {
    const branches = repeat(size(20_000, 20_000), (index) => ({ n: index }));
    return [[{ selector: { $or: branches } }], [{ selector: { $not: { $or: branches } } }], [{ selector: { $and: branches } }]];
  }),
  queries('lists', '$in and $nin of 100,000 values, $all of 20,000', () => [
    [{ selector: { n: { $in: repeat(100_000, (index) => index) } } }],
    [{ selector: { n: { $nin: repeat(100_000, (index) => `v${index}`) } } }],
    [{ selector: { a: { $all: repeat(20_000, (index) => index) } } }],
  ]),
  queries(
    'nesting',
    'a selector, a value and a sort of 50,000 levels',
    () => [
      [`{"selector":${'{"$not":'.repeat(50_000)}{"a":1}${'}'.repeat(50_000)}}`],
      [`{"selector":{"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}}`],
      [`{"selector":{},"sort":${'['.repeat(50_000)}${']'.repeat(50_000)}}`],
      [`{"selector":{"${'a.'.repeat(50_000)}a":1}}`],
    ],
    QUERY,
  ),
  queries('numbers asked for', '$gt of a number of 900,000 digits, and of exponents of ten digits', () => [
    [`{"selector":{"n":{"$gt":${digits(900_000)}}}}`],
    [`{"selector":{"n":{"$gt":1e9999999999}}}`],
    [`{"selector":{"n":{"$lt":-0.${'0'.repeat(900_000)}1}}}`],
    [`{"selector":{"n":{"$mod":[${digits(100_000)},1]}}}`],
    [`{"selector":{"n":{"$in":[${repeat(500, () => digits(1500)).join(',')}]}}}`],
  ]),
  {
    name: 'numbers stored',
    what: 'a value with a number of 900,000 digits, or an exponent of ten, written in each way there is',
    expected: ['400 INVALID_JSON', '400 INVALID_ARGUMENT', '413 TOO_LARGE', 'line 400 INVALID_JSON', 'line 400 INVALID_ARGUMENT'],
    seconds: 20,
    run: async ({ target }) => {
      const bombs = [`{"n":${digits(900_000)}}`, '{"n":1e9999999999}'];
      return many(bombs.length * 4, 1, async (index) => {
        const value = bombs[index % 2];
        const key = `${target.state}/bomb`;
        const operations = `{"operations":[{"op":"put","namespace":"hostile","key":"bomb","value":${value}}]}`;
        switch (Math.floor(index / 2)) {
          case 0:
            return word(await target.request('PUT', key, { body: value }));
          case 1:
            return word(await target.request('PATCH', `${target.state}/0`, { body: value, type: 'application/merge-patch+json' }));
          case 2:
            return word(await target.request('POST', `${target.channel}/transactions`, { body: operations }));
          default: {
            const answer = await target.request('POST', `${target.channel}/transactions:batch`, { body: operations, type: 'application/x-ndjson', keep: true });
            const line = answer.body?.match(/"status":(\d+)(?:.*?"code":"([A-Z_]+)")?/);
            return line ? `line ${line[1]} ${line[1] >= '400' ? line[2] : ''}`.trim() : word(answer);
          }
        }
      });
    },
  },
  queries('sorts and fields', 'a sort by 10,000 members, 100,000 fields, a path of 10,000 parts', () => [
    [{ selector: {}, sort: repeat(10_000, (index) => ({ [`m${index}`]: 'asc' })) }],
    [{ selector: {}, fields: repeat(100_000, (index) => `m${index}`) }],
    [{ selector: {}, fields: ['a.'.repeat(10_000) + 'a'] }],
    [{ selector: {}, skip: 2 ** 53 }],
  ]),
  {
    name: 'queries in transactions',
    what: 'the patterns as the argument of the chaincode function find, evaluated and submitted',
    expected: ['422 QUERY_TOO_EXPENSIVE', '503 OVERLOADED', '400 INVALID_SELECTOR', '400 INVALID_ARGUMENT', '413 TOO_LARGE'],
    seconds: 30,
    run: ({ target, size }) => {
      const query = { selector: { $nor: patterns(size(1000, 4000)) } };
      const call = { chaincode: 'hostile', function: 'find', args: [query] };
      return many(4, 2, async (index) => word(await target.request('POST', `${target.channel}/${index % 2 ? 'evaluate' : 'transactions'}`, { body: call, timeout: 60_000 })));
    },
  },
  {
    name: 'hard queries',
    what: '40 (400) at once of 100 patterns that look ahead, on 500 (3,000) documents without an index',
    expected: ['200', '422 QUERY_TOO_EXPENSIVE', '503 OVERLOADED', '429 RATE_LIMITED'],
    seconds: 60,
    run: ({ target, isLong }) => many(isLong ? 400 : 40, 10_000, () => find(target, hard)),
  },
  {
    name: 'abandoned queries',
    what: '100 (600) of these whose clients hang up after 50 ms',
    expected: ['left'],
    seconds: 30,
    run: async ({ target, isLong }) => {
      const body = JSON.stringify(hard);
      const head = target.head('POST', `${target.state}/_find`, { 'content-type': 'application/json', 'content-length': body.length });
      return many(isLong ? 600 : 100, 100, async () => {
        const socket = await target.connect().catch(() => null);
        if (!socket) return 'closed';
        socket.write(head + body);
        target.sent += body.length;
        await sleep(50);
        socket.destroy();
        return 'left';
      });
    },
  },
  {
    name: 'unread answers',
    what: '60 (300) readers of pages of 9 MB of a key\'s history who take nothing for 8 (25) seconds',
    expected: ['left', '503 OVERLOADED', 'closed'],
    seconds: 40,
    run: async ({ target, isLong }) =>
      many(isLong ? 300 : 60, 10_000, async () => {
        const socket = await target.connect().catch(() => null);
        if (!socket) return 'closed';
        socket.write(target.head('GET', `${target.channel}/history/hostile/large?limit=1000`));
        await sleep(isLong ? 25_000 : 8_000);
        socket.resume();
        const gone = socket.destroyed;
        socket.destroy();
        return gone ? 'closed' : 'left';
      }),
  },
  {
    name: 'unfinished bodies',
    what: '100 (400) writes of 8 MB that lack their last byte, for 5 (20) seconds',
    expected: ['413 TOO_LARGE', '503 OVERLOADED', '408 REQUEST_TIMEOUT', 'closed', 'silence'],
    seconds: 40,
    run: async ({ target, isLong }) => {
      const body = Buffer.alloc((8 << 20) - 1, 0x20);
      return many(isLong ? 400 : 100, 10_000, async (index) => {
        const socket = await target.connect().catch(() => null);
        if (!socket) return 'closed';
        const answer = heard(socket, isLong ? 20_000 : 5_000);
        socket.write(target.head('PUT', `${target.state}/body-${index}`, { 'content-type': 'application/json', 'content-length': body.length + 1 }));
        socket.write(body);
        target.sent += body.length;
        const told = await answer;
        socket.destroy();
        return told;
      });
    },
  },
  connections('slow bodies', '100 (1,000) writes whose body comes a byte a second', [100, 1000], ['silence', ...ENDED], 15, async ({ target, socket, index }) => {
    socket.write(target.head('PUT', `${target.state}/slow-${index}`, { 'content-type': 'application/json', 'content-length': 1000 }));
    const timer = setInterval(() => socket.write(' '), 1000);
    socket.on('close', () => clearInterval(timer));
  }, 10_000),
  connections('slow heads', '200 (2,000) connections whose head does not end', [200, 2000], ENDED, 20, async ({ socket }) => {
    socket.write('GET /v1/channels HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ');
    const timer = setInterval(() => socket.write('a'), 1000);
    socket.on('close', () => clearInterval(timer));
  }),
  connections('listeners', '500 (5,000) event streams, opened and not read', [500, 5000], ['200', '503 OVERLOADED', 'closed'], 30, async ({ target, socket }) => {
    socket.write(target.head('GET', `${target.channel}/events?from=0`, { accept: 'text/event-stream' }));
  }, 15_000),
  connections('long waits', '300 (3,000) requests that wait five minutes for a transaction that never comes', [300, 3000], ['404 TRANSACTION_NOT_FOUND', '503 OVERLOADED', '400 INVALID_ARGUMENT', 'silence', 'closed'], 10, async ({ target, socket, index }) => {
    socket.write(target.head('GET', `${target.channel}/transactions?idempotencyKey=never-${index}&wait=300`));
  }, 3000),
  {
    name: 'batches',
    what: '64 (256) batches at once, each of 500 lines of 4 KB',
    expected: ['200', '503 OVERLOADED', '429 RATE_LIMITED'],
    seconds: 60,
    run: ({ target, isLong }) =>
      many(isLong ? 256 : 64, 10_000, async (index) => {
        const line = (count) => JSON.stringify({ operations: [{ op: 'put', namespace: 'hostile-batch', key: `${index}-${count}`, value: 'x'.repeat(4000) }] });
        const body = repeat(isLong ? 500 : 100, line).join('\n');
        return word(await target.request('POST', `${target.channel}/transactions:batch`, { body, type: 'application/x-ndjson', timeout: 60_000 }));
      }),
  },
  {
    name: 'rapid reset',
    what: '20,000 (100,000) streams of HTTP/2 that are reset as soon as they are open, on 10 connections, for 5 (20) seconds',
    expected: ['reset', 'closed'],
    seconds: 30,
    run: ({ target, isLong }) =>
      many(10, 10, async () => {
        const session = await target.http2().catch(() => null);
        if (!session) return 'closed';
        const until = Date.now() + (isLong ? 20_000 : 5_000);
        for (let count = 0; count < (isLong ? 10_000 : 2_000) && !session.destroyed && !session.closed && Date.now() < until; count++) {
          const stream = session.request(target.headers({ ':path': `${target.state}/0` }));
          stream.on('error', () => {});
          stream.close(8);
          if (count % 50 === 49) await sleep(1);
        }
        const isGone = session.destroyed || session.closed;
        session.destroy();
        return isGone ? 'closed' : 'reset';
      }),
  },
  {
    name: 'early answers',
    what: '40 uploads of 1 MB by HTTP/2 to a route that there is not: every answer arrives',
    expected: ['404 ROUTE_NOT_FOUND'],
    seconds: 20,
    run: ({ target }) =>
      many(40, 4, async () => {
        const session = await target.http2().catch(() => null);
        if (!session) return 'closed';
        const told = await new Promise((resolve) => {
          const stream = session.request(target.headers({ ':method': 'POST', ':path': '/v1/nowhere', 'content-type': 'application/json' }));
          let status = 0;
          let text = '';
          stream.on('response', (headers) => (status = headers[':status']));
          stream.on('data', (part) => (text += part));
          stream.on('error', () => {});
          stream.on('close', () => resolve(status ? `${status} ${text.match(/"code":"([A-Z_]+)"/)?.[1] || ''}`.trim() : 'lost'));
          stream.end(Buffer.alloc(1 << 20, 0x20));
          target.sent += 1 << 20;
          setTimeout(() => stream.close(8), 10_000).unref();
        });
        session.destroy();
        return told;
      }),
  },
  {
    name: 'large heads',
    what: 'headers of 1 MB, 10,000 headers, a target of 1 MB',
    expected: ['431 HEADERS_TOO_LARGE', '400 INVALID_ARGUMENT', '414 HEADERS_TOO_LARGE', 'closed'],
    seconds: 10,
    run: ({ target }) => {
      const heads = [
        target.head('GET', '/v1/channels', { 'x-large': 'a'.repeat(1 << 20) }),
        target.head('GET', '/v1/channels', Object.fromEntries(repeat(10_000, (index) => [`x-${index}`, 'a'.repeat(20)]))),
        target.head('GET', `/v1/channels?${'a'.repeat(1 << 20)}`),
      ];
      return many(heads.length, 1, async (index) => {
        const socket = await target.connect().catch(() => null);
        if (!socket) return 'closed';
        const answer = heard(socket, 5000);
        socket.write(heads[index]);
        target.sent += heads[index].length;
        const told = await answer;
        socket.destroy();
        return told;
      });
    },
  },
];
