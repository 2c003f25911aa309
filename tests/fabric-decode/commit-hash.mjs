// Fabric's commit hash: SHA-256 over the codes, every update of the block in a fixed order, and the
// commit hash before. Two ledgers with equal commit hashes have equal states.

import { orderPreserving, sha256, uvarint } from './hashes.mjs';

/** The updates of one block. Later transactions of the block overwrite earlier ones. */
export class Updates {
  constructor() {
    this.namespaces = new Map();
    this.computable = true;
  }

  apply(sets, block, tx) {
    const version = Buffer.concat([orderPreserving(block), orderPreserving(tx)]);
    for (const set of sets) {
      // A write of metadata alone repeats the committed value, which only the state knows.
      if (set.public.getMetadataWritesList().length > 0) this.computable = false;
      for (const write of set.public.getWritesList()) {
        this.put(set.namespace, '', Buffer.from(write.getKey()), write.getIsDelete(), write.getValue_asU8(), version);
      }
      for (const collection of set.collections) {
        if (collection.hashed.getMetadataWritesList().length > 0) this.computable = false;
        for (const write of collection.hashed.getHashedWritesList()) {
          this.put(set.namespace, collection.name, Buffer.from(write.getKeyHash_asU8()), write.getIsDelete(), write.getValueHash_asU8(), version);
        }
      }
    }
  }

  put(namespace, collection, key, isDelete, value, version) {
    const collections = getOrMake(this.namespaces, namespace);
    getOrMake(collections, collection).set(key.toString('hex'), { key, isDelete, value, version });
  }

  bytes() {
    const rows = [];
    for (const [namespace, collections] of sorted(this.namespaces)) {
      if (namespace === '') continue;
      let first = true;
      for (const [collection, keys] of sorted(collections)) {
        let firstOfCollection = true;
        for (const [, { key, isDelete, value, version }] of sorted(keys)) {
          const row = Buffer.concat([
            field(1, first ? Buffer.from(namespace) : ''),
            field(2, firstOfCollection ? Buffer.from(collection) : ''),
            field(3, key),
            isDelete ? Buffer.from([4 << 3, 1]) : Buffer.alloc(0),
            field(5, isDelete ? '' : value),
            field(6, version),
          ]);
          rows.push(field(1, row));
          first = false;
          firstOfCollection = false;
        }
      }
    }
    return Buffer.concat(rows);
  }
}

export function commitHash(filter, updates, previous) {
  return sha256(uvarint(filter.length), filter, updates.bytes(), previous);
}

function field(number, bytes) {
  if (bytes.length === 0) return Buffer.alloc(0);
  return Buffer.concat([Buffer.from([(number << 3) | 2]), uvarint(bytes.length), Buffer.from(bytes)]);
}

function getOrMake(map, key) {
  if (!map.has(key)) map.set(key, new Map());
  return map.get(key);
}

const sorted = (map) => [...map].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
