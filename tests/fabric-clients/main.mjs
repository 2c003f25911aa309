#!/usr/bin/env node
// Applications written for Fabric, with its client libraries as npm has them, against a node: what they submit,
// evaluate and listen to, what they get when something is wrong, and that REST sees the same.

import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { parseArgs } from 'node:util';
import { readFileSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { EndorseError, CommitStatusError, connect, hash, signers, GatewayError } from '@hyperledger/fabric-gateway';
import { gateway as protos, msp } from '@hyperledger/fabric-protos';
import { Node } from './node.mjs';

const MSP = 'QuireMSP';
const { values: options } = parseArgs({ options: { quire: { type: 'string' } } });
if (!options.quire) throw new Error('--quire PATH is needed');

const node = new Node(options.quire);
await node.start();

/** An identity of the node's organisation, as applications of Fabric hold one. */
function identity(name) {
  const msp = path.join(node.data, 'identities', name, 'msp');
  const only = (folder) => path.join(msp, folder, readdirSync(path.join(msp, folder))[0]);
  const credentials = readFileSync(only('signcerts'));
  const key = createPrivateKey(readFileSync(only('keystore')));
  return { identity: { mspId: MSP, credentials }, signer: signers.newPrivateKeySigner(key) };
}

const soon = () => ({ deadline: Date.now() + 10_000 });
function connected(name = 'client') {
  const client = new grpc.Client(node.grpc, grpc.credentials.createInsecure());
  const gateway = connect({
    client,
    hash: hash.sha256,
    ...identity(name),
    evaluateOptions: soon,
    endorseOptions: soon,
    submitOptions: soon,
    commitStatusOptions: soon,
  });
  return { client, gateway, network: gateway.getNetwork('main') };
}

const text = (bytes) => Buffer.from(bytes).toString();
const rest = async (where, init) => {
  const response = await fetch(`${node.url}/v1/channels/main/${where}`, init);
  return { status: response.status, body: await response.json() };
};
async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}

const { client, gateway, network } = connected();
const orders = network.getContract('orders');
const tests = {};

tests['a transaction of the Gateway is seen by REST, and one of REST by the Gateway'] = async () => {
  await orders.submitTransaction('put', '"1001"', '{"total":12.50}');
  const read = await rest('state/orders/1001');
  assert.deepEqual([read.status, read.body], [200, { total: 12.5 }]);
  const put = await rest('state/orders/1002', {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: '{"total":7}',
  });
  assert.equal(put.status, 201);
  const got = await orders.evaluateTransaction('get', '"1002"');
  assert.match(text(got), /"total":7/);
};

tests['a commit tells block and code, and the same by REST'] = async () => {
  const proposal = orders.newProposal('put', { arguments: ['"1003"', '{"total":3}'] });
  const transaction = await proposal.endorse();
  const commit = await transaction.submit();
  const status = await commit.getStatus();
  assert.deepEqual([status.successful, status.code], [true, 0]);
  const found = await rest(`transactions/${transaction.getTransactionId()}`);
  assert.deepEqual([found.status, found.body.code, BigInt(found.body.blockNumber)], [200, 'VALID', status.blockNumber]);
};

tests['a proposal, a transaction and a question may be signed elsewhere'] = async () => {
  const { identity: who, signer } = identity('client');
  const offline = connect({ client, hash: hash.sha256, identity: who });
  const contract = offline.getNetwork('main').getContract('orders');
  const unsigned = contract.newProposal('put', { arguments: ['"1004"', '{"total":4}'] });
  const proposal = offline.newSignedProposal(unsigned.getBytes(), await signer(unsigned.getDigest()));
  const prepared = await proposal.endorse(soon());
  const transaction = offline.newSignedTransaction(prepared.getBytes(), await signer(prepared.getDigest()));
  const question = await transaction.submit(soon());
  const commit = offline.newSignedCommit(question.getBytes(), await signer(question.getDigest()));
  assert.equal((await commit.getStatus(soon())).successful, true);
};

tests['a transaction that is submitted again is one transaction'] = async () => {
  const proposal = orders.newProposal('put', { arguments: ['"1005"', '{"total":5}'] });
  const transaction = await proposal.endorse();
  const first = await (await transaction.submit()).getStatus();
  const again = await (await transaction.submit()).getStatus();
  assert.deepEqual([again.code, again.blockNumber], [first.code, first.blockNumber]);
  const error = await failure(proposal.endorse());
  assert.ok(error instanceof EndorseError);
  assert.equal(error.code, grpc.status.ABORTED);
  assert.match(error.details[0].message, /^duplicate transaction found \[/);
};

tests['the loser of a conflict is told so'] = async () => {
  await orders.submitTransaction('put', '"contended"', '{"n":0}');
  const change = () => orders.newProposal('merge', { arguments: ['"contended"', '{"n":1}'] }).endorse();
  const both = [await change(), await change()];
  const statuses = [];
  for (const transaction of both) statuses.push(await (await transaction.submit()).getStatus());
  assert.deepEqual(statuses.map((status) => status.code), [0, 11]);
};

tests['what is wrong has the code of Fabric and says who failed'] = async () => {
  const refused = await failure(orders.evaluateTransaction('get', '"nowhere"'));
  assert.ok(refused instanceof GatewayError);
  assert.equal(refused.details[0].mspId, MSP);
  assert.equal(refused.details[0].address, node.grpc);
  const unknown = await failure(gateway.getNetwork('nosuch').getContract('orders').evaluateTransaction('get', '"a"'));
  assert.equal(unknown.code, grpc.status.UNAVAILABLE);
  const elsewhere = orders.newProposal('put', { arguments: ['"a"', '1'], endorsingOrganizations: ['Org9MSP'] });
  const error = await failure(elsewhere.endorse());
  assert.equal(error.code, grpc.status.UNAVAILABLE);
  assert.match(error.message, /failed to find any endorsing peers for org\(s\): Org9MSP/);
};

tests['a signature that does not hold is no access'] = async () => {
  const { identity: who } = identity('client');
  const other = connect({ client, hash: hash.sha256, identity: who, signer: identity('node').signer });
  const error = await failure(other.getNetwork('main').getContract('orders').submitTransaction('put', '"a"', '1'));
  assert.equal(error.code, grpc.status.ABORTED);
  assert.match(error.details[0].message, /access denied: channel \[main\] creator org \[QuireMSP\]/);
};

tests['a transaction that nobody submitted is waited for until the deadline'] = async () => {
  const { identity: who, signer } = identity('client');
  const request = new protos.CommitStatusRequest();
  request.setChannelId('main');
  request.setTransactionId('0'.repeat(64));
  const creator = new msp.SerializedIdentity();
  creator.setMspid(who.mspId);
  creator.setIdBytes(who.credentials);
  request.setIdentity(creator.serializeBinary());
  const asked = new protos.SignedCommitStatusRequest();
  asked.setRequest(request.serializeBinary());
  const signature = await signer(hash.sha256(request.serializeBinary()));
  const commit = gateway.newSignedCommit(asked.serializeBinary(), signature);
  const error = await failure(commit.getStatus({ deadline: Date.now() + 500 }));
  assert.ok(error instanceof CommitStatusError);
  assert.equal(error.code, grpc.status.DEADLINE_EXCEEDED);
};

tests['every metric is shown, and calls are among them'] = async () => {
  const metrics = await (await fetch(`${node.url}/metrics`)).text();
  assert.match(metrics, /grpc_server_unary_requests_completed\{code="OK",method="Submit",service="gateway.Gateway"\} [1-9]/);
  // Two of one name, of which the second is lost.
  assert.doesNotMatch(readFileSync(node.log, 'utf8'), /a metric is not shown/);
};

tests['what is acknowledged is there after a kill'] = async () => {
  await orders.submitTransaction('put', '"kept"', '{"n":1}');
  await node.stop('SIGKILL');
  await node.start();
  const again = connected();
  assert.match(text(await again.network.getContract('orders').evaluateTransaction('get', '"kept"')), /"n":1/);
  again.client.close();
};

for (const [name, test] of Object.entries(tests)) {
  await test();
  console.log(`ok  ${name}`);
}
gateway.close();
client.close();
await node.stop('SIGTERM');
rmSync(node.work, { recursive: true });
