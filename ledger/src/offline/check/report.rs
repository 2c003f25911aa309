//! What a check found.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Corruption, OpenError, ReadError, chain_of};

/// What to check besides bytes, hashes and followers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depth {
    /// Whether to check every signature of a creator, an endorser or an orderer by the channel's own
    /// configurations.
    pub signatures: bool,
    /// Whether to check every verdict: form, duplicates, MVCC, phantoms, and with `signatures` also verdicts
    /// on signatures.
    pub verdicts: bool,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The kind of fault.
    pub kind: Kind,
    /// The block, if it concerns one block.
    pub block: Option<u64>,
    /// The file, if it is in a file.
    pub file: Option<PathBuf>,
    /// The place in the file where the block's record begins.
    pub offset: Option<u64>,
    /// Position of the transaction in the block, if it concerns one transaction.
    pub transaction: Option<u64>,
    /// That transaction's id, if it has one.
    pub transaction_id: Option<String>,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// The next command to run, if the caller of the check knows it.
    #[serde(default)]
    pub next: Option<String>,
}

/// The kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    /// Bytes that are not a record, a missing file, or a record that is not the next block.
    Record,
    /// A block that is not a child of the block before.
    PreviousHash,
    /// Envelopes that are not those of the header.
    DataHash,
    /// An envelope that is not its own canonical encoding.
    Envelope,
    /// A number of verdicts that is not the number of transactions.
    Codes,
    /// A commit hash that replay does not give.
    CommitHash,
    /// An entry of index, state or history that replay does not give, or that is missing.
    Follower,
    /// A signature that is not valid, or signers who do not suffice.
    Signature,
    /// A verdict that judging again does not give.
    Verdict,
    /// A configuration that cannot be used to judge.
    Config,
    /// A file or folder that is missing, cannot be read, or does not say what it must.
    File,
}

impl Finding {
    /// A finding about no block and no file.
    #[must_use]
    pub fn new(kind: Kind, expected: String, found: String) -> Self {
        Self {
            kind,
            block: None,
            file: None,
            offset: None,
            transaction: None,
            transaction_id: None,
            expected,
            found,
            next: None,
        }
    }
}

impl From<Corruption> for Finding {
    fn from(corruption: Corruption) -> Self {
        Self {
            block: corruption.block,
            file: Some(corruption.file),
            offset: Some(corruption.offset),
            ..Self::new(Kind::Record, corruption.expected, corruption.found)
        }
    }
}

impl From<&OpenError> for Finding {
    /// Why a data directory, or a channel of it, is not opened.
    fn from(error: &OpenError) -> Self {
        let at = |path: &Path, expected: &str, found: String| Self {
            file: Some(path.to_owned()),
            ..Self::new(Kind::File, expected.to_owned(), found)
        };
        match error {
            OpenError::Corrupt { corruption, .. } => Corruption::clone(corruption).into(),
            OpenError::IdStore { file, reason } => {
                at(file, "what Quire wrote there", reason.clone())
            }
            OpenError::Newer { file, .. } => {
                at(file, "a form that this release knows", error.to_string())
            }
            OpenError::Io { path, source } => at(
                path,
                "a file or folder that can be used",
                source.to_string(),
            ),
            OpenError::Orphan(path) => at(
                path,
                "a channel that the id store has a record of",
                format!(
                    "block files, and no id-store/{}.json",
                    path.file_name().unwrap_or_default().to_string_lossy()
                ),
            ),
            OpenError::Engine(_) | OpenError::EngineDamaged(_) => Self::new(
                Kind::Follower,
                "an embedded engine in the folder `derived` that opens".to_owned(),
                chain_of(error),
            ),
            other => Self::new(
                Kind::File,
                "a channel that opens".to_owned(),
                chain_of(other),
            ),
        }
    }
}

/// What was checked, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The channel, or the folder of block files.
    pub subject: String,
    /// Blocks read.
    pub blocks: u64,
    /// Transactions in them.
    pub transactions: u64,
    /// The number of valid signatures; `None` if they were not checked.
    pub signatures: Option<u64>,
    /// The number of verdicts that judging again confirmed; `None` if they were not judged.
    pub verdicts: Option<u64>,
    /// Damage.
    pub findings: Vec<Finding>,
    /// The number of findings that are not listed.
    #[serde(default)]
    pub more: u64,
    /// What should have been checked, but could not be.
    pub unseen: Vec<String>,
    /// What is not damage but worth knowing.
    pub notes: Vec<String>,
    /// What to do about the damage.
    #[serde(default)]
    pub advice: Vec<String>,
}

impl Report {
    /// Whether nothing that was checked is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Why a check has no result.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The data directory or channel does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The scratch engine or a follower cannot be read.
    #[error("the check could not be finished")]
    Read(#[from] ReadError),
}
