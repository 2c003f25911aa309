//! Makes blocks as an orderer would, of transactions as clients would, without any signature: the
//! ledger leaves those to its caller.

use bytes::Bytes;
use quire_ledger::{Block, Ledger, Ordered};
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, Header, Payload, SignatureHeader, header_type};
use quire_wire::config::{Config, ConfigEnvelope};
use quire_wire::hash::data_hash;
use quire_wire::peer::{
    ChaincodeAction, ChaincodeHeaderExtension, ChaincodeId, ChaincodeInput, ChaincodeSpec,
};
use quire_wire::rwset::{KvRead, KvRwSet, KvWrite, NsReadWriteSet, TxReadWriteSet, Version};
use quire_wire::transaction::{ProposalBytes, seal};
use quire_wire::tx_id::tx_id;

const CREATOR: &[u8] = b"creator";

/// Block 0 of a channel.
pub(crate) fn genesis(channel: &str) -> Block {
    let header = ChannelHeader {
        r#type: header_type::CONFIG,
        channel_id: channel.into(),
        ..ChannelHeader::default()
    };
    let signature_header = SignatureHeader {
        creator: CREATOR.into(),
        nonce: "genesis".into(),
    };
    let payload = Payload {
        header: Some(Header {
            channel_header: header.encode_to_vec().into(),
            signature_header: signature_header.encode_to_vec().into(),
        }),
        data: ConfigEnvelope {
            config: Some(Config::default()),
            last_update: None,
        }
        .encode_to_vec()
        .into(),
    };
    block(
        0,
        Bytes::new(),
        vec![seal(payload.encode_to_vec().into(), "signature".into())],
    )
}

/// What a transaction reads and writes in namespace `n`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    pub(crate) reads: Vec<(String, Option<Version>)>,
    /// `None` deletes.
    pub(crate) writes: Vec<(String, Option<Bytes>)>,
}

impl Content {
    /// A transaction that writes one key.
    pub(crate) fn put(key: &str, value: &str) -> Self {
        let value = Some(Bytes::copy_from_slice(value.as_bytes()));
        Self {
            reads: Vec::new(),
            writes: vec![(key.to_owned(), value)],
        }
    }
}

/// The id of the transaction made with `nonce`.
pub(crate) fn id(nonce: &str) -> String {
    tx_id(nonce.as_bytes(), CREATOR)
}

/// An endorser transaction of `channel`.
pub(crate) fn transaction(channel: &str, nonce: &str, content: &Content) -> Bytes {
    let reads = content.reads.iter().cloned();
    let writes = content.writes.iter().cloned();
    let set = KvRwSet {
        reads: reads
            .map(|(key, version)| KvRead { key, version })
            .collect(),
        writes: writes
            .map(|(key, value)| KvWrite {
                key,
                is_delete: value.is_none(),
                value: value.unwrap_or_default(),
            })
            .collect(),
        ..KvRwSet::default()
    };
    let namespace = NsReadWriteSet {
        namespace: "n".into(),
        rwset: set.encode_to_vec().into(),
        collection_hashed_rwset: Vec::new(),
    };
    let results = TxReadWriteSet {
        data_model: 0,
        ns_rwset: vec![namespace],
    };
    endorsed(channel, nonce, &results)
}

/// An endorser transaction of `channel` with this read-write set.
pub(crate) fn endorsed(channel: &str, nonce: &str, results: &TxReadWriteSet) -> Bytes {
    let chaincode = ChaincodeId {
        name: "n".into(),
        ..ChaincodeId::default()
    };
    let header = ChannelHeader {
        r#type: header_type::ENDORSER_TRANSACTION,
        channel_id: channel.into(),
        tx_id: id(nonce),
        extension: ChaincodeHeaderExtension {
            chaincode_id: Some(chaincode.clone()),
        }
        .encode_to_vec()
        .into(),
        ..ChannelHeader::default()
    };
    let creator = SignatureHeader {
        creator: CREATOR.into(),
        nonce: nonce.as_bytes().to_vec().into(),
    };
    let spec = ChaincodeSpec {
        chaincode_id: Some(chaincode.clone()),
        input: Some(ChaincodeInput::default()),
        ..ChaincodeSpec::default()
    };
    let proposal = ProposalBytes::new(&header, &creator, spec);
    let action = ChaincodeAction {
        results: results.encode_to_vec().into(),
        chaincode_id: Some(chaincode),
        ..ChaincodeAction::default()
    };
    let response = proposal.response_payload(&action);
    seal(
        proposal.transaction_payload(response, Vec::new()),
        "signature".into(),
    )
}

fn block(number: u64, previous_hash: Bytes, envelopes: Vec<Bytes>) -> Block {
    Block {
        number,
        previous_hash,
        data_hash: Bytes::copy_from_slice(&data_hash(&envelopes)),
        envelopes,
        metadata: Vec::new(),
    }
}

/// Blocks that follow the tip, one for each list of envelopes.
pub(crate) fn next_blocks(ledger: &Ledger, batches: Vec<Vec<Bytes>>) -> Vec<Ordered> {
    let (height, hash) = ledger.tip();
    let channel = ledger.reader().channel().to_owned();
    let mut previous = Bytes::copy_from_slice(&hash);
    let blocks = (height..).zip(batches).map(|(number, envelopes)| {
        let block = block(number, previous.clone(), envelopes);
        previous = Bytes::copy_from_slice(&block.hash());
        Ordered::new(block, &channel)
    });
    blocks.collect()
}
