//! One check under way: the blocks in order, and what they lead to.

use std::path::Path;

use quire_wire::common::{Envelope, metadata_slot};
use quire_wire::{Message as _, hash::Hash};

use super::followers::{Live, Place, Replayed};
use super::verdicts::{Court, Objection};
use super::{CheckError, Depth, Finding, Kind, Report};
use crate::block::Block;
use crate::block_store::scan::{
    Damage, Scan, Step, Stored, data_hash_objection, previous_hash_objection,
};
use crate::block_store::segment::{Location, Position, Segments};
use crate::block_store::tail::{self, Verdict, Witness};
use crate::commit_hash;
use crate::error::{Corruption, OpenError, ReadError};
use crate::progress::{Progress, ProgressFn};
use crate::replay::{Parsed, replay_batch};
use crate::state::StateDb as _;

/// Bytes of blocks that are replayed as one batch.
const BATCH_BYTES: u64 = 4 << 20;

/// One check under way.
pub(super) struct Check<'a> {
    segments: &'a Segments,
    own_from: u64,
    report: Report,
    previous_hash: Option<Hash>,
    commit_hash: Option<bytes::Bytes>,
    /// Everything that the blocks say, as replay gives it.
    replayed: Replayed,
    depth: Depth,
    court: Court,
}

impl<'a> Check<'a> {
    pub(super) fn new(
        segments: &'a Segments,
        own_from: u64,
        subject: String,
        scratch: &Path,
        depth: Depth,
    ) -> Result<Self, OpenError> {
        Ok(Self {
            segments,
            own_from,
            report: Report {
                subject,
                ..Report::default()
            },
            previous_hash: None,
            commit_hash: None,
            replayed: Replayed::new(scratch)?,
            depth,
            court: Court::new(depth),
        })
    }

    /// Reads to `height`, or to the end of the files, where it judges what is no block.
    pub(super) fn run(
        mut self,
        live: Option<&Live>,
        height: Option<u64>,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Report, CheckError> {
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
        let (segments, own_from) = (self.segments, self.own_from);
        let scan = Scan::new(segments, segment_count, own_from, Position::START, 0, None);
        let mut scan = scan.without_hash_checks();
        let mut stops: Vec<u64> = live
            .iter()
            .flat_map(|live| live.savepoints())
            .map(|(_, savepoint)| savepoint)
            .collect();
        stops.sort_unstable();
        self.compare_at(0, live)?;
        let mut batch = Vec::new();
        let mut batch_bytes = 0;
        let damage = loop {
            if height == Some(scan.number()) {
                break None;
            }
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
                self.compare_at(scan.number(), live)?;
                self.tell(done, total.max(done + 1), progress);
            }
        };
        self.replay(batch)?;
        let witness = live.and_then(Live::witness);
        match damage {
            Some(damage) => self.judge_damage(&damage, segment_count, live.is_some(), witness)?,
            None => self.find_ahead(scan.number(), witness),
        }
        self.note_lag(scan.number(), live);
        match live.map(|live| &live.place) {
            Some(Place::Away(url, reason)) => self.not_seen(url, reason),
            Some(Place::Unknown(_)) => self.report.notes.push(
                "state is on CouchDB and was not looked at: --state couchdb and --couchdb-url say \
                 where it is"
                    .to_owned(),
            ),
            Some(Place::Embedded | Place::Remote(_)) | None => (),
        }
        self.tell(done, done, progress);
        Ok(self.finish())
    }

    fn tell(&self, done: u64, total: u64, progress: &mut ProgressFn<'_>) {
        progress(Progress {
            stage: "checking bytes",
            subject: &self.report.subject,
            done,
            total,
        });
    }

    fn finish(mut self) -> Report {
        if self.depth != Depth::default() && !self.is_replayable() {
            let note = "signatures and verdicts from the first damage on were not looked at";
            self.report.notes.push(note.to_owned());
        }
        self.report.notes.extend(self.court.notes());
        let (signatures, verdicts) = (self.court.signatures, self.court.verdicts);
        self.report.signatures = self.depth.signatures.then_some(signatures);
        self.report.verdicts = self.depth.verdicts.then_some(verdicts);
        self.report
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
        let Stored {
            block, location, ..
        } = stored;
        self.report.blocks += 1;
        self.report.transactions += block.envelopes.len() as u64;
        let hash = self.previous_hash.replace(block.hash());
        let objection = hash.and_then(|hash| previous_hash_objection(block, &hash));
        if let Some(objection) = objection {
            self.find(Kind::PreviousHash, block.number, *location, objection);
        }
        for (tx, envelope) in block.envelopes.iter().enumerate() {
            if let Some(objection) = envelope_objection(tx, envelope) {
                self.find(Kind::Envelope, block.number, *location, objection);
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
            self.find(Kind::DataHash, block.number, *location, objection);
        }
        let codes = codes(block).len();
        if codes != block.envelopes.len() {
            let expected = format!("{} validation codes", block.envelopes.len());
            let objection = (expected, codes.to_string());
            self.find(Kind::Codes, block.number, *location, objection);
        }
    }

    /// Replays blocks into the scratch engine, and compares their commit hashes.
    fn replay(&mut self, batch: Vec<Stored>) -> Result<(), CheckError> {
        // What follows from damaged blocks is no news. A wrong verdict or signature damages none.
        if batch.is_empty() || !self.is_replayable() {
            return Ok(());
        }
        let heard = self.court.hear(&batch, &self.replayed)?;
        for (position, objection) in heard {
            if let Some(stored) = batch.get(position) {
                self.find_objection(stored.block.number, stored.location, objection);
            }
        }
        let sealed: Vec<bool> = batch.iter().map(|stored| stored.seal.is_some()).collect();
        let batch = batch.into_iter().map(Parsed::new).collect();
        let mut previous = self.commit_hash.clone();
        let mut expected = Vec::with_capacity(sealed.len());
        let durable = replay_batch(&self.replayed.state, batch, |block, updates| {
            let codes = codes(block);
            let next = commit_hash::next(block.number, codes, updates, previous.as_deref());
            expected.push(next);
            previous = block.commit_hash();
        })?;
        let blocks = durable.blocks.iter().zip(expected).zip(sealed);
        for ((durable, expected), sealed) in blocks {
            let block = &durable.block;
            let found = block.commit_hash();
            // A chain may begin without commit hashes, never go on without.
            let begins_without = block.number == 1 && found.is_none() && !sealed;
            let expected = expected.filter(|_| !begins_without);
            if expected.as_ref().map(|hash| &hash[..]) != found.as_deref() {
                let text = |hash: Option<&[u8]>| hash.map_or("none".to_owned(), hex::encode);
                let expected = text(expected.as_ref().map(|hash| &hash[..]));
                let objection = (format!("commit hash {expected}"), text(found.as_deref()));
                self.find(Kind::CommitHash, block.number, durable.location, objection);
                break;
            }
            self.commit_hash = found;
        }
        self.replayed.apply(&durable)?;
        Ok(())
    }

    fn is_replayable(&self) -> bool {
        let harmless = |kind| {
            matches!(
                kind,
                Kind::Signature | Kind::Verdict | Kind::Config | Kind::Follower
            )
        };
        let mut findings = self.report.findings.iter();
        findings.all(|finding| harmless(finding.kind))
    }

    /// Compares the followers whose savepoint is `height` with what replay gives.
    fn compare_at(&mut self, height: u64, live: Option<&Live>) -> Result<(), CheckError> {
        let Some(live) = live.filter(|_| self.is_replayable()) else {
            return Ok(());
        };
        let (findings, notes) = self.replayed.compare(live, height)?;
        self.report.findings.extend(findings);
        self.report.notes.extend(notes);
        if let Place::Remote(remote) = &live.place
            && remote.view.height() == height
        {
            match remote.compare(self.replayed.state.snapshot()?.as_ref()) {
                Ok((findings, notes)) => {
                    self.report.findings.extend(findings);
                    self.report.notes.extend(notes);
                }
                Err(reason) if reason.is_unavailable() => self.not_seen(&remote.url, &reason),
                Err(other) => return Err(other.into()),
            }
        }
        Ok(())
    }

    fn not_seen(&mut self, url: &str, reason: &ReadError) {
        let unseen = format!("state on CouchDB at {url}: {reason}");
        self.report.unseen.push(unseen);
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
                transaction: None,
                transaction_id: None,
                expected: format!("{} at height {height} at most", witness.follower),
                found: format!("height {}: it is ahead of the blocks", witness.height),
            });
        }
    }

    fn note_lag(&mut self, height: u64, live: Option<&Live>) {
        for (name, savepoint) in live.iter().flat_map(|live| live.savepoints()) {
            if savepoint < height {
                self.report.notes.push(format!(
                    "{name} is at height {savepoint} of {height}: it will catch up at the next start"
                ));
            }
        }
    }

    fn find(&mut self, kind: Kind, block: u64, at: Location, (expected, found): (String, String)) {
        let objection = Objection {
            kind,
            transaction: None,
            expected,
            found,
        };
        self.find_objection(block, at, objection);
    }

    fn find_objection(&mut self, block: u64, at: Location, objection: Objection) {
        let Objection {
            kind,
            transaction,
            expected,
            found,
        } = objection;
        let (transaction, transaction_id) = transaction.unzip();
        self.report.findings.push(Finding {
            kind,
            block: Some(block),
            file: Some(self.segments.path(at.segment)),
            offset: Some(at.offset),
            transaction,
            transaction_id: transaction_id.flatten(),
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
            transaction: None,
            transaction_id: None,
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
