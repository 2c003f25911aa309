// The data set: every organisation writes its share at its own node, and every write is safe to repeat.

import { until } from '../../tests/kafka/brokers.mjs';

const NAMESPACE = 'countries';
const IN_FLIGHT = 16;
/** What is answered when nothing is decided yet: the same request is sent again. */
const LATER = new Set([502, 503, 504]);

const where = (key) => `/v1/channels/main/state/${NAMESPACE}/${key}`;

/** Writes a document at one organisation's node, and answers where it is. */
export async function write(peer, key, body, purpose = 'load') {
  const { body: written } = await until(`${key} at ${peer.name}`, async () => {
    const answer = await peer.ask('PUT', where(key), { key: `${purpose}-${key}`, body });
    if (LATER.has(answer.status)) return false;
    if (answer.status >= 300) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`);
    return answer;
  });
  return written;
}

export async function read(peer, key) {
  const { status, body } = await peer.ask('GET', where(key));
  if (status !== 200) throw new Error(`${key} at ${peer.name}: ${status}`);
  return body;
}

/** Writes all documents, each at the next organisation. */
export async function load(peers, documents) {
  const began = Date.now();
  const queue = documents.entries();
  const worker = async () => {
    for (const [place, document] of queue) {
      await write(peers[place % peers.length], document.cca3, document);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return { count: documents.length, seconds: (Date.now() - began) / 1000 };
}
