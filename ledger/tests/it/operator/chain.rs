//! A data directory with one channel of several small block files.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message as _;
use quire_ledger::check::{Depth, Report, check_channel};
use quire_ledger::{Block, CommitError, CreateOptions, Ledger, Ledgers, OpenError, Ordered};
use quire_wire::common::{ChannelHeader, SignatureHeader, header_type};
use quire_wire::hash::data_hash;
use quire_wire::peer::{
    ChaincodeAction, ChaincodeHeaderExtension, ChaincodeId, ChaincodeSpec, Endorsement,
};
use quire_wire::rwset::{KvRead, KvRwSet, KvWrite, NsReadWriteSet, TxReadWriteSet};
use quire_wire::transaction::{ProposalBytes, seal};
use quire_wire::tx_id::tx_id;

use crate::kit::open;

pub(super) const CHANNEL: &str = "main";
/// The number of blocks of every chain here, including the first.
pub(super) const HEIGHT: u64 = 12;
/// This is so small that three blocks fill a file.
const SEGMENT_BYTES: u64 = 2500;

/// A directory with a closed channel of [`HEIGHT`] blocks.
pub(super) struct Chain {
    pub(super) dir: tempfile::TempDir,
}

impl Chain {
    pub(super) fn new() -> Self {
        Self::salted("")
    }

    /// Another chain of the same shape: transaction ids depend on the salt.
    pub(super) fn salted(salt: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let chain = Self { dir };
        {
            let ledgers = open(chain.path());
            drop(
                ledgers
                    .create(CHANNEL, next(None, salt), CreateOptions::default())
                    .unwrap(),
            );
        }
        let record = chain.path().join("id-store/main.json");
        let text = fs::read_to_string(&record).unwrap();
        let small = text.replace("67108864", &SEGMENT_BYTES.to_string());
        assert_ne!(text, small);
        fs::write(&record, small).unwrap();
        chain.grow(HEIGHT - 1, salt);
        chain
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Adds blocks.
    pub(super) fn grow(&self, count: u64, salt: &str) {
        let ledgers = open(self.path());
        let (mut ledger, _) = ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
        for _ in 0..count {
            commit_next(&mut ledger, salt);
        }
    }

    pub(super) fn blockfiles(&self) -> PathBuf {
        self.path().join("channels").join(CHANNEL)
    }

    /// The names and contents of the block files.
    pub(super) fn contents(&self) -> Vec<(String, Vec<u8>)> {
        contents(&self.blockfiles())
    }

    /// The name of a block's file, and the place of its record in the file.
    pub(super) fn place(&self, number: u64) -> (PathBuf, std::ops::Range<usize>) {
        let mut block = 0;
        for (name, bytes) in self.contents() {
            let mut start = 0;
            while start < bytes.len() {
                let mut rest = &bytes[start..];
                let length = prost::encoding::decode_varint(&mut rest).unwrap();
                let end = bytes.len() - rest.len() + usize::try_from(length).unwrap();
                if block == number {
                    return (self.blockfiles().join(name), start..end);
                }
                (block, start) = (block + 1, end);
            }
        }
        panic!("no block {number}");
    }

    /// Flips a bit in the middle of a block's record.
    pub(super) fn damage(&self, number: u64) {
        let (file, place) = self.place(number);
        let mut bytes = fs::read(&file).unwrap();
        bytes[usize::midpoint(place.start, place.end)] ^= 0x10;
        fs::write(file, bytes).unwrap();
    }

    /// Cuts the chain before a block, like a file system that lost the end.
    pub(super) fn lose_from(&self, number: u64) {
        let (file, place) = self.place(number);
        for (name, _) in self.contents() {
            let later = self.blockfiles().join(name);
            if later > file {
                fs::remove_file(later).unwrap();
            }
        }
        let bytes = fs::read(&file).unwrap();
        fs::write(file, &bytes[..place.start]).unwrap();
    }

    /// Opens the channel, closes it, and returns its height and how many blocks were replayed.
    pub(super) fn reopen(&self) -> Result<(u64, u64), OpenError> {
        let ledgers = open(self.path());
        let (_, report) = ledgers.ledger(CHANNEL, &mut |_| {})?;
        Ok((report.height, report.replayed))
    }

    pub(super) fn check(&self) -> Report {
        check(&open(self.path()))
    }
}

pub(super) fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let mut files: Vec<_> = files
        .map(|entry| {
            let bytes = fs::read(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), bytes)
        })
        .collect();
    files.sort();
    files
}

pub(super) fn check(ledgers: &Ledgers) -> Report {
    let depth = Depth {
        verdicts: true,
        ..Depth::default()
    };
    check_channel(ledgers, CHANNEL, depth, &mut |_| {}).unwrap()
}

/// Commits one more block.
pub(super) fn commit_next(ledger: &mut Ledger, salt: &str) {
    let (height, _) = ledger.tip();
    let tip = ledger.reader().block(height - 1).unwrap().unwrap();
    let block = next(Some(&tip), salt);
    let committed = ledger.commit(vec![Ordered::new(block, CHANNEL)]).unwrap();
    let codes = &committed[0].transactions;
    assert!(codes.iter().all(|(_, code)| code.is_valid()), "{codes:?}");
}

/// Commits a block with a transaction that claims that it saw no such key.
pub(super) fn commit_reading(ledger: &mut Ledger, key: &str) -> Result<(), CommitError> {
    let (height, hash) = ledger.tip();
    let envelopes = vec![transaction_of(&format!("{height}.0"), key, true)];
    let block = Block {
        number: height,
        previous_hash: Bytes::copy_from_slice(&hash),
        data_hash: Bytes::copy_from_slice(&data_hash(&envelopes)),
        envelopes,
        metadata: vec![Bytes::new(); 5],
    };
    ledger.commit(vec![Ordered::new(block, CHANNEL)]).map(drop)
}

/// The block after `tip`, with two transactions of one key each.
fn next(tip: Option<&Block>, salt: &str) -> Block {
    let number = tip.map_or(0, |tip| tip.number + 1);
    let envelopes: Vec<Bytes> = (0..2)
        .map(|tx| {
            transaction(
                &format!("{salt}{number}.{tx}"),
                &format!("key {}", number % 5),
            )
        })
        .collect();
    Block {
        number,
        previous_hash: tip.map_or(Bytes::new(), |tip| Bytes::copy_from_slice(&tip.hash())),
        data_hash: Bytes::copy_from_slice(&data_hash(&envelopes)),
        envelopes,
        metadata: vec![Bytes::new(); 5],
    }
}

fn transaction(nonce: &str, key: &str) -> Bytes {
    transaction_of(nonce, key, false)
}

fn transaction_of(nonce: &str, key: &str, reads: bool) -> Bytes {
    let chaincode = || {
        Some(ChaincodeId {
            name: "orders".into(),
            ..ChaincodeId::default()
        })
    };
    let nonce = Bytes::copy_from_slice(nonce.as_bytes());
    let header = ChannelHeader {
        r#type: header_type::ENDORSER_TRANSACTION,
        channel_id: CHANNEL.into(),
        tx_id: tx_id(&nonce, b"creator"),
        extension: ChaincodeHeaderExtension {
            chaincode_id: chaincode(),
        }
        .encode_to_vec()
        .into(),
        ..ChannelHeader::default()
    };
    let creator = SignatureHeader {
        creator: "creator".into(),
        nonce: nonce.clone(),
    };
    let spec = ChaincodeSpec {
        chaincode_id: chaincode(),
        ..ChaincodeSpec::default()
    };
    let proposal = ProposalBytes::new(&header, &creator, spec);
    let read = KvRead {
        key: key.into(),
        version: None,
    };
    let set = KvRwSet {
        reads: if reads { vec![read] } else { Vec::new() },
        writes: vec![KvWrite {
            key: key.into(),
            is_delete: false,
            value: nonce,
        }],
        ..KvRwSet::default()
    };
    let results = TxReadWriteSet {
        data_model: 0,
        ns_rwset: vec![NsReadWriteSet {
            namespace: "orders".into(),
            rwset: set.encode_to_vec().into(),
            collection_hashed_rwset: Vec::new(),
        }],
    };
    let response = proposal.response_payload(&ChaincodeAction {
        results: results.encode_to_vec().into(),
        chaincode_id: chaincode(),
        ..ChaincodeAction::default()
    });
    let payload = proposal.transaction_payload(response, vec![Endorsement::default()]);
    seal(payload, "signature".into())
}
