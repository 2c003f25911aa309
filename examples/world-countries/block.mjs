// Just enough of Fabric's block format to check a proof without trusting the server: a reader of
// protobuf fields, and the two hashes that tie a transaction to its block and a block to the next.

import { createHash } from 'node:crypto';

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();

/** Fields of a protobuf message: number -> values in order (numbers, or bytes). */
function fields(bytes) {
  const found = new Map();
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      if (at >= bytes.length) throw new Error('a message ends in the middle of a number');
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const number = Math.floor(tag / 8);
    let value;
    if (tag % 8 === 0) value = varint();
    else if (tag % 8 === 2) {
      const length = varint();
      if (at + length > bytes.length) throw new Error('a field is longer than its message');
      value = bytes.subarray(at, (at += length));
    } else throw new Error(`wire type ${tag % 8} is not used in blocks`);
    found.set(number, [...(found.get(number) ?? []), value]);
  }
  return { all: (number) => found.get(number) ?? [], one: (number) => found.get(number)?.[0] ?? Buffer.alloc(0) };
}

const der = (tag, content) => Buffer.concat([Buffer.from([tag, content.length]), content]);

function derInteger(number) {
  let hex = number.toString(16);
  if (hex.length % 2) hex = `0${hex}`;
  if (parseInt(hex.slice(0, 2), 16) > 127) hex = `00${hex}`;
  return der(0x02, Buffer.from(hex, 'hex'));
}

/** A `common.Block`, read from its bytes; both hashes are computed, not read. */
export function readBlock(bytes) {
  const block = fields(bytes);
  const header = fields(block.one(1));
  const [number = 0] = header.all(1);
  const previousHash = header.one(2);
  const dataHash = header.one(3);
  const envelopes = fields(block.one(2)).all(1);
  const codes = fields(block.one(3)).all(1)[2] ?? Buffer.alloc(0);
  return {
    number,
    previousHash: previousHash.toString('hex'),
    dataHash: dataHash.toString('hex'),
    computedDataHash: sha256(...envelopes).toString('hex'),
    hash: sha256(der(0x30, Buffer.concat([derInteger(number), der(0x04, previousHash), der(0x04, dataHash)]))).toString('hex'),
    transactions: envelopes.map((envelope, tx) => ({ id: transactionId(envelope), valid: codes[tx] === 0, bytes: envelope })),
  };
}

// Envelope.payload -> Payload.header -> Header.channel_header, .signature_header; the id is
// sha256(nonce, creator), which the header repeats.
function transactionId(envelope) {
  const header = fields(fields(fields(envelope).one(1)).one(1));
  const signatureHeader = fields(header.one(2));
  const derived = sha256(signatureHeader.one(2), signatureHeader.one(1)).toString('hex');
  const stated = fields(header.one(1)).one(5).toString();
  if (stated !== '' && stated !== derived) throw new Error(`transaction ${stated} should be named ${derived}`);
  return derived;
}
