//! The oracle: what is wrong with a channel's files, if anything.
//!
//! 1. `chain`: the block files, block by block: framing, seal, number, previous hash, data hash,
//!    canonical envelopes, one verdict a transaction.
//! 2. Every block replayed into a scratch engine, by the code that commits: the commit hash of each
//!    must be the stored one.
//! 3. `followers`: index, state and history compared with the scratch engine's, entry by entry,
//!    each at the height of its own savepoint; `remote`: state that is on CouchDB, row by row.
//! 4. On demand `signatures`, by the configurations in the chain itself, and `verdicts`, every
//!    one judged again and compared with the stored one.
//!
//! Nothing is changed. A channel that is open is judged up to the height it had at the beginning;
//! what is committed meanwhile is not looked at.

mod chain;
mod followers;
mod remote;
mod signatures;
mod verdicts;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::block_store::segment::Segments;
use crate::derived::{self, Follower};
use crate::disk::Disk;
use crate::error::{OpenError, ReadError};
use crate::ledgers::Ledgers;
use crate::progress::ProgressFn;
use crate::reader::Reader;
use crate::recovery::first_hash;
use crate::state::couchdb;
use chain::Check;
use followers::{Live, Place};
use remote::Remote;

/// Prefix of the folders with scratch engines.
pub(crate) const SCRATCH_PREFIX: &str = "check-";

/// What to look at beyond bytes, hashes and followers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depth {
    /// Every signature of a creator, an endorser or an orderer, against the organisations and
    /// policies of the channel's own configurations.
    pub signatures: bool,
    /// Every verdict: form, duplicates, MVCC, phantoms; with `signatures`, those on them too.
    pub verdicts: bool,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What kind of thing is wrong.
    pub kind: Kind,
    /// The block, where it is one block's.
    pub block: Option<u64>,
    /// The file, where it is in one.
    pub file: Option<PathBuf>,
    /// Where in the file the block's record begins.
    pub offset: Option<u64>,
    /// Position of the transaction in the block, where it is one transaction's.
    pub transaction: Option<u64>,
    /// That transaction's id, where it has one.
    pub transaction_id: Option<String>,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    /// Bytes that are no record, a missing file, or a record that is not the next block.
    Record,
    /// A block that is no child of the one before.
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
    /// A signature that does not hold, or signers who do not suffice.
    Signature,
    /// A verdict that judging again does not give.
    Verdict,
    /// A configuration that nobody can be judged by.
    Config,
}

/// What was looked at, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The channel, or the folder of block files.
    pub subject: String,
    /// Blocks read.
    pub blocks: u64,
    /// Transactions in them.
    pub transactions: u64,
    /// Signatures that hold; none where they were not looked at.
    pub signatures: Option<u64>,
    /// Verdicts that judging again gives; none where they were not judged.
    pub verdicts: Option<u64>,
    /// Damage.
    pub findings: Vec<Finding>,
    /// What should have been looked at, and could not be.
    pub unseen: Vec<String>,
    /// What is no damage but worth knowing.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether nothing of what was looked at is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The data directory or channel does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The scratch engine or a follower cannot be read.
    #[error("the check could not be finished")]
    Read(#[from] ReadError),
}

/// Checks a folder of block files made by a Fabric peer. The scratch engine is made below `scratch`
/// and removed again.
///
/// # Errors
/// Nothing could be read. Damage is no error but a finding.
pub fn check_blockfiles(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    scratch: &Path,
    depth: Depth,
    progress: &mut ProgressFn<'_>,
) -> Result<Report, CheckError> {
    disk.list(dir).map_err(|source| OpenError::Io {
        path: dir.to_owned(),
        source,
    })?;
    let segments = Segments::new(Arc::clone(disk), dir.to_owned());
    let subject = dir.display().to_string();
    Check::new(&segments, u64::MAX, subject, scratch, depth)?.run(None, None, progress)
}

/// Checks a channel that is not open. State on CouchDB is looked at where `ledgers` know the server.
///
/// # Errors
/// Nothing could be read. Damage is no error but a finding.
pub fn check_channel(
    ledgers: &Ledgers,
    channel: &str,
    depth: Depth,
    progress: &mut ProgressFn<'_>,
) -> Result<Report, CheckError> {
    let view = ledgers.database().snapshot();
    let place = place_of(ledgers, channel, &view)?;
    check_in(ledgers, channel, (view, place), None, depth, progress)
}

/// Checks a channel that is open, and may commit meanwhile, up to the height it has now.
///
/// # Errors
/// Nothing could be read. Damage is no error but a finding.
pub fn check_open_channel(
    ledgers: &Ledgers,
    reader: &Reader,
    depth: Depth,
    progress: &mut ProgressFn<'_>,
) -> Result<Report, CheckError> {
    // Taken after a commit was followed: every follower is at the tip in it.
    let view = reader.view();
    let height = view.tip.height;
    let followed = view.derived.clone();
    let place = match ledgers.couch() {
        None => Place::Embedded,
        Some(couch) => Place::Remote(Remote {
            url: couch.url().to_owned(),
            view: Arc::clone(&view.state),
        }),
    };
    check_in(
        ledgers,
        reader.channel(),
        (followed, place),
        Some(height),
        depth,
        progress,
    )
}

/// Where the state of a channel is that is not open.
fn place_of(ledgers: &Ledgers, channel: &str, view: &fjall::Snapshot) -> Result<Place, CheckError> {
    let beside = derived::beside_couchdb(ledgers.database(), channel)?;
    let Some(couch) = ledgers.couch() else {
        // Whichever has come further was used last.
        let remote = couchdb::followed(view, &beside.undo)?;
        let embedded = derived::savepoint(ledgers.database(), view, channel, Follower::State)?;
        return Ok(if remote > embedded {
            Place::Unknown(remote)
        } else {
            Place::Embedded
        });
    };
    let url = couch.url().to_owned();
    let own_from = ledgers.existing(channel)?.own_from();
    let dir = ledgers.channel_dir(channel);
    let segments = Segments::new(Arc::clone(ledgers.disk()), dir.clone());
    // Where block 0 is damaged, it is not known whose state this should be; damage is told below.
    let genesis = first_hash(&segments, own_from).unwrap_or_default();
    let view = couchdb::inspect(couch, channel, beside, genesis.as_ref());
    Ok(match view {
        Ok(view) => Place::Remote(Remote { url, view }),
        Err(reason) => Place::Away(url, reason),
    })
}

fn check_in(
    ledgers: &Ledgers,
    channel: &str,
    (view, place): (fjall::Snapshot, Place),
    height: Option<u64>,
    depth: Depth,
    progress: &mut ProgressFn<'_>,
) -> Result<Report, CheckError> {
    let record = ledgers.record(channel)?;
    let record = record.ok_or_else(|| OpenError::NoSuchChannel(channel.to_owned()))?;
    let segments = Segments::new(Arc::clone(ledgers.disk()), ledgers.channel_dir(channel));
    let keyspaces = derived::keyspaces(ledgers.database(), channel)?;
    let live = Live::new(keyspaces, view, place)?;
    let (own_from, subject) = (record.own_from(), channel.to_owned());
    let check = Check::new(&segments, own_from, subject, ledgers.dir(), depth)?;
    check.run(Some(&live), height, progress)
}
