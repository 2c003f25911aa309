// Where blocks come from: a node's HTTP API, or block files in Fabric's framing.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { common, read } from './messages.mjs';

/** Blocks of a running node, in order, and what it says of its tip. */
export async function* blocksOverHttp(judge, url, channel) {
  const base = `${url.replace(/\/$/, '')}/v1/channels/${encodeURIComponent(channel)}`;
  const info = await (await get(base, 'application/json')).json();
  for (let number = 0; number < info.height; number += 1) {
    judge.where = `block ${number}`;
    const response = await get(`${base}/blocks/${number}`, 'application/x-protobuf');
    const type = response.headers.get('content-type') ?? '';
    judge.that('decode', type.startsWith('application/x-protobuf'), `asked for protobuf, got ${type}`);
    const message = read(judge, common.Block, Buffer.from(await response.arrayBuffer()), 'Block');
    const header = message.getHeader() ?? new common.BlockHeader();
    yield {
      number: header.getNumber(),
      previousHash: Buffer.from(header.getPreviousHash_asU8()),
      dataHash: Buffer.from(header.getDataHash_asU8()),
      envelopes: (message.getData()?.getDataList_asU8() ?? []).map((bytes) => Buffer.from(bytes)),
      metadata: (message.getMetadata()?.getMetadataList_asU8() ?? []).map((bytes) => Buffer.from(bytes)),
      tipHash: number === info.height - 1 ? info.currentBlockHash : undefined,
    };
  }
}

async function get(url, accept) {
  const response = await fetch(url, { headers: { accept } });
  if (!response.ok) throw new Error(`GET ${url}: ${response.status} ${await response.text()}`);
  return response;
}

/** The folder that holds block files: `folder` itself, or the only one below it that does. */
export function blockfileFolder(folder, channel) {
  const holds = (path) => readdirSync(path).some((name) => /^blockfile_\d{6,}$/.test(name));
  if (holds(folder)) return folder;
  const found = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .filter((path) => holds(path));
  const named = found.filter((path) => path.split(/[\\/]/).includes(channel));
  const chosen = found.length === 1 ? found : named;
  if (chosen.length !== 1) {
    throw new Error(`${folder}: ${found.length} folders with block files; name one, or --channel`);
  }
  return chosen[0];
}

/** Blocks of a folder of `blockfile_NNNNNN`, in order, each with the bytes of its record. */
export function* blocksInFolder(folder) {
  const files = readdirSync(folder).filter((name) => /^blockfile_\d{6,}$/.test(name));
  files.sort((a, b) => Number(a.slice(10)) - Number(b.slice(10)));
  for (const name of files) {
    yield* blocksInFile(name, readFileSync(join(folder, name)));
  }
}

/** Blocks in the content of one block file. */
export function* blocksInFile(name, bytes) {
  let offset = 0;
  while (offset < bytes.length) {
    const cursor = new Cursor(bytes, offset, `${name} at ${offset}`);
    const payload = cursor.bytes();
    yield { ...parseRecord(payload, cursor.where), record: bytes.subarray(offset, cursor.offset), file: name };
    offset = cursor.offset;
  }
}

// Note the order on disk: data_hash comes before previous_hash.
function parseRecord(payload, where) {
  const cursor = new Cursor(payload, 0, where);
  const number = cursor.uvarint();
  const dataHash = cursor.bytes();
  const previousHash = cursor.bytes();
  const list = () => Array.from({ length: cursor.uvarint() }, () => cursor.bytes());
  const block = { number, previousHash, dataHash, envelopes: list(), metadata: list() };
  if (cursor.offset !== payload.length) {
    throw new Error(`${where}: ${payload.length - cursor.offset} bytes are left in the record of block ${number}`);
  }
  return block;
}

class Cursor {
  constructor(buffer, offset, where) {
    Object.assign(this, { buffer, offset, where });
  }

  uvarint() {
    let value = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const byte = this.buffer[this.offset];
      if (byte === undefined || scale > 2 ** 49) throw new Error(`${this.where}: not a length or number`);
      this.offset += 1;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }

  bytes() {
    const length = this.uvarint();
    if (this.offset + length > this.buffer.length) {
      throw new Error(`${this.where}: ${length} bytes announced, ${this.buffer.length - this.offset} left`);
    }
    this.offset += length;
    return this.buffer.subarray(this.offset - length, this.offset);
  }
}
