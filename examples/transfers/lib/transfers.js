'use strict';

const { Contract } = require('fabric-contract-api');

// Amounts are whole numbers of the smallest unit, such as cents: floating point loses money.
const MOST = Number.MAX_SAFE_INTEGER;

/**
 * Accounts, and transfers between them. A transfer above the limit of the account that pays waits until a second
 * person approves it.
 *
 * State: `account:<id>` {id, owner, balance, limit}, `transfer:<id>` {id, from, to, amount, status, requestedBy,
 * decidedBy}. Status is EXECUTED, PENDING or REJECTED.
 */
class Transfers extends Contract {
  constructor() {
    super('Transfers');
  }

  /** Opens an account without money. Its limit is the most that its owner transfers alone. */
  async OpenAccount(ctx, id, limit) {
    await absent(ctx, 'account', id);
    return put(ctx, 'account', { id, owner: caller(ctx), balance: 0, limit: amount(limit, 'limit') });
  }

  /** Adds money from outside to an account. */
  async Deposit(ctx, id, sum) {
    const account = await get(ctx, 'account', id);
    return put(ctx, 'account', credited(account, positive(sum)));
  }

  /** Transfers within the limit of the account that pays; asks for a second person's approval above it. */
  async Transfer(ctx, id, from, to, sum) {
    await absent(ctx, 'transfer', id);
    if (from === to) throw new Error('an account transfers nothing to itself');
    const payer = await get(ctx, 'account', from);
    const payee = await get(ctx, 'account', to);
    if (payer.owner !== caller(ctx)) throw new Error(`account ${from} is not the caller's`);
    const value = positive(sum);
    const transfer = { id, from, to, amount: value, status: 'PENDING', requestedBy: caller(ctx), decidedBy: null };
    if (value > payer.limit) return put(ctx, 'transfer', transfer);
    return execute(ctx, transfer, payer, payee);
  }

  /** Executes a transfer that waits. Whoever asked for it cannot approve it. */
  async Approve(ctx, id) {
    const transfer = await decided(ctx, id);
    const payer = await get(ctx, 'account', transfer.from);
    const payee = await get(ctx, 'account', transfer.to);
    return execute(ctx, transfer, payer, payee);
  }

  /** Ends a transfer that waits, without effect. */
  async Reject(ctx, id) {
    const transfer = await decided(ctx, id);
    return put(ctx, 'transfer', { ...transfer, status: 'REJECTED' });
  }

  async GetAccount(ctx, id) {
    return get(ctx, 'account', id);
  }

  async GetTransfer(ctx, id) {
    return get(ctx, 'transfer', id);
  }

  /** The transfers that wait for a decision, by id. */
  async ListPending(ctx) {
    const pending = [];
    for await (const { value } of ctx.stub.getStateByRange('transfer:', 'transfer;')) {
      const transfer = JSON.parse(Buffer.from(value).toString('utf8'));
      if (transfer.status === 'PENDING') pending.push(transfer);
    }
    return pending;
  }
}

async function execute(ctx, transfer, payer, payee) {
  if (payer.balance < transfer.amount) {
    throw new Error(`account ${payer.id} has ${payer.balance}, the transfer takes ${transfer.amount}`);
  }
  await put(ctx, 'account', { ...payer, balance: payer.balance - transfer.amount });
  await put(ctx, 'account', credited(payee, transfer.amount));
  const executed = { ...transfer, status: 'EXECUTED' };
  ctx.stub.setEvent('TransferExecuted', Buffer.from(JSON.stringify(executed)));
  return put(ctx, 'transfer', executed);
}

/** A transfer that waits, with the caller as the second person. */
async function decided(ctx, id) {
  const transfer = await get(ctx, 'transfer', id);
  if (transfer.status !== 'PENDING') throw new Error(`transfer ${id} is ${transfer.status}`);
  const second = caller(ctx);
  if (second === transfer.requestedBy) throw new Error(`transfer ${id} needs the decision of a second person`);
  return { ...transfer, decidedBy: second };
}

function credited(account, sum) {
  const balance = account.balance + sum;
  if (balance > MOST) throw new Error(`account ${account.id} cannot hold so much`);
  return { ...account, balance };
}

/** Whoever signed the transaction. */
function caller(ctx) {
  return ctx.clientIdentity.getID();
}

function amount(text, what) {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > MOST) throw new Error(`${what} must be a whole number from 0 to ${MOST}`);
  return value;
}

function positive(text) {
  const value = amount(text, 'amount');
  if (value === 0) throw new Error('amount must be above 0');
  return value;
}

async function absent(ctx, kind, id) {
  if (!id) throw new Error(`${kind} needs an id`);
  const found = await ctx.stub.getState(`${kind}:${id}`);
  if (found.length > 0) throw new Error(`${kind} ${id} exists`);
}

async function get(ctx, kind, id) {
  const found = await ctx.stub.getState(`${kind}:${id}`);
  if (found.length === 0) throw new Error(`there is no ${kind} ${id}`);
  return JSON.parse(Buffer.from(found).toString('utf8'));
}

// The order of members is that of the literals above, the same on every peer that endorses.
async function put(ctx, kind, value) {
  await ctx.stub.putState(`${kind}:${value.id}`, Buffer.from(JSON.stringify(value)));
  return value;
}

module.exports = Transfers;
