// Guards the verifier itself: it agrees with Fabric's golden vectors and with ledgers that Fabric
// peers wrote, and it notices every kind of damage it claims to notice.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { recorded } from '../conformance/read.mjs';
import { blocksInFile } from './blocks.mjs';
import { Chain } from './chain.mjs';
import { Judge } from './checks.mjs';
import { crc32c, headerDer, orderPreserving, sha256, uvarint } from './hashes.mjs';
import { common, kvrwset, read, rwset } from './messages.mjs';

const hex = (bytes) => Buffer.from(bytes).toString('hex');

function load(ledger) {
  return [...blocksInFile(ledger, recorded(`fabric-ledgers/${ledger}/blockfile_000000`))];
}

function judge(blocks, allowed = ['batch-marker']) {
  const judge = new Judge(allowed);
  const chain = new Chain(judge);
  for (const block of blocks) chain.add(block);
  return { chain, judge };
}

test('hashes and encodings are those of the golden vectors', () => {
  const dataHash = Buffer.from('86e3807ca239063fe9e380f796acbe128d6ab3e5844e2a97a2bb7cd185adfaf9', 'hex');
  const der = headerDer(300, Buffer.from('aabb', 'hex'), dataHash);
  assert.equal(hex(sha256(der)), '83ec69869720a405fd2ebf040d5e0067fa5de3c63d35bf595433fa485eff0b78');
  assert.equal(
    hex(sha256(headerDer(0xffffffffffffffffn, Buffer.alloc(32), Buffer.alloc(32)))),
    '89da48b4dfe6a446c46603d329f72c0097cf41b9e20863189aeafe598e30a0c8',
  );
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
  assert.deepEqual([0, 1, 255, 256].map((n) => hex(orderPreserving(n))), ['00', '0101', '01ff', '020100']);
  assert.equal(hex(uvarint(300)), 'ac02');
});

for (const [ledger, height] of [['v3.1-conflicts', 120], ['v2.0-testchannel', 20], ['sample-prod', 8]]) {
  test(`${ledger}, written by Fabric, is sound`, () => {
    const { chain, judge: verdict } = judge(load(ledger));
    assert.equal(chain.next, height);
    assert.deepEqual([...verdict.violated.keys()], ['batch-marker']);
    for (const check of ['creator-signature', 'endorsement-signature', 'orderer-signature', 'proposal-hash', 'commit-hash']) {
      // Configuration blocks have no proposal.
      assert.ok(verdict.held.get(check) >= height / 2, `${check} held ${verdict.held.get(check)} times`);
    }
  });
}

for (const [golden, told] of [
  ['rich-query.hex', { version: 1 }],
  ['rich-query-3.hex', { version: 3, height: 2 }],
]) {
  test(`a rich query of version ${told.version} is a range query to Fabric, and loses nothing on the way`, () => {
    const file = new URL(`../../ledger/tests/golden/${golden}`, import.meta.url);
    const bytes = Buffer.from(readFileSync(file, 'utf8').trim(), 'hex');
    const judge = new Judge([]);
    const sets = read(judge, rwset.TxReadWriteSet, bytes, 'TxReadWriteSet').getNsRwsetList();
    assert.deepEqual(sets.map((set) => set.getNamespace()), ['log', 'orders$$q']);
    const queries = read(judge, kvrwset.KVRWSet, sets[1].getRwset_asU8(), 'KVRWSet').toObject();
    assert.deepEqual([queries.readsList, queries.writesList, queries.metadataWritesList], [[], [], []]);
    const [query] = queries.rangeQueriesInfoList;
    assert.deepEqual(JSON.parse(query.startKey), {
      ...told,
      selector: { status: { $eq: 'open' } },
      fields: ['total'],
      from: { values: [10], key: 'k1', included: false },
    });
    assert.deepEqual(JSON.parse(query.endKey), { to: { values: [12.5], key: 'k7', included: true } });
    const rows = query.rawReads.kvReadsList.map(({ key, version }) => [key, version.blockNum, version.txNum]);
    assert.deepEqual(rows, [['k3', 1, 0], ['k7', 1, 0]]);
    assert.deepEqual([...judge.violated.keys()], []);
  });
}

test('every kind of damage is told by its name', () => {
  const flip = (bytes, at) => {
    const copy = Buffer.from(bytes);
    copy[at < 0 ? copy.length + at : at] ^= 1;
    return copy;
  };
  const rehash = (block) => ({ ...block, dataHash: sha256(...block.envelopes) });
  const envelope = (block, change) => {
    const message = common.Envelope.deserializeBinary(block.envelopes[0]);
    change(message);
    return rehash({ ...block, envelopes: [Buffer.from(message.serializeBinary()), ...block.envelopes.slice(1)] });
  };
  const slot = (block, number, bytes) => ({
    ...block,
    metadata: block.metadata.map((entry, at) => (at === number ? bytes : entry)),
  });
  const damages = {
    'data-hash': (block) => ({ ...block, envelopes: [flip(block.envelopes[0], -1), ...block.envelopes.slice(1)] }),
    'previous-hash': (block) => ({ ...block, previousHash: flip(block.previousHash, 0) }),
    'numbering': (block) => ({ ...block, number: block.number + 1 }),
    'creator-signature': (block) => envelope(block, (message) => message.setSignature(flip(message.getSignature_asU8(), -1))),
    'decode': (block) => rehash({ ...block, envelopes: [Buffer.concat([block.envelopes[0], Buffer.from([0x98, 0x06, 1])]), ...block.envelopes.slice(1)] }),
    'orderer-signature': (block) => slot(block, 0, flip(block.metadata[0], -1)),
    'filter': (block) => slot(block, 2, Buffer.concat([block.metadata[2], Buffer.from([0])])),
    'commit-hash': (block) => slot(block, 4, flip(block.metadata[4], -1)),
    'transaction-id': (block) => envelope(block, (message) => {
      const payload = common.Payload.deserializeBinary(message.getPayload_asU8());
      const header = common.ChannelHeader.deserializeBinary(payload.getHeader().getChannelHeader_asU8());
      header.setTxId('0'.repeat(64));
      payload.getHeader().setChannelHeader(header.serializeBinary());
      message.setPayload(payload.serializeBinary());
    }),
    'batch-marker': (block) => block,
  };
  const blocks = load('v3.1-conflicts').slice(0, 12);
  for (const [check, damage] of Object.entries(damages)) {
    const damaged = [...blocks.slice(0, -1), damage(blocks.at(-1))];
    const allowed = check === 'batch-marker' ? [] : ['batch-marker'];
    assert.throws(() => judge(damaged, allowed), (error) => error.check === check, check);
  }
});
