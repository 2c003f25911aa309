// What must hold of the network: everybody has everything, two organisations endorse each write, and no single machine is
// missed.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { until } from '../../tests/kafka/brokers.mjs';
import { read, write } from './load.mjs';

/** The metrics that the dashboard of a network asks for. */
function metrics() {
  const file = new URL('../../dashboards/grafana/dashboards/quire-network.json', import.meta.url);
  const { panels } = JSON.parse(readFileSync(file));
  const asked = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)).join('\n');
  return [...new Set([...asked.matchAll(/(\w+)\{instance/g)].map(([, name]) => name))];
}

export async function check(network, documents, step) {
  const { peers, orderers } = network;
  for (const [place, document] of documents.entries()) {
    assert.deepEqual(await read(peers[(place + 1) % peers.length], document.cca3), document);
  }
  step('each organisation reads what another one wrote, byte for byte');

  const query = { selector: { region: 'Oceania' }, fields: ['cca3'], limit: 200 };
  const found = await Promise.all(
    peers.map((peer) => peer.ask('POST', '/v1/channels/main/state/countries/_find', { body: query })),
  );
  const expected = documents.filter(({ region }) => region === 'Oceania').map(({ cca3 }) => cca3).sort();
  for (const { body } of found) assert.deepEqual(body.docs.map(({ cca3 }) => cca3).sort(), expected);
  step(`a query finds the same ${expected.length} countries at all three`);

  const { transactionId } = await write(peers[0], 'UTO', { name: 'Utopia' }, 'check');
  const bytes = { accept: 'application/x-protobuf' };
  const envelope = await peers[0].ask('GET', `/v1/channels/main/transactions/${transactionId}/envelope`, bytes);
  // Its bytes have the names of those who signed: the creator of Org1, and the endorsers.
  assert.ok(new Set(envelope.body.match(/Org\dMSP/g)).size >= 2);
  const asked = (await peers[0].ask('GET', '/metrics')).body;
  assert.match(asked, /quire_endorsement_asked_seconds_count\{organization="Org[23]MSP",outcome="endorsed"\} [1-9]/);
  step('a write is endorsed by two organisations');

  for (const [place, orderer] of orderers.entries()) {
    await orderer.stop('SIGKILL');
    await write(peers[place], `LESS${place}`, { without: orderer.name }, 'check');
    await orderer.start();
  }
  step('each orderer is killed in its turn, and writes go on');

  const [one, , three] = peers;
  await three.stop('SIGKILL');
  await write(one, 'TWO', { organisations: 2 }, 'check');
  await three.start();
  await until('the third organisation has caught up', async () => (await read(three, 'TWO')).organisations === 2);
  step(`a node that was killed catches up: ${await network.agree()} blocks, the same at all three`);

  const members = [...peers, ...orderers];
  const told = await Promise.all(members.map(async (one) => (await one.ask('GET', '/metrics')).body));
  const all = told.join('\n');
  for (const name of metrics()) assert.match(all, new RegExp(`^${name}[{ ]`, 'm'));
  step(`they tell all ${metrics().length} metrics of the network's dashboard`);

  for (const peer of peers) {
    assert.equal(await peer.stop(), 0);
    const how = ['check', '--data', peer.data, '--msp-id', peer.msp, '--signatures', '--revalidate'];
    assert.match(network.command(...how), /sound/);
  }
  step('what each has is sound');
}
