//! Blocks of unsigned transactions, for what the ledger judges without a key or a policy.

use bytes::Bytes;
use prost::Message as _;
use quire_ledger::{Block, Height, Ledger, Ordered};
use quire_testkit::Transaction;
use quire_wire::hash::Hash;
use quire_wire::rwset::{
    KvMetadataEntry, KvMetadataWrite, KvRead, KvRwSet, KvWrite, NsReadWriteSet, TxReadWriteSet,
};
use quire_wire::tx_id::tx_id;

/// The namespace of all transactions.
pub(crate) const NAMESPACE: &str = "ns";

/// What a transaction does, in the namespace [`NAMESPACE`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Act {
    /// Determines the transaction id.
    pub(crate) nonce: String,
    pub(crate) set: KvRwSet,
}

impl Act {
    pub(crate) fn new(nonce: impl Into<String>) -> Self {
        Self {
            nonce: nonce.into(),
            ..Self::default()
        }
    }

    pub(crate) fn put(mut self, key: &str, value: impl Into<Bytes>) -> Self {
        self.set.writes.push(KvWrite {
            key: key.into(),
            is_delete: false,
            value: value.into(),
        });
        self
    }

    pub(crate) fn delete(mut self, key: &str) -> Self {
        self.set.writes.push(KvWrite {
            key: key.into(),
            is_delete: true,
            value: Bytes::new(),
        });
        self
    }

    pub(crate) fn metadata(mut self, key: &str, value: impl Into<Bytes>) -> Self {
        self.set.metadata_writes.push(KvMetadataWrite {
            key: key.into(),
            entries: vec![KvMetadataEntry {
                name: "m".into(),
                value: value.into(),
            }],
        });
        self
    }

    pub(crate) fn read(mut self, key: &str, version: Option<Height>) -> Self {
        self.set.reads.push(KvRead {
            key: key.into(),
            version: version.map(Into::into),
        });
        self
    }

    pub(crate) fn tx_id(&self) -> String {
        tx_id(self.nonce.as_bytes(), b"creator")
    }

    /// The envelope of this transaction.
    pub(crate) fn envelope(&self, channel: &str) -> Bytes {
        let results = TxReadWriteSet {
            data_model: 0,
            ns_rwset: vec![NsReadWriteSet {
                namespace: NAMESPACE.into(),
                rwset: self.set.encode_to_vec().into(),
                collection_hashed_rwset: Vec::new(),
            }],
        };
        endorsed(channel, &self.nonce, &results)
    }
}

/// The envelope of a transaction with this read-write set.
pub(crate) fn endorsed(channel: &str, nonce: &str, results: &TxReadWriteSet) -> Bytes {
    let transaction = Transaction {
        results: results.encode_to_vec().into(),
        ..Transaction::new(channel, NAMESPACE, nonce)
    };
    transaction.envelope()
}

/// A block as an orderer makes it.
pub(crate) fn block(number: u64, previous_hash: Bytes, envelopes: Vec<Bytes>) -> Block {
    quire_testkit::chain::block(number, previous_hash, envelopes).into()
}

/// Block 0 of a channel.
pub(crate) fn genesis(channel: &str) -> Block {
    let envelope = Act::new(format!("genesis of {channel}")).envelope(channel);
    block(0, Bytes::new(), vec![envelope])
}

/// Children of a block with this hash, one for each list of transactions.
pub(crate) fn children(
    channel: &str,
    (height, hash): (u64, Hash),
    blocks: &[Vec<Act>],
) -> Vec<Ordered> {
    let mut previous = Bytes::copy_from_slice(&hash);
    let blocks = (height..).zip(blocks).map(|(number, acts)| {
        let envelopes = acts.iter().map(|act| act.envelope(channel)).collect();
        let block = block(number, previous.clone(), envelopes);
        previous = Bytes::copy_from_slice(&block.hash());
        Ordered::new(block, channel)
    });
    blocks.collect()
}

/// Commits blocks as one batch.
pub(crate) fn commit(
    ledger: &mut Ledger,
    channel: &str,
    blocks: &[Vec<Act>],
) -> Result<Vec<quire_ledger::Committed>, quire_ledger::CommitError> {
    ledger.commit(children(channel, ledger.tip(), blocks))
}

/// Commits each block as a batch, which begins while the batch before is on its way to the disk and the one
/// before that is followed.
pub(crate) fn commit_one_by_one(
    ledger: &mut Ledger,
    channel: &str,
    blocks: &[Vec<Act>],
) -> Result<Vec<quire_ledger::Committed>, quire_ledger::CommitError> {
    let mut committed = Vec::new();
    for (begun, block) in children(channel, ledger.tip(), blocks)
        .into_iter()
        .enumerate()
    {
        committed.extend(ledger.begin(vec![block])?);
        let returned = begun.saturating_sub(1);
        assert_eq!(committed.len(), returned, "two are on their way");
    }
    committed.extend(ledger.finish()?);
    Ok(committed)
}
