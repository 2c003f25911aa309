//! Blocks of unsigned transactions: what the ledger judges without a key or a policy.

use bytes::Bytes;
use prost::Message as _;
use quire_ledger::{Block, Height, Ledger, Ordered};
use quire_wire::common::{ChannelHeader, SignatureHeader, header_type};
use quire_wire::hash::{Hash, data_hash};
use quire_wire::peer::{
    ChaincodeAction, ChaincodeHeaderExtension, ChaincodeId, ChaincodeSpec, Response,
};
use quire_wire::rwset::{
    KvMetadataEntry, KvMetadataWrite, KvRead, KvRwSet, KvWrite, NsReadWriteSet, TxReadWriteSet,
};
use quire_wire::transaction::{ProposalBytes, seal};
use quire_wire::tx_id::tx_id;

/// The namespace that all transactions are about.
pub(crate) const NAMESPACE: &str = "ns";

/// What a transaction does, in the namespace [`NAMESPACE`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Act {
    /// Fixes the transaction id.
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
    let chaincode_id = Some(ChaincodeId {
        name: NAMESPACE.into(),
        ..Default::default()
    });
    let extension = ChaincodeHeaderExtension {
        chaincode_id: chaincode_id.clone(),
    };
    let proposal = ProposalBytes::new(
        &ChannelHeader {
            r#type: header_type::ENDORSER_TRANSACTION,
            channel_id: channel.into(),
            tx_id: tx_id(nonce.as_bytes(), b"creator"),
            extension: extension.encode_to_vec().into(),
            ..Default::default()
        },
        &SignatureHeader {
            creator: "creator".into(),
            nonce: Bytes::copy_from_slice(nonce.as_bytes()),
        },
        ChaincodeSpec {
            chaincode_id: chaincode_id.clone(),
            ..Default::default()
        },
    );
    let response = proposal.response_payload(&ChaincodeAction {
        results: results.encode_to_vec().into(),
        response: Some(Response {
            status: 200,
            ..Default::default()
        }),
        chaincode_id,
        ..Default::default()
    });
    let payload = proposal.transaction_payload(response, Vec::new());
    seal(payload, Bytes::new())
}

/// A block as an orderer makes it.
pub(crate) fn block(number: u64, previous_hash: Bytes, envelopes: Vec<Bytes>) -> Block {
    Block {
        number,
        previous_hash,
        data_hash: Bytes::copy_from_slice(&data_hash(&envelopes)),
        envelopes,
        metadata: Vec::new(),
    }
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

/// Commits blocks as batches of one each, each begun while the one before is on its way to the disk
/// and the one before that is followed.
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
