//! The oracle: what is wrong with a channel's files, if anything.
//!
//! 1. The block files, block by block: framing, seal, number, previous hash, data hash, canonical
//!    envelopes, one verdict a transaction.
//! 2. Every block replayed into a scratch engine, by the code that commits: the commit hash of each
//!    must be the stored one.
//! 3. Index, state and history compared with the scratch engine's, entry by entry, each at the
//!    height of its own savepoint.
//!
//! Nothing is changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::{Database, Keyspace, PersistMode};
use quire_wire::common::{Envelope, metadata_slot};
use quire_wire::{Message as _, hash::Hash};
use serde::Serialize;

use crate::block::Block;
use crate::block_store::index::Index;
use crate::block_store::scan::{
    Damage, Scan, Step, Stored, data_hash_objection, previous_hash_objection,
};
use crate::block_store::segment::{Position, Segments};
use crate::block_store::tail::{self, Verdict, Witness};
use crate::commit_hash;
use crate::derived::{self, Keyspaces};
use crate::disk::Disk;
use crate::error::{Corruption, OpenError, ReadError};
use crate::history::History;
use crate::ledger::Durable;
use crate::ledgers::Ledgers;
use crate::progress::{Progress, ProgressFn};
use crate::recovery::replay_batch;
use crate::state::StateDb;
use crate::state::fjall::FjallState;

/// Bytes of blocks that are replayed as one batch.
const BATCH_BYTES: u64 = 4 << 20;
/// Damaged entries of a follower that are told one by one.
const MAX_ENTRIES_TOLD: u64 = 10;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
}

/// What was looked at, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The channel, or the folder of block files.
    pub subject: String,
    /// Blocks read.
    pub blocks: u64,
    /// Transactions in them.
    pub transactions: u64,
    /// Damage.
    pub findings: Vec<Finding>,
    /// What is no damage but worth knowing.
    pub notes: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
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
    progress: &mut ProgressFn<'_>,
) -> Result<Report, CheckError> {
    disk.list(dir).map_err(|source| OpenError::Io {
        path: dir.to_owned(),
        source,
    })?;
    let segments = Segments::new(Arc::clone(disk), dir.to_owned());
    let subject = dir.display().to_string();
    Check::new(&segments, u64::MAX, subject, scratch)?.run(None, progress)
}

/// Checks a channel of a data directory.
///
/// # Errors
/// Nothing could be read. Damage is no error but a finding.
pub fn check_channel(
    ledgers: &Ledgers,
    channel: &str,
    progress: &mut ProgressFn<'_>,
) -> Result<Report, CheckError> {
    let record = ledgers.record(channel)?;
    let record = record.ok_or_else(|| OpenError::NoSuchChannel(channel.to_owned()))?;
    let segments = Segments::new(Arc::clone(ledgers.disk()), ledgers.channel_dir(channel));
    let followers = Followers::new(ledgers.database(), channel)?;
    let check = Check::new(
        &segments,
        record.own_from(),
        channel.to_owned(),
        ledgers.dir(),
    )?;
    check.run(Some(&followers), progress)
}

/// Index, state and history of a channel, and the engine they are in.
struct Followers {
    database: Database,
    keyspaces: Keyspaces,
    index: Index,
    state: FjallState,
    history: History,
}

impl Followers {
    fn new(database: &Database, channel: &str) -> Result<Self, OpenError> {
        let keyspaces = derived::keyspaces(database, channel)?;
        Ok(Self {
            index: Index::new(keyspaces.index.clone()),
            state: FjallState::new(database.clone(), keyspaces.state.clone()),
            history: History::new(keyspaces.history.clone()),
            database: database.clone(),
            keyspaces,
        })
    }

    /// Name, savepoint and keyspace of each.
    fn savepoints(&self) -> Result<[(&'static str, u64, &Keyspace); 3], ReadError> {
        let view = self.database.snapshot();
        Ok([
            ("index", self.index.savepoint(&view)?, &self.keyspaces.index),
            ("state", self.state.savepoint()?, &self.keyspaces.state),
            (
                "history",
                self.history.savepoint(&view)?,
                &self.keyspaces.history,
            ),
        ])
    }

    fn apply(&self, blocks: &[Durable]) -> Result<(), ReadError> {
        self.state.apply(blocks)?;
        let view = self.database.snapshot();
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        self.index.follow(&view, &mut batch, blocks)?;
        self.history.follow(&view, &mut batch, blocks)?;
        Ok(batch.commit()?)
    }
}

/// One check under way.
struct Check<'a> {
    segments: &'a Segments,
    own_from: u64,
    report: Report,
    previous_hash: Option<Hash>,
    commit_hash: Option<bytes::Bytes>,
    /// Everything that the blocks say, as replay gives it.
    replayed: Followers,
    _scratch: tempfile::TempDir,
}

impl<'a> Check<'a> {
    fn new(
        segments: &'a Segments,
        own_from: u64,
        subject: String,
        scratch: &Path,
    ) -> Result<Self, OpenError> {
        let at = |source| OpenError::Io {
            path: scratch.to_owned(),
            source,
        };
        let scratch = tempfile::Builder::new()
            .prefix("check-")
            .tempdir_in(scratch)
            .map_err(at)?;
        let database = Database::builder(scratch.path())
            .open()
            .map_err(OpenError::Engine)?;
        Ok(Self {
            segments,
            own_from,
            report: Report {
                subject,
                ..Report::default()
            },
            previous_hash: None,
            commit_hash: None,
            replayed: Followers::new(&database, "replay")?,
            _scratch: scratch,
        })
    }

    fn run(
        mut self,
        followers: Option<&Followers>,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Report, CheckError> {
        let savepoints = followers.map(Followers::savepoints).transpose()?;
        let count = self.segments.count().map_err(|error| self.io(error))?;
        let segment_count = match count {
            Ok(count) => count,
            Err(corruption) => {
                self.find_corruption(corruption);
                return Ok(self.report);
            }
        };
        let total = self.total_bytes(segment_count)?;
        let mut done = 0;
        let mut scan = Scan::new(
            self.segments,
            segment_count,
            self.own_from,
            Position::START,
            0,
            None,
        )
        .without_hash_checks();
        let mut stops: Vec<u64> = savepoints.iter().flatten().map(|(_, at, _)| *at).collect();
        stops.sort_unstable();
        self.compare_at(0, savepoints.as_ref())?;
        let mut batch = Vec::new();
        let mut batch_bytes = 0;
        let damage = loop {
            match scan.next().map_err(|error| self.io(error))? {
                Step::Block(stored) => {
                    self.check_block(&stored);
                    done += stored.location.len;
                    batch_bytes += stored.location.len;
                    batch.push(*stored);
                }
                Step::End => break None,
                Step::Damaged(damage) => break Some(damage),
            }
            if batch_bytes >= BATCH_BYTES || stops.contains(&scan.number()) {
                self.replay(std::mem::take(&mut batch))?;
                batch_bytes = 0;
                self.compare_at(scan.number(), savepoints.as_ref())?;
                let subject = &self.report.subject;
                progress(Progress {
                    stage: "checking bytes",
                    subject,
                    done,
                    total,
                });
            }
        };
        self.replay(batch)?;
        let witness = savepoints.as_ref().and_then(furthest);
        match damage {
            Some(damage) => {
                self.judge_damage(&damage, segment_count, followers.is_some(), witness)?;
            }
            None => self.find_ahead(scan.number(), witness),
        }
        self.note_lag(scan.number(), savepoints.as_ref());
        progress(Progress {
            stage: "checking bytes",
            subject: &self.report.subject,
            done: total,
            total,
        });
        Ok(self.report)
    }

    fn total_bytes(&self, segment_count: u64) -> Result<u64, CheckError> {
        let lengths = (0..segment_count).map(|segment| self.segments.file(segment)?.len());
        lengths
            .sum::<std::io::Result<u64>>()
            .map_err(|error| self.io(error).into())
    }

    fn io(&self, source: std::io::Error) -> OpenError {
        OpenError::Io {
            path: self.segments.dir().to_owned(),
            source,
        }
    }

    /// Everything that a block must be by itself and as the child of the one before.
    fn check_block(&mut self, stored: &Stored) {
        let Stored { block, .. } = stored;
        self.report.blocks += 1;
        self.report.transactions += block.envelopes.len() as u64;
        let hash = self.previous_hash.replace(block.hash());
        let objection = hash.and_then(|hash| previous_hash_objection(block, &hash));
        if let Some(objection) = objection {
            self.find(Kind::PreviousHash, stored, objection);
        }
        for (tx, envelope) in block.envelopes.iter().enumerate() {
            if let Some(objection) = envelope_objection(tx, envelope) {
                self.find(Kind::Envelope, stored, objection);
            }
        }
        // What the data hash stands for is only beyond doubt where every envelope is canonical.
        let mut canonical = block.clone();
        canonical.envelopes.iter_mut().for_each(|bytes| {
            if let Some(encoded) = canonical_envelope(bytes) {
                *bytes = encoded;
            }
        });
        if let Some(objection) = data_hash_objection(&canonical) {
            self.find(Kind::DataHash, stored, objection);
        }
        let codes = codes(block).len();
        if codes != block.envelopes.len() {
            let expected = format!("{} validation codes", block.envelopes.len());
            self.find(Kind::Codes, stored, (expected, codes.to_string()));
        }
    }

    /// Replays blocks into the scratch engine, and compares their commit hashes.
    fn replay(&mut self, batch: Vec<Stored>) -> Result<(), CheckError> {
        // What follows from damaged blocks is no news.
        if batch.is_empty() || !self.report.is_sound() {
            return Ok(());
        }
        let seals: Vec<_> = batch
            .iter()
            .map(|stored| (stored.location, stored.seal))
            .collect();
        let durable = replay_batch(&self.replayed.state, batch)?;
        for (durable, (location, seal)) in durable.iter().zip(seals) {
            let block = &durable.block;
            let codes = codes(block);
            let previous = self.commit_hash.as_deref();
            let expected = commit_hash::next(block.number, codes, &durable.updates, previous);
            let found = block.commit_hash();
            // A chain may begin without commit hashes, never go on without.
            let begins_without = block.number == 1 && found.is_none() && seal.is_none();
            let expected = expected.filter(|_| !begins_without);
            if expected.as_ref().map(|hash| &hash[..]) != found.as_deref() {
                let text = |hash: Option<&[u8]>| hash.map_or("none".to_owned(), hex::encode);
                let objection = (
                    format!(
                        "commit hash {}",
                        text(expected.as_ref().map(|hash| &hash[..]))
                    ),
                    text(found.as_deref()),
                );
                let stored = Stored {
                    block: Block::clone(block),
                    location,
                    seal,
                };
                self.find(Kind::CommitHash, &stored, objection);
                break;
            }
            self.commit_hash = found;
        }
        self.replayed.apply(&durable)?;
        Ok(())
    }

    /// Compares the followers whose savepoint is `height` with what replay gives.
    fn compare_at(
        &mut self,
        height: u64,
        savepoints: Option<&[(&'static str, u64, &Keyspace); 3]>,
    ) -> Result<(), CheckError> {
        if !self.report.is_sound() {
            return Ok(());
        }
        let all = &self.replayed.keyspaces;
        let replayed = [all.index.clone(), all.state.clone(), all.history.clone()];
        for ((name, savepoint, live), replayed) in savepoints.into_iter().flatten().zip(replayed) {
            if *savepoint == height {
                self.compare(name, live, &replayed)?;
            }
        }
        Ok(())
    }

    fn compare(
        &mut self,
        follower: &str,
        live: &Keyspace,
        replayed: &Keyspace,
    ) -> Result<(), CheckError> {
        let mut found = live.iter().map(fjall::Guard::into_inner).peekable();
        let mut expected = replayed.iter().map(fjall::Guard::into_inner).peekable();
        let mut differences = 0;
        loop {
            let left = found.next_if(|left| match (left, expected.peek()) {
                (Ok((left, _)), Some(Ok((right, _)))) => left <= right,
                _ => true,
            });
            let left = left.transpose().map_err(ReadError::from)?;
            let right = expected.next_if(|right| match (&left, right) {
                (Some((left, _)), Ok((right, _))) => left == right,
                _ => true,
            });
            let right = right.transpose().map_err(ReadError::from)?;
            if left.is_none() && right.is_none() {
                break;
            }
            if left == right {
                continue;
            }
            differences += 1;
            if differences <= MAX_ENTRIES_TOLD {
                let told = |entry: Option<_>| {
                    entry.map_or(
                        "none".to_owned(),
                        |(key, value): (fjall::Slice, fjall::Slice)| {
                            format!("{} = {}", key.escape_ascii(), hex::encode(value))
                        },
                    )
                };
                self.report.findings.push(Finding {
                    kind: Kind::Follower,
                    block: None,
                    file: None,
                    offset: None,
                    expected: format!("{follower} entry as replayed: {}", told(right)),
                    found: told(left),
                });
            }
        }
        if differences > MAX_ENTRIES_TOLD {
            self.report
                .notes
                .push(format!("{follower}: {differences} entries differ in all"));
        }
        Ok(())
    }

    /// Damage at the end that was never acknowledged is a note; any other a finding.
    fn judge_damage(
        &mut self,
        damage: &Damage,
        segment_count: u64,
        may_be_torn: bool,
        witness: Option<Witness>,
    ) -> Result<(), CheckError> {
        let verdict = tail::judge(self.segments, segment_count, self.own_from, damage, witness);
        match verdict.map_err(|error| self.io(error))? {
            Verdict::Torn { bytes } if may_be_torn => self.report.notes.push(format!(
                "the last {bytes} bytes of {} are of a batch that was never acknowledged: they \
                 will be cut at the next start",
                damage.corruption.file.display()
            )),
            Verdict::Torn { .. } => self.find_corruption(damage.corruption.clone()),
            Verdict::Corrupt {
                corruption,
                last_block,
            } => {
                self.find_corruption(corruption);
                if last_block > damage.number {
                    let (first, last) = (damage.number, last_block);
                    self.report
                        .notes
                        .push(format!("blocks {first} to {last} are damaged or lost"));
                }
            }
        }
        Ok(())
    }

    fn find_ahead(&mut self, height: u64, witness: Option<Witness>) {
        if let Some(witness) = witness.filter(|witness| witness.height > height) {
            self.report.findings.push(Finding {
                kind: Kind::Follower,
                block: Some(height),
                file: None,
                offset: None,
                expected: format!("{} at height {height} at most", witness.follower),
                found: format!("height {}: it is ahead of the blocks", witness.height),
            });
        }
    }

    fn note_lag(&mut self, height: u64, savepoints: Option<&[(&'static str, u64, &Keyspace); 3]>) {
        for (follower, savepoint, _) in savepoints.into_iter().flatten() {
            if *savepoint < height {
                self.report.notes.push(format!(
                    "{follower} is at height {savepoint} of {height}: it will catch up at the next \
                     start"
                ));
            }
        }
    }

    fn find(&mut self, kind: Kind, stored: &Stored, (expected, found): (String, String)) {
        self.report.findings.push(Finding {
            kind,
            block: Some(stored.block.number),
            file: Some(self.segments.path(stored.location.segment)),
            offset: Some(stored.location.offset),
            expected,
            found,
        });
    }

    fn find_corruption(&mut self, corruption: Corruption) {
        self.report.findings.push(Finding {
            kind: Kind::Record,
            block: corruption.block,
            file: Some(corruption.file),
            offset: Some(corruption.offset),
            expected: corruption.expected,
            found: corruption.found,
        });
    }
}

fn codes(block: &Block) -> &[u8] {
    block
        .metadata
        .get(metadata_slot::TRANSACTIONS_FILTER)
        .map_or(&[], |codes| &codes[..])
}

fn furthest(savepoints: &[(&'static str, u64, &Keyspace); 3]) -> Option<Witness> {
    let (follower, height, _) = savepoints.iter().max_by_key(|(_, height, _)| *height)?;
    (*height > 0).then_some(Witness {
        follower,
        height: *height,
    })
}

/// Fabric's rule that an envelope is its own canonical encoding, so that where one envelope ends and
/// the next begins is beyond doubt: the data hash is taken without lengths between them.
fn envelope_objection(tx: usize, bytes: &bytes::Bytes) -> Option<(String, String)> {
    let expected = format!("transaction {tx} as a canonical envelope");
    let Some(canonical) = canonical_envelope(bytes) else {
        return Some((expected, "bytes that are no envelope".to_owned()));
    };
    if canonical == *bytes {
        return None;
    }
    let found = match bytes.len().checked_sub(canonical.len()) {
        Some(trailing) if trailing > 0 => format!("{trailing} trailing bytes"),
        _ => "another encoding".to_owned(),
    };
    Some((expected, found))
}

fn canonical_envelope(bytes: &bytes::Bytes) -> Option<bytes::Bytes> {
    Some(Envelope::decode(bytes.clone()).ok()?.encode_to_vec().into())
}
