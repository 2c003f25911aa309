//! A channel that tests write documents to, a block at a time.

use bytes::Bytes;
use prost::Message as _;
use quire_ledger::{Block, Ledger, Ledgers, Ordered, Reader, Simulator};
use quire_wire::Code;
use quire_wire::common::{ChannelHeader, SignatureHeader, header_type};
use quire_wire::hash::data_hash;
use quire_wire::peer::{
    ChaincodeAction, ChaincodeHeaderExtension, ChaincodeId, ChaincodeSpec, Response,
};
use quire_wire::transaction::{ProposalBytes, seal};
use quire_wire::tx_id::tx_id;
use tempfile::TempDir;

use super::open;

const CHANNEL: &str = "main";

/// A channel in a data directory of its own.
pub(crate) struct Chain {
    ledger: Option<(Ledger, Ledgers)>,
    dir: TempDir,
}

impl Chain {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ledgers = open(dir.path());
        let genesis = block(0, Bytes::new(), vec!["no envelope".into()]);
        let ledger = ledgers.create(CHANNEL, genesis).unwrap();
        Self {
            ledger: Some((ledger, ledgers)),
            dir,
        }
    }

    /// Closes the data directory and opens it again.
    pub(crate) fn reopen(&mut self) {
        self.ledger = None;
        let ledgers = open(self.dir.path());
        let (ledger, _) = ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
        self.ledger = Some((ledger, ledgers));
    }

    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Closes the data directory, for whatever a test does to its files.
    pub(crate) fn close(&mut self) {
        self.ledger = None;
    }

    pub(crate) fn reader(&self) -> Reader {
        self.ledger.as_ref().unwrap().0.reader()
    }

    /// Commits a block with one transaction that writes keys of a namespace, or deletes them.
    pub(crate) fn write<'a>(
        &mut self,
        namespace: &str,
        changes: impl IntoIterator<Item = (&'a str, Option<String>)>,
    ) {
        let mut simulator = Simulator::new(self.reader().snapshot());
        for (key, value) in changes {
            match value {
                Some(value) => simulator.put(namespace, key, value.into()),
                None => simulator.delete(namespace, key),
            }
        }
        let results = simulator.into_read_write_set().encode_to_vec();
        let ledger = &mut self.ledger.as_mut().unwrap().0;
        let (number, hash) = ledger.tip();
        let envelope = envelope(&number.to_string(), namespace, results.into());
        let next = block(number, Bytes::copy_from_slice(&hash), vec![envelope]);
        let committed = ledger.commit(vec![Ordered::new(next, CHANNEL)]).unwrap();
        assert_eq!(committed[0].transactions[0].1, Code::VALID);
    }
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

/// An endorser transaction with this read-write set, unsigned.
fn envelope(nonce: &str, namespace: &str, results: Bytes) -> Bytes {
    let chaincode_id = Some(ChaincodeId {
        name: namespace.into(),
        ..Default::default()
    });
    let extension = ChaincodeHeaderExtension {
        chaincode_id: chaincode_id.clone(),
    };
    let proposal = ProposalBytes::new(
        &ChannelHeader {
            r#type: header_type::ENDORSER_TRANSACTION,
            channel_id: CHANNEL.into(),
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
        results,
        response: Some(Response {
            status: 200,
            ..Default::default()
        }),
        chaincode_id,
        ..Default::default()
    });
    seal(
        proposal.transaction_payload(response, Vec::new()),
        Bytes::new(),
    )
}
