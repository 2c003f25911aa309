// A channel block after block: hashes, metadata slots, transactions.

import { requireChannel } from './config.mjs';
import { Updates, commitHash } from './commit-hash.mjs';
import { crc32c, headerDer, sha256 } from './hashes.mjs';
import { common, equal, hex, peer, read } from './messages.mjs';
import { codeName, judgeEnvelope } from './transaction.mjs';
import { Trust } from './trust.mjs';

const CODE = peer.TxValidationCode;
const BATCH_MARKER_BYTES = 13;

export class Chain {
  constructor(judge) {
    this.judge = judge;
    this.trust = new Trust(judge);
    this.next = 0;
    this.previousHash = Buffer.alloc(0);
    this.previousCommitHash = Buffer.alloc(0);
    this.lastConfig = 0;
    this.batch = { first: 0, file: undefined };
    this.transactions = 0;
    this.codes = new Map();
  }

  /** Judges the next block; returns a line that tells what it was. */
  add(block) {
    const { judge } = this;
    judge.where = `block ${block.number}`;
    judge.that('numbering', block.number === this.next, `expected block ${this.next}`);
    const der = headerDer(block.number, block.previousHash, block.dataHash);
    this.judgeHashes(block);
    const filter = block.metadata[2] ?? Buffer.alloc(0);
    judge.that('filter', filter.length === block.envelopes.length || (block.number === 0 && filter.length === 0),
      `${filter.length} validation codes for ${block.envelopes.length} transactions`);
    judge.that('filter', !filter.includes(CODE.NOT_VALIDATED), 'a transaction is marked as not validated');
    const types = this.judgeTransactions(block, filter);
    judge.where = `block ${block.number}`;
    this.judgeOrderer(block, der);
    this.judgeCommitHash(block, filter);
    this.judgeBatchMarker(block);
    this.previousHash = sha256(der);
    if (block.tipHash !== undefined) {
      judge.that('tip-hash', block.tipHash === hex(this.previousHash), `the node says ${block.tipHash}, it is ${hex(this.previousHash)}`);
    }
    this.next = block.number + 1;
    return `block ${block.number} ${hex(this.previousHash)} ${block.envelopes.length} tx: ${types}`;
  }

  judgeHashes(block) {
    const dataHash = sha256(...block.envelopes);
    this.judge.that('data-hash', equal(block.dataHash, dataHash), `${hex(block.dataHash)} should be ${hex(dataHash)}`);
    this.judge.that('previous-hash', equal(block.previousHash, this.previousHash),
      `${hex(block.previousHash)} should be ${hex(this.previousHash)}`);
  }

  judgeTransactions(block, filter) {
    const kinds = new Map();
    this.updates = new Updates();
    block.envelopes.forEach((bytes, tx) => {
      this.judge.where = `block ${block.number}, transaction ${tx}`;
      const code = filter[tx] ?? CODE.VALID;
      const isConfig = block.envelopes.length === 1 && isConfiguration(bytes);
      if (isConfig) this.trust = new Trust(this.judge);
      const found = judgeEnvelope(this.judge, bytes, code, this.trust, { genesis: block.number === 0 });
      this.channel ??= found.channel;
      this.judge.that('decode', found.channel === this.channel, `channel ${found.channel}, not ${this.channel}`);
      this.judge.that('decode', block.number > 0 || isConfig, 'block 0 is no channel configuration');
      if (isConfig) {
        requireChannel(this.judge, found.paths);
        this.lastConfig = block.number;
      }
      if (code === CODE.VALID && found.sets) this.updates.apply(found.sets, block.number, tx);
      const kind = `${isConfig ? 'CONFIG' : 'ENDORSER_TRANSACTION'} ${codeName(code)}`;
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      this.codes.set(codeName(code), (this.codes.get(codeName(code)) ?? 0) + 1);
      this.transactions += 1;
    });
    return [...kinds].map(([kind, count]) => `${count} ${kind}`).join(', ');
  }

  judgeOrderer(block, der) {
    const { judge } = this;
    const metadata = read(judge, common.Metadata, block.metadata[0] ?? [], 'slot 0 (Metadata)');
    const value = read(judge, common.OrdererBlockMetadata, metadata.getValue_asU8(), 'OrdererBlockMetadata');
    const lastConfig = value.getLastConfig()?.getIndex() ?? 0;
    judge.that('last-config', lastConfig === this.lastConfig, `it says ${lastConfig}, it is ${this.lastConfig}`);
    const signatures = metadata.getSignaturesList();
    judge.that('orderer-signature', signatures.length > 0 || block.number === 0, 'no orderer signed the block');
    for (const signature of signatures) {
      const bytes = signature.getSignatureHeader_asU8();
      const header = read(judge, common.SignatureHeader, bytes, 'slot 0 SignatureHeader');
      const identity = this.trust.identity(header.getCreator_asU8(), 'orderer');
      this.trust.signed('orderer-signature', identity, [metadata.getValue_asU8(), bytes, der], signature.getSignature_asU8(), 'the orderer\'s signature');
    }
    for (const obsolete of [1, 3]) {
      if ((block.metadata[obsolete]?.length ?? 0) > 0) read(judge, common.Metadata, block.metadata[obsolete], `slot ${obsolete} (Metadata)`);
    }
  }

  judgeCommitHash(block, filter) {
    const { judge } = this;
    const metadata = read(judge, common.Metadata, block.metadata[4] ?? [], 'slot 4 (Metadata)');
    const stored = Buffer.from(metadata.getValue_asU8());
    if (block.number === 0) {
      judge.that('commit-hash', stored.length === 0, 'block 0 has one');
    } else if (this.updates.computable) {
      const computed = commitHash(filter, this.updates, this.previousCommitHash);
      judge.that('commit-hash', equal(stored, computed), `${hex(stored) || 'none'} should be ${hex(computed)}`);
    }
    this.previousCommitHash = stored;
  }

  judgeBatchMarker(block) {
    const { judge } = this;
    const marker = block.metadata[5];
    if (!judge.that('batch-marker', marker && block.metadata.length === 6, `${block.metadata.length} metadata entries`)) return;
    if (!judge.that('batch-marker', marker.length === BATCH_MARKER_BYTES && marker[0] === 1, `slot 5 is ${hex(marker)}`)) return;
    const first = Number(marker.readBigUInt64BE(1));
    judge.that('batch-marker', first === block.number || (first === this.batch.first && block.number > first),
      `its batch begins at ${first}, the batch before at ${this.batch.first}`);
    judge.that('batch-marker', first === block.number || block.file === this.batch.file, 'its batch crosses two files');
    this.batch = { first, file: block.file };
    if (!block.record) return;
    const computed = crc32c(block.record.subarray(0, -4));
    const stored = block.record.readUInt32BE(block.record.length - 4);
    judge.that('checksum', marker.readUInt32BE(9) === stored && stored === computed,
      `${stored.toString(16)} should be ${computed.toString(16)}`);
  }
}

function isConfiguration(bytes) {
  try {
    const payload = common.Payload.deserializeBinary(common.Envelope.deserializeBinary(bytes).getPayload_asU8());
    const header = common.ChannelHeader.deserializeBinary(payload.getHeader().getChannelHeader_asU8());
    return header.getType() === common.HeaderType.CONFIG;
  } catch {
    return false; // judged, with a message, right after
  }
}
