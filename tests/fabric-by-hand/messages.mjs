// As much of Fabric's bytes as a comparison needs, read by none of Quire's code.

import { readFileSync } from 'node:fs';
import path from 'node:path';

function varint(bytes, at) {
  let value = 0n;
  for (let shift = 0n; ; shift += 7n, at++) {
    value |= BigInt(bytes[at] & 0x7f) << shift;
    if (bytes[at] < 0x80) return [value, at + 1];
  }
}

/** The fields of a message: for each number its values, in their order. */
export function fields(bytes) {
  const found = {};
  for (let at = 0; at < bytes.length; ) {
    let tag, value;
    [tag, at] = varint(bytes, at);
    if ((tag & 7n) === 0n) [value, at] = varint(bytes, at);
    else if ((tag & 7n) === 2n) {
      let length;
      [length, at] = varint(bytes, at);
      value = bytes.subarray(at, at + Number(length));
      at += Number(length);
    } else throw new Error(`a field of kind ${tag & 7n}`);
    (found[tag >> 3n] ??= []).push(value);
  }
  return found;
}

/** What every copy of a block must agree on, and what only peers know of it. */
export function block(bytes) {
  const [header, data, metadata] = [1, 2, 3].map((number) => fields(bytes)[number]?.[0] ?? Buffer.alloc(0));
  const slots = fields(metadata)[1] ?? [];
  const hex = (part) => Buffer.from(part).toString('hex');
  return {
    header: hex(header),
    data: hex(data),
    codes: [...(slots[2] ?? [])],
    commitHash: hex(fields(slots[4] ?? Buffer.alloc(0))[1]?.[0] ?? []),
  };
}

/** The public state in a snapshot of a Fabric peer: namespace, key, version and value. */
export function snapshotState(folder) {
  const counts = readFileSync(path.join(folder, 'public_state.metadata'));
  const rows = readFileSync(path.join(folder, 'public_state.data'));
  const reader = (bytes, at) => {
    const number = () => {
      let value;
      [value, at] = varint(bytes, at);
      return Number(value);
    };
    const text = () => {
      const length = number();
      at += length;
      return bytes.subarray(at - length, at);
    };
    return { number, text };
  };
  const [names, records] = [reader(counts, 1), reader(rows, 1)];
  const state = [];
  for (let left = names.number(); left > 0; left--) {
    const namespace = names.text().toString();
    for (let count = names.number(); count > 0; count--) {
      const { 1: key, 2: value, 4: version } = fields(records.text());
      state.push({ namespace, key: key[0].toString(), value: value?.[0] ?? Buffer.alloc(0), version: version[0] });
    }
  }
  return state;
}
