'use strict';

const assert = require('node:assert');
const { test } = require('node:test');
const Transfers = require('../lib/transfers');

/** State in memory. What a transaction wrote is read by the next, as on a peer; one that fails writes nothing. */
class Ledger {
  state = new Map();
  contract = new Transfers();
  event = null;

  async submit(who, name, ...args) {
    const writes = new Map();
    this.event = null;
    const stub = {
      getState: async (key) => this.state.get(key) ?? Buffer.alloc(0),
      putState: async (key, value) => void writes.set(key, value),
      setEvent: (event, payload) => (this.event = { event, payload: JSON.parse(payload) }),
      getStateByRange: (start, end) => this.range(start, end),
    };
    const result = await this.contract[name]({ stub, clientIdentity: { getID: () => who } }, ...args);
    for (const [key, value] of writes) this.state.set(key, value);
    return result;
  }

  async *range(start, end) {
    for (const key of [...this.state.keys()].sort()) {
      if (key >= start && key < end) yield { key, value: this.state.get(key) };
    }
  }
}

async function opened() {
  const ledger = new Ledger();
  await ledger.submit('alice', 'OpenAccount', 'a', '100');
  await ledger.submit('bob', 'OpenAccount', 'b', '100');
  await ledger.submit('alice', 'Deposit', 'a', '1000');
  return ledger;
}

async function balances(ledger) {
  const balance = async (id) => (await ledger.submit('anyone', 'GetAccount', id)).balance;
  return [await balance('a'), await balance('b')];
}

test('a transfer within the limit is executed at once and told', async () => {
  const ledger = await opened();
  const transfer = await ledger.submit('alice', 'Transfer', 't1', 'a', 'b', '100');
  assert.strictEqual(transfer.status, 'EXECUTED');
  assert.deepStrictEqual(ledger.event, { event: 'TransferExecuted', payload: transfer });
  assert.deepStrictEqual(await balances(ledger), [900, 100]);
});

test('a transfer above the limit waits for a second person', async () => {
  const ledger = await opened();
  const transfer = await ledger.submit('alice', 'Transfer', 't1', 'a', 'b', '101');
  assert.strictEqual(transfer.status, 'PENDING');
  assert.deepStrictEqual(await balances(ledger), [1000, 0]);
  assert.deepStrictEqual(await ledger.submit('anyone', 'ListPending'), [transfer]);
  await assert.rejects(ledger.submit('alice', 'Approve', 't1'), /second person/);
  const approved = await ledger.submit('carol', 'Approve', 't1');
  assert.deepStrictEqual([approved.status, approved.decidedBy], ['EXECUTED', 'carol']);
  assert.deepStrictEqual(await balances(ledger), [899, 101]);
  assert.deepStrictEqual(await ledger.submit('anyone', 'ListPending'), []);
  await assert.rejects(ledger.submit('carol', 'Approve', 't1'), /is EXECUTED/);
});

test('a rejected transfer moves nothing, and stays rejected', async () => {
  const ledger = await opened();
  await ledger.submit('alice', 'Transfer', 't1', 'a', 'b', '500');
  await ledger.submit('carol', 'Reject', 't1');
  await assert.rejects(ledger.submit('dave', 'Approve', 't1'), /is REJECTED/);
  assert.deepStrictEqual(await balances(ledger), [1000, 0]);
});

test('nobody pays from the account of another, or more than there is', async () => {
  const ledger = await opened();
  await assert.rejects(ledger.submit('bob', 'Transfer', 't1', 'a', 'b', '1'), /not the caller's/);
  await ledger.submit('alice', 'Transfer', 't2', 'a', 'b', '2000');
  await assert.rejects(ledger.submit('bob', 'Approve', 't2'), /has 1000, the transfer takes 2000/);
  assert.deepStrictEqual(await balances(ledger), [1000, 0]);
});

test('ids are used once, and amounts are whole numbers', async () => {
  const ledger = await opened();
  await assert.rejects(ledger.submit('eve', 'OpenAccount', 'a', '1'), /account a exists/);
  await ledger.submit('alice', 'Transfer', 't1', 'a', 'b', '1');
  await assert.rejects(ledger.submit('alice', 'Transfer', 't1', 'a', 'b', '1'), /transfer t1 exists/);
  for (const wrong of ['0', '-1', '1.5', '', 'x', '9007199254740992', '1e3']) {
    await assert.rejects(ledger.submit('alice', 'Transfer', 't2', 'a', 'b', wrong), /amount/, wrong);
  }
  await assert.rejects(ledger.submit('alice', 'Transfer', 't2', 'a', 'a', '1'), /itself/);
  await assert.rejects(ledger.submit('alice', 'GetAccount', 'nobody'), /no account nobody/);
});
