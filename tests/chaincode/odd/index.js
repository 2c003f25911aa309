'use strict';

const { Contract } = require('fabric-contract-api');

/** What chaincodes do that are slow, chatty or odd. */
class Odd extends Contract {
  async Echo(ctx, text) {
    await ctx.stub.putState('echo', Buffer.from(text));
    return text;
  }

  async Sleep(ctx, milliseconds) {
    await new Promise((resolve) => setTimeout(resolve, Number(milliseconds)));
  }

  /** Answers after a while, with two requests on the way. */
  async Later(ctx, number) {
    await ctx.stub.getState('a');
    await new Promise((resolve) => setTimeout(resolve, 50));
    await ctx.stub.getState('b');
    return Number(number);
  }

  /** Never answers, and says that it was called. */
  async Stall(ctx, number) {
    await ctx.stub.getState('a');
    console.log(`stalled ${number}`);
    await new Promise(() => {});
  }

  /** The organisation of the peer, which only the environment tells. */
  async PeerOrganization(ctx) {
    return ctx.stub.getMspID();
  }

  async Put(ctx, key, value) {
    await ctx.stub.putState(key, Buffer.from(value));
    ctx.stub.setEvent('Put', Buffer.from(JSON.stringify({ key })));
    return value;
  }

  async History(ctx, key) {
    const values = [];
    for await (const { value } of ctx.stub.getHistoryForKey(key)) values.push(Buffer.from(value).toString());
    return values;
  }

  async Private(ctx, key) {
    await ctx.stub.putPrivateData('collection', key, Buffer.from('secret'));
  }

  /** In the collection of the peer's own organisation. */
  async KeepPrivate(ctx, key, value) {
    const collection = `_implicit_org_${ctx.stub.getMspID()}`;
    await ctx.stub.putPrivateData(collection, key, Buffer.from(value));
    return value;
  }

  async ReadPrivate(ctx, key) {
    const collection = `_implicit_org_${ctx.stub.getMspID()}`;
    const value = await ctx.stub.getPrivateData(collection, key);
    const hash = await ctx.stub.getPrivateDataHash(collection, key);
    return { value: Buffer.from(value).toString(), hash: Buffer.from(hash).toString('hex') };
  }

  async ForgetPrivate(ctx, key) {
    await ctx.stub.deletePrivateData(`_implicit_org_${ctx.stub.getMspID()}`, key);
  }

  async CallTransfers(ctx, account, amount) {
    const answer = await ctx.stub.invokeChaincode('transfers', ['Deposit', account, amount], '');
    if (answer.status !== 200) throw new Error(answer.message);
    return JSON.parse(Buffer.from(answer.payload).toString());
  }
}

module.exports.Odd = Odd;
module.exports.contracts = [Odd];
