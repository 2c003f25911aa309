// What is verified, by name, and what a violation does: stop, or be counted where the caller allowed it.

export const CHECKS = {
  'decode': 'every nested message is one of Fabric\'s, without a field it does not know',
  'numbering': 'blocks are numbered without a gap, headers are complete',
  'data-hash': 'data_hash is the SHA-256 over the envelopes',
  'previous-hash': 'previous_hash is the hash of the DER header before',
  'tip-hash': 'the node\'s currentBlockHash is the hash of its last block',
  'filter': 'metadata slot 2 holds one validation code a transaction, none of them "not validated"',
  'orderer-signature': 'slot 0 is signed over value, signature header and DER header',
  'last-config': 'slot 0 names the last configuration block',
  'commit-hash': 'slot 4 is Fabric\'s hash over codes and updates, chained',
  'batch-marker': 'slot 5 is last, has 13 bytes, version 1 and a plausible first block of its batch',
  'checksum': 'slot 5 ends with the CRC32C of the record before it',
  'creator-signature': 'the payload is signed by its creator',
  'endorsement-signature': 'the endorsements sign response payload and endorser',
  'low-s': 'signatures have the lower of the two possible S',
  'certificate-chain': 'certificates lead to a root of the MSP in the configuration in force',
  'transaction-id': 'transaction ids are sha256(nonce, creator)',
  'chaincode': 'header extension, invocation and action name the same chaincode',
  'proposal-hash': 'endorsers saw the proposal that is in the transaction',
};

export class Violation extends Error {
  constructor(check, where, what) {
    super(`${where}: ${check}: ${what}`);
    this.check = check;
  }
}

/** Collects how often each check held, and stops at the first violation that is not allowed. */
export class Judge {
  constructor(allowed = []) {
    for (const name of allowed) {
      if (!(name in CHECKS)) throw new Error(`no check is named ${name}`);
    }
    this.allowed = new Set(allowed);
    this.held = new Map();
    this.violated = new Map();
    this.where = '';
  }

  /** Counts the check as held, or fails it. Returns whether it held. */
  that(check, holds, what) {
    if (!(check in CHECKS)) throw new Error(`no check is named ${check}`);
    if (holds) {
      this.held.set(check, (this.held.get(check) ?? 0) + 1);
      return true;
    }
    const violation = new Violation(check, this.where, typeof what === 'function' ? what() : what);
    if (!this.allowed.has(check)) throw violation;
    const seen = this.violated.get(check) ?? { count: 0, first: violation.message };
    seen.count += 1;
    this.violated.set(check, seen);
    return false;
  }

  /** Lines that tell what was verified, for the end of a run. */
  report() {
    return Object.keys(CHECKS).map((check) => {
      const held = this.held.get(check) ?? 0;
      const violated = this.violated.get(check);
      const failures = violated ? `, ${violated.count} failed (allowed; first: ${violated.first})` : '';
      return `  ${check.padEnd(22)} ${String(held).padStart(8)} held${failures}`;
    });
  }
}
