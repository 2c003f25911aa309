//! Blocks to commit: endorser transactions of the same size as Fabric's.
//!
//! Certificates and signatures are the largest part of a transaction. Here they are bytes of the right
//! length, except in a chain whose signatures must be verified.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use quire_identity::config::edit::set_policy;
use quire_identity::config::genesis_group;
use quire_identity::{Organization, Role, SigningIdentity};
use quire_ledger::{Block, ENDORSEMENT_POLICY, Height};
use quire_testkit::Transaction;
use quire_testkit::chain::config_envelope;
use quire_wire::Message as _;
use quire_wire::common::Timestamp;
use quire_wire::config::{BatchSize, Config};
use quire_wire::hash::{Hash, data_hash, sha256};
use quire_wire::peer::Endorsement;
use quire_wire::rwset::{KvRead, KvRwSet, KvWrite, NsReadWriteSet, TxReadWriteSet};
use quire_wire::tx_id::tx_id;

/// The channel of all measurements.
pub(crate) const CHANNEL: &str = "main";
/// The namespace that is written to.
pub(crate) const NAMESPACE: &str = "orders";
/// Bytes of a serialized identity with an ECDSA certificate.
const IDENTITY_BYTES: usize = 880;
/// The first key of blocks that only fill.
pub(crate) const FILLED_FROM: usize = 1 << 40;
/// Bytes of an ECDSA P-256 signature.
const SIGNATURE_BYTES: usize = 71;

/// What every transaction of a chain does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Transactions in a block.
    pub(crate) block_txs: usize,
    /// Bytes of the value that each transaction writes.
    pub(crate) value_bytes: usize,
    /// Whether each transaction first reads the key, as block 0 left it.
    pub(crate) reads: bool,
}

/// Makes the blocks of one chain, in order.
#[derive(Debug)]
pub(crate) struct Chain {
    identity: Bytes,
    /// Each endorses, and the first is the creator too; without any a signature is bytes of the right length.
    signers: Vec<Arc<SigningIdentity>>,
    number: u64,
    previous_hash: Option<Hash>,
    transactions: usize,
    /// Keys written so far by blocks that only fill.
    filled: usize,
    /// Whether values are JSON documents, which query indexes can read.
    documents: bool,
}

/// Key `n`; consecutive keys lie far apart.
pub(crate) fn key(n: usize) -> String {
    let scattered = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("order-{scattered:016x}")
}

/// The key of the `n`th write of the blocks that only fill.
pub(crate) fn filled_key(n: usize) -> String {
    key(FILLED_FROM + n)
}

/// The nonce of transaction `n`, which no other chain has.
fn nonce(n: usize) -> Bytes {
    Bytes::copy_from_slice(&sha256([b"nonce".as_slice(), &n.to_be_bytes()])[..24])
}

impl Chain {
    pub(crate) fn new() -> Self {
        Self {
            identity: vec![b'i'; IDENTITY_BYTES].into(),
            signers: Vec::new(),
            number: 0,
            previous_hash: None,
            transactions: 0,
            filled: 0,
            documents: false,
        }
    }

    /// A chain whose values are JSON documents.
    pub(crate) fn of_documents() -> Self {
        Self {
            documents: true,
            ..Self::new()
        }
    }

    /// A chain with true signatures, and its block 0 with the configuration that verifies them. `organizations` are
    /// made in `dir`; `endorsers` of them must endorse, and do.
    pub(crate) fn signed(dir: &Path, organizations: usize, endorsers: usize) -> (Self, Block) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let (mut msps, mut signers, mut peers) = (Vec::new(), Vec::new(), Vec::new());
        for n in 1..=organizations {
            let (dir, id) = (dir.join(n.to_string()), format!("Bench{n}MSP"));
            std::fs::create_dir_all(&dir).unwrap();
            let made = Organization::open_or_create(&quire_disk::os(), &dir, &id, now).unwrap();
            msps.push(made.msp_config());
            peers.push(format!("'{id}.peer'"));
            if n <= endorsers {
                signers.push(made.create_identity("peer0", Role::Peer, now).unwrap());
            }
        }
        let limits = BatchSize {
            max_message_count: 500,
            absolute_max_bytes: 10 << 20,
            preferred_max_bytes: 2 << 20,
        };
        let mut config = Config {
            sequence: 0,
            channel_group: Some(genesis_group(&msps, limits, "2s")),
        };
        let policy = format!("OutOf({endorsers}, {})", peers.join(", "));
        set_policy(&mut config, ENDORSEMENT_POLICY, &policy).unwrap();
        let mut chain = Self {
            identity: signers[0].serialized().clone(),
            signers,
            ..Self::new()
        };
        let root = config.channel_group.unwrap();
        let genesis = chain.block(vec![config_envelope(CHANNEL, root)]);
        (chain, genesis)
    }

    fn sign(&self, payload: &[u8]) -> Bytes {
        match self.signers.first() {
            Some(signer) => signer.sign(payload),
            None => vec![b's'; SIGNATURE_BYTES].into(),
        }
    }

    fn endorse(&self, response: &Bytes) -> Vec<Endorsement> {
        if self.signers.is_empty() {
            return vec![Endorsement {
                endorser: self.identity.clone(),
                signature: vec![b's'; SIGNATURE_BYTES].into(),
            }];
        }
        let signers = self.signers.iter();
        let endorsements = signers.map(|signer| Endorsement {
            endorser: signer.serialized().clone(),
            signature: signer.sign(&[&response[..], signer.serialized()].concat()),
        });
        endorsements.collect()
    }

    /// The id of the `n`th transaction.
    pub(crate) fn tx_id(&self, n: usize) -> String {
        tx_id(&nonce(n), &self.identity)
    }

    /// A block of one transaction that writes these values.
    pub(crate) fn of_values(&mut self, values: impl Iterator<Item = (String, String)>) -> Block {
        let writes = values.map(|(key, value)| KvWrite {
            key,
            is_delete: false,
            value: value.into(),
        });
        let envelope = self.envelope(Vec::new(), writes.collect());
        self.block(vec![envelope])
    }

    /// Block 0: one transaction that writes keys `0..keys`.
    pub(crate) fn first_block(&mut self, keys: usize, value_bytes: usize) -> Block {
        let writes = (0..keys).map(|n| self.write(n, value_bytes)).collect();
        let envelope = self.envelope(Vec::new(), writes);
        self.block(vec![envelope])
    }

    /// The next block. The `n`th transaction after block 0 writes key `n`.
    pub(crate) fn next_block(&mut self, shape: Shape) -> Block {
        let envelopes = (0..shape.block_txs).map(|_| {
            let n = self.transactions - 1;
            let read = shape.reads.then(|| KvRead {
                key: key(n),
                version: Some(Height::new(0, 0).into()),
            });
            self.envelope(
                read.into_iter().collect(),
                vec![self.write(n, shape.value_bytes)],
            )
        });
        let envelopes = envelopes.collect();
        self.block(envelopes)
    }

    /// A block of transactions with many new keys each, which no other block of the chain writes.
    pub(crate) fn fill(&mut self, txs: usize, keys: usize, value_bytes: usize) -> Block {
        let envelopes = (0..txs).map(|_| {
            let from = FILLED_FROM + self.filled;
            self.filled += keys;
            let writes = (from..from + keys).map(|n| self.write(n, value_bytes));
            let writes = writes.collect();
            self.envelope(Vec::new(), writes)
        });
        let envelopes = envelopes.collect();
        self.block(envelopes)
    }

    fn write(&self, n: usize, value_bytes: usize) -> KvWrite {
        let mut value = vec![b'v'; value_bytes];
        if self.documents {
            let text = format!(
                r#"{{"owner":"owner{}","size":{},"color":"color{}","kind":{},"payload":""#,
                n % 1000,
                n % 100_000,
                n % 10,
                n % 50
            );
            value = text.into_bytes();
            value.resize(value_bytes.max(value.len() + 2) - 2, b'v');
            value.extend_from_slice(b"\"}");
        }
        KvWrite {
            key: key(n),
            is_delete: false,
            value: value.into(),
        }
    }

    /// `count` blocks.
    pub(crate) fn blocks(&mut self, shape: Shape, count: usize) -> Vec<Block> {
        (0..count).map(|_| self.next_block(shape)).collect()
    }

    fn block(&mut self, envelopes: Vec<Bytes>) -> Block {
        let previous_hash = self.previous_hash.map(|hash| Bytes::copy_from_slice(&hash));
        let block = Block {
            number: self.number,
            previous_hash: previous_hash.unwrap_or_default(),
            data_hash: Bytes::copy_from_slice(&data_hash(&envelopes)),
            envelopes,
            // This is as large as an orderer's signature with its certificate.
            metadata: vec![vec![b'o'; IDENTITY_BYTES + SIGNATURE_BYTES + 40].into()],
        };
        self.number += 1;
        self.previous_hash = Some(block.hash());
        block
    }

    fn envelope(&mut self, reads: Vec<KvRead>, writes: Vec<KvWrite>) -> Bytes {
        let nonce = nonce(self.transactions);
        self.transactions += 1;
        let transaction = Transaction {
            creator: self.identity.clone(),
            timestamp: Some(Timestamp {
                seconds: 1_700_000_000,
                nanos: 1,
            }),
            args: arguments(&writes),
            results: results(reads, writes),
            ..Transaction::new(CHANNEL, NAMESPACE, nonce)
        };
        transaction.signed(
            |response| self.endorse(response),
            |payload| self.sign(payload),
        )
    }
}

/// A call that names the first key and value.
fn arguments(writes: &[KvWrite]) -> Vec<Bytes> {
    let first = writes.iter().take(1);
    let key_and_value = first.flat_map(|write| [write.key.clone().into(), write.value.clone()]);
    std::iter::once("put".into()).chain(key_and_value).collect()
}

fn results(reads: Vec<KvRead>, writes: Vec<KvWrite>) -> Bytes {
    let set = KvRwSet {
        reads,
        writes,
        ..KvRwSet::default()
    };
    let namespace = NsReadWriteSet {
        namespace: NAMESPACE.to_owned(),
        rwset: set.encode_to_vec().into(),
        collection_hashed_rwset: Vec::new(),
    };
    TxReadWriteSet {
        data_model: 0,
        ns_rwset: vec![namespace],
    }
    .encode_to_vec()
    .into()
}
