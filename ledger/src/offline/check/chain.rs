//! One check under way: the blocks in order, and what follows from them.

use std::path::Path;

use quire_wire::common::metadata_slot;
use quire_wire::hash::Hash;

use super::damaged::Met;
use super::followers::{Live, Replayed};
use super::report::{CheckError, Depth, Finding, Kind, Report};
use super::resume::{Next, Search};
use super::verdicts::{Court, Objection};
use super::{form, remote};
use crate::base::Extent;
use crate::block_store::scan::{Scan, Step, Stored, data_hash_objection, previous_hash_objection};
use crate::block_store::segment::Segments;
use crate::commit_hash;
use crate::error::{OpenError, ReadError};
use crate::id_store::ChannelRecord;
use crate::model::block::Block;
use crate::model::examined::Content;
use crate::model::location::{Location, Position};
use crate::progress::{Progress, ProgressFn};
use crate::replay::{Parsed, replay_batch};
use crate::state::StateDb as _;
use crate::state::engine::Place;

/// Bytes of blocks that are replayed as one batch.
const BATCH_BYTES: u64 = 4 << 20;

/// The most findings of a report that are listed; the rest are counted.
const MAX_FINDINGS: usize = 1000;

/// One check under way.
pub(super) struct Check<'a> {
    pub(super) segments: &'a Segments,
    pub(super) extent: Extent,
    /// How many blocks the channel was made with.
    pub(super) durable: u64,
    pub(super) report: Report,
    /// Whether a node judges and orders by the channel's configuration.
    takes_transactions: bool,
    /// The newest configuration, and the number of its block.
    config: Option<(u64, bytes::Bytes)>,
    /// Whether the content that follows from the blocks so far is certain.
    is_replayable: bool,
    previous_hash: Option<Hash>,
    commit_hash: Option<bytes::Bytes>,
    /// Everything that the blocks say, according to replay.
    replayed: Replayed,
    depth: Depth,
    court: Court,
}

/// The blocks that are read so far.
struct Reading<'a> {
    scan: Scan<'a>,
    /// Blocks that are read but not replayed yet.
    batch: Vec<Stored>,
    batch_bytes: u64,
    /// The bytes that are read, and all bytes.
    done: u64,
    total: u64,
    /// The height at which to end, if not at the end of the files.
    height: Option<u64>,
    /// The heights of followers.
    stops: Vec<u64>,
    /// The first damaged block.
    first_gap: Option<u64>,
}

impl<'a> Check<'a> {
    pub(super) fn new(
        segments: &'a Segments,
        record: Option<&ChannelRecord>,
        subject: String,
        scratch: &Path,
        depth: Depth,
    ) -> Result<Self, OpenError> {
        let extent = record.map_or(Extent::FOREIGN, ChannelRecord::extent);
        Ok(Self {
            segments,
            extent,
            durable: record.map_or(0, ChannelRecord::durable_height),
            takes_transactions: record.is_some_and(|record| !record.read_only),
            config: None,
            report: Report {
                subject,
                ..Report::default()
            },
            is_replayable: true,
            previous_hash: extent.previous_hash(),
            commit_hash: extent.previous_commit_hash(),
            replayed: Replayed::new(scratch)?,
            depth,
            court: Court::new(depth, record.is_some_and(|record| record.blocks_only)),
        })
    }

    /// Reads to `height`, or to the end of the files, where it judges bytes that are not a block. After
    /// damage it goes on with the next sound block.
    pub(super) fn run(
        mut self,
        live: Option<&Live>,
        height: Option<u64>,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Report, CheckError> {
        let files = match self.segments.numbers() {
            Ok(files) => files,
            Err(error) => {
                self.find_unreadable(self.segments.dir().to_owned(), &error);
                return Ok(self.finish());
            }
        };
        let total = self.total_bytes(&files);
        let mut search = Search::new(
            self.segments,
            files,
            self.extent.own_from,
            live.map(Live::index),
        );
        let mut stops: Vec<u64> = live
            .iter()
            .flat_map(|live| live.savepoints())
            .map(|(_, savepoint)| savepoint)
            .collect();
        stops.sort_unstable();
        let number = self.extent.first();
        self.compare_at(number, live)?;
        let at = Position::START;
        let start = Next { at, number };
        let mut reading = Reading {
            scan: self.scan_from(&search, start),
            batch: Vec::new(),
            batch_bytes: 0,
            done: 0,
            total,
            height,
            stops,
            first_gap: None,
        };
        let mut is_at_end = true;
        while let Some(met) = self.read_on(&mut reading, &search, live, progress)? {
            self.replay(std::mem::take(&mut reading.batch))?;
            reading.batch_bytes = 0;
            reading.first_gap.get_or_insert(met.number());
            let next = self.judge(met, &mut search, live);
            let Some(next) = next.filter(|next| height.is_none_or(|height| next.number < height))
            else {
                is_at_end = false;
                break;
            };
            // The parent of the next block is not known.
            self.previous_hash = None;
            reading.scan = self.scan_from(&search, next);
        }
        self.replay(std::mem::take(&mut reading.batch))?;
        let whole = reading.first_gap.unwrap_or(reading.scan.number());
        if is_at_end {
            let (height, end) = (reading.scan.number(), reading.scan.position());
            self.find_ahead(height, end, live.and_then(Live::witness));
        }
        self.expect_beginning(whole, reading.scan.position());
        if let Some((number, config)) = self.config.take().filter(|_| self.takes_transactions) {
            self.expect_usable(number, config);
        }
        self.note_lag(reading.scan.number(), live);
        match live.map(|live| &live.place) {
            Some(Place::Away(url, reason)) => self.not_seen(url, reason),
            Some(Place::Unknown(_)) => self.report.notes.push(
                "state is on CouchDB and was not looked at: --state couchdb and --couchdb-url say \
                 where it is"
                    .to_owned(),
            ),
            Some(Place::Embedded | Place::Remote(..)) | None => (),
        }
        self.tell(reading.done, reading.done, progress);
        Ok(self.finish())
    }

    /// Reads sound blocks to the height or the end, or to damage.
    fn read_on(
        &mut self,
        reading: &mut Reading<'_>,
        search: &Search<'_>,
        live: Option<&Live>,
        progress: &mut ProgressFn<'_>,
    ) -> Result<Option<Met>, CheckError> {
        loop {
            let number = reading.scan.number();
            if reading.height.is_some_and(|height| number >= height) {
                return Ok(None);
            }
            match reading.scan.next() {
                Ok(Step::Block(stored)) => {
                    self.check_block(&stored);
                    if reading.first_gap.is_some() {
                        self.compare_with_index(&stored, live)?;
                    }
                    reading.done += stored.location.len;
                    reading.batch_bytes += stored.location.len;
                    reading.batch.push(*stored);
                }
                Ok(Step::End) => return Ok(Met::gap(&reading.scan, search)),
                Ok(Step::Damaged(damage)) => return Ok(Some(Met::Damage(damage))),
                Err(error) => return Ok(Some(Met::unreadable(&reading.scan, &error))),
            }
            let number = reading.scan.number();
            if reading.batch_bytes >= BATCH_BYTES || reading.stops.contains(&number) {
                self.replay(std::mem::take(&mut reading.batch))?;
                reading.batch_bytes = 0;
                self.compare_at(number, live)?;
                self.tell(reading.done, reading.total.max(reading.done + 1), progress);
            }
        }
    }

    fn scan_from(&self, search: &Search<'_>, next: Next) -> Scan<'a> {
        let Next { at, number } = next;
        let count = search.count_without_gap(at.segment);
        Scan::new(self.segments, count, self.extent.own_from, at, number, None)
            .without_hash_checks()
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
        if self.depth.signatures && self.extent.base.is_some() {
            let note = "the configuration that the chain begins with is not in its blocks: signatures \
                        before the first that is were not looked at";
            self.report.notes.push(note.to_owned());
        }
        self.report.notes.extend(self.court.notes());
        let (signatures, verdicts) = (self.court.signatures, self.court.verdicts);
        self.report.signatures = self.depth.signatures.then_some(signatures);
        self.report.verdicts = self.depth.verdicts.then_some(verdicts);
        self.report
    }

    /// The sum is for the display of progress: a file that cannot be measured is reported when it is read.
    fn total_bytes(&self, files: &[u64]) -> u64 {
        let length = |segment: &u64| self.segments.file(*segment)?.len();
        files
            .iter()
            .map(|segment| length(segment).unwrap_or(0))
            .sum()
    }

    /// Checks everything that a block must be by itself and as the child of the block before.
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
        for objection in form::objections(block) {
            self.find(Kind::Envelope, block.number, *location, objection);
        }
        // What the data hash covers is certain only if every envelope is canonical.
        let canonical = form::canonical(block);
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
        // The consequences of damaged blocks are not reported. A wrong verdict or signature does not damage a
        // block.
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
            // A chain may begin without commit hashes, but later blocks must not lose them.
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
        for durable in &durable.blocks {
            let configs = durable
                .transactions
                .iter()
                .filter_map(|transaction| match &transaction.content {
                    Content::Config(config) => Some(config.clone()),
                    Content::Endorsed(_) | Content::Other => None,
                });
            let newest = configs.last().map(|config| (durable.block.number, config));
            self.config = newest.or(self.config.take());
        }
        Ok(())
    }

    /// The channel's name in its blocks, if the first block can be read.
    pub(super) fn channel(&self) -> String {
        match &*self.court.channel {
            "" => self.report.subject.clone(),
            name => name.to_owned(),
        }
    }

    pub(super) fn is_replayable(&self) -> bool {
        self.is_replayable
    }

    /// Adds a finding to the report.
    pub(super) fn tell_finding(&mut self, finding: Finding) {
        self.is_replayable &= matches!(
            finding.kind,
            Kind::Signature | Kind::Verdict | Kind::Config | Kind::Follower | Kind::File
        );
        if self.report.findings.len() < MAX_FINDINGS {
            self.report.findings.push(finding);
        } else {
            self.report.more += 1;
        }
    }

    /// Compares the followers whose savepoint is `height` with the replay.
    fn compare_at(&mut self, height: u64, live: Option<&Live>) -> Result<(), CheckError> {
        let Some(live) = live.filter(|_| self.is_replayable()) else {
            return Ok(());
        };
        let (findings, notes) = self.replayed.compare(live, height)?;
        for finding in findings {
            self.tell_finding(finding);
        }
        self.report.notes.extend(notes);
        if let Place::Remote(server, view) = &live.place
            && view.height() == height
        {
            match remote::compare(view.as_ref(), self.replayed.state.snapshot()?.as_ref()) {
                Ok((findings, notes)) => {
                    for finding in findings {
                        self.tell_finding(finding);
                    }
                    self.report.notes.extend(notes);
                }
                Err(reason) if reason.is_unavailable() => self.not_seen(server, &reason),
                Err(other) => return Err(other.into()),
            }
        }
        Ok(())
    }

    fn not_seen(&mut self, url: &str, reason: &ReadError) {
        let unseen = format!("state on CouchDB at {url}: {reason}");
        self.report.unseen.push(unseen);
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

    pub(super) fn find(
        &mut self,
        kind: Kind,
        block: u64,
        at: Location,
        (expected, found): (String, String),
    ) {
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
        self.tell_finding(Finding {
            block: Some(block),
            file: Some(self.segments.path(at.segment)),
            offset: Some(at.offset),
            transaction,
            transaction_id: transaction_id.flatten(),
            ..Finding::new(kind, expected, found)
        });
    }
}

fn codes(block: &Block) -> &[u8] {
    block
        .metadata
        .get(metadata_slot::TRANSACTIONS_FILTER)
        .map_or(&[], |codes| &codes[..])
}
