// Reading one of Fabric's messages so that nothing in its bytes goes unnoticed.

import { isDeepStrictEqual } from 'node:util';
import protos from '@hyperledger/fabric-protos';

export const { common, msp, orderer, peer, ledger } = protos;
export const { rwset } = ledger;
export const { kvrwset } = rwset;

export const equal = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)) === 0;
export const hex = (bytes) => Buffer.from(bytes).toString('hex');

/**
 * Decodes `bytes`, writes the message again and compares: a field that Fabric does not know, or that
 * is encoded in a way Fabric never would, does not survive that. Only the entries of maps, which
 * have no order, may come back in another one.
 */
export function read(judge, Type, bytes, name) {
  let message;
  try {
    message = Type.deserializeBinary(new Uint8Array(bytes));
  } catch (error) {
    judge.that('decode', false, `${name} cannot be read: ${error.message}`);
    return new Type();
  }
  const again = message.serializeBinary();
  const same = equal(bytes, again)
    || (bytes.length === again.length
      && isDeepStrictEqual(Type.deserializeBinary(again).toObject(), message.toObject()));
  judge.that('decode', same, () =>
    `${name} has ${bytes.length} bytes, of which Fabric's definition keeps ${again.length}: ${hex(bytes).slice(0, 400)}`);
  return message;
}

/** Entries of a map field. */
export const entries = (map) => map.toArray().map(([key]) => [key, map.get(key)]);
