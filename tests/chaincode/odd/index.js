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

  async CallTransfers(ctx, account, amount) {
    const answer = await ctx.stub.invokeChaincode('transfers', ['Deposit', account, amount], '');
    if (answer.status !== 200) throw new Error(answer.message);
    return JSON.parse(Buffer.from(answer.payload).toString());
  }
}

module.exports.Odd = Odd;
module.exports.contracts = [Odd];
