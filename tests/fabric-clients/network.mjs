#!/usr/bin/env node
// Applications written for Fabric 2.2, on npm's fabric-network, against a node: it proposes at the peer, broadcasts to
// the orderer and listens to blocks, all of which one node is.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import fabric from 'fabric-network';
import { Node } from './node.mjs';

const MSP = 'QuireMSP';
const { values: options } = parseArgs({ options: { quire: { type: 'string' } } });
if (!options.quire) throw new Error('--quire PATH is needed');

const node = new Node(options.quire);
await node.start();

const msp = path.join(node.data, 'identities', 'client', 'msp');
const only = (folder) => readFileSync(path.join(msp, folder, readdirSync(path.join(msp, folder))[0]), 'utf8');
const wallet = await fabric.Wallets.newInMemoryWallet();
await wallet.put('client', {
  credentials: { certificate: only('signcerts'), privateKey: only('keystore') },
  mspId: MSP,
  type: 'X.509',
});
const profile = {
  name: 'quire',
  version: '1.0.0',
  client: { organization: MSP, connection: { timeout: { peer: { endorser: '10' }, orderer: '10' } } },
  organizations: { [MSP]: { mspid: MSP, peers: ['peer0'] } },
  peers: { peer0: { url: `grpc://${node.grpc}` } },
  orderers: { orderer0: { url: `grpc://${node.grpc}` } },
  channels: {
    main: {
      orderers: ['orderer0'],
      peers: { peer0: { endorsingPeer: true, chaincodeQuery: true, ledgerQuery: true, eventSource: true } },
    },
  },
};

/** An application whose library knows where everything is, or asks the discovery service. */
async function connected(discovery) {
  const gateway = new fabric.Gateway();
  await gateway.connect(profile, { wallet, identity: 'client', discovery });
  return { gateway, network: await gateway.getNetwork('main') };
}

const rest = async (where) => (await fetch(`${node.url}/v1/channels/main/${where}`)).json();

for (const [how, discovery] of [
  ['by its profile', { enabled: false }],
  ['by discovery', { enabled: true, asLocalhost: true }],
]) {
  const { gateway, network } = await connected(discovery);
  const orders = network.getContract('orders');
  const key = `"${how}"`;
  await orders.submitTransaction('put', key, '{"total":12.50}');
  assert.match((await orders.evaluateTransaction('get', key)).toString(), /"total":12.50/);
  assert.deepEqual(await rest(`state/orders/${encodeURIComponent(how)}`), { total: 12.5 });
  console.log(`ok  it finds the node ${how}, submits and evaluates`);

  for (const type of ['filtered', 'full', 'private']) {
    const heard = new Promise((resolve) => {
      network.addBlockListener(async (event) => resolve(event), { type, startBlock: 1n });
    });
    const event = await heard;
    assert.equal(Number(event.blockNumber), 1);
    const [transaction] = event.getTransactionEvents();
    assert.equal(transaction.isValid, true);
    const known = await rest(`transactions/${transaction.transactionId}`);
    assert.deepEqual([known.code, known.blockNumber], ['VALID', 1]);
  }
  console.log(`ok  it hears of blocks, filtered, whole and with private data, ${how}`);

  const transaction = orders.createTransaction('put');
  await transaction.submit('"again"', '1');
  const refused = await orders.submitTransaction('put', '"bad"', '{').then(
    () => undefined,
    (error) => error,
  );
  assert.match(refused.message, /No valid responses from any peers|not a JSON text/);
  gateway.disconnect();
}
console.log('ok  a chaincode that refuses is no valid response of any peer');
await node.stop('SIGTERM');
rmSync(node.work, { recursive: true });
