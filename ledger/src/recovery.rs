//! Opening a ledger: commit, replayed.
//!
//! 1. Read the block files from the newest batch that the index knows (from the first, where it
//!    knows none) to their end, checking every record.
//! 2. What follows the last sound block is a torn batch, cut and reported, or corruption, refused
//!    with nothing changed. [`tail`] tells which.
//! 3. Write the last batch again in place and sync it. A killed process can leave bytes in the page
//!    cache that no sync covered; after this they are durable, and may be believed.
//! 4. Let each follower take in the blocks it missed, through the function that commit uses.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fjall::Database;
use parking_lot::RwLock;
use quire_disk::{Disk, replace_file};
use quire_wire::hash::Hash;

use crate::block_store::appender::Appender;
use crate::block_store::record::Seal;
use crate::block_store::scan::{Damage, Scan, Step};
use crate::block_store::segment::{Segments, file_name};
use crate::block_store::tail::{self, Verdict, Witness};
use crate::block_store::{BlockFiles, BlockStore};
use crate::damage::DamageMet;
use crate::derived::{self, DebugDatabase};
use crate::error::{Corruption, OpenError, ReadError};
use crate::follow::Followers;
use crate::followers::Follow;
use crate::followers::history::{HISTORY, History};
use crate::followers::index::{INDEX, Index};
use crate::followers::savepoint::Savepoint;
use crate::id_store::{ChannelRecord, Status, io_at};
use crate::in_flight::Behind;
use crate::ledger::Ledger;
use crate::model::location::{Location, Position};
use crate::observer::{Observed, Observer};
use crate::progress::ProgressFn;
use crate::query::registry::Registry;
use crate::replay::replay;
use crate::state::couchdb::client::Couch;
use crate::state::couchdb::{CouchState, Local};
use crate::state::fjall::{FjallState, STATE};
use crate::state::{self, StateDb};
use crate::view::{Shared, Tip, View};

/// Pauses between attempts to reach a state database when a channel is opened: each is twice the one
/// before, about two minutes in all.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(64);

/// How the names of files begin that hold what was cut.
pub(crate) const CUT_PREFIX: &str = "cut.";

/// A batch that was never acknowledged: cut, and kept beside the block files as
/// `cut.<block file>.from-byte-<offset>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CutTail {
    /// The block file that was cut.
    pub file: PathBuf,
    /// Where: the file's length now.
    pub offset: u64,
    /// How many bytes went.
    pub bytes: u64,
    /// The number that the next block will have.
    pub block: u64,
}

/// What opening a ledger found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// How many blocks there are.
    pub height: u64,
    /// A torn batch that was cut.
    pub cut: Option<CutTail>,
    /// How many blocks some follower had missed and took in.
    pub replayed: u64,
}

/// A channel's parts, before it is known whether they belong together.
pub(crate) struct Parts {
    disk: Arc<dyn Disk>,
    record: ChannelRecord,
    files: Arc<BlockFiles>,
    database: Database,
    index: Index,
    history: History,
    state: Arc<dyn StateDb>,
    /// All of them.
    followers: Vec<Arc<dyn Follow>>,
    registry: Registry,
    on_couchdb: bool,
}

/// What is believed of the blocks without reading them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Blocks below the index's newest are where it says.
    Index,
    Nothing,
}

/// How far each follower is.
#[derive(Default)]
struct Savepoints(Vec<(Arc<dyn Follow>, Savepoint)>);

impl Savepoints {
    /// The follower that has come furthest.
    fn witness(&self) -> Option<Witness> {
        let furthest = self
            .0
            .iter()
            .max_by_key(|(_, savepoint)| savepoint.height)?;
        let (follower, Savepoint { height, .. }) = furthest;
        (*height > 0).then_some(Witness {
            follower: follower.name(),
            height: *height,
        })
    }

    fn lowest(&self) -> u64 {
        self.heights().min().unwrap_or(0)
    }

    fn heights(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|(_, savepoint)| savepoint.height)
    }

    /// How far the index is.
    fn index(&self) -> u64 {
        let mut all = self.0.iter();
        let index = all.find(|(follower, _)| follower.name() == INDEX.name);
        index.map_or(0, |(_, savepoint)| savepoint.height)
    }
}

/// What is kept of the last block. Nothing that shares memory with what was read.
struct LastBlock {
    location: Location,
    seal: Option<Seal>,
    commit_hash: Option<Bytes>,
}

/// The block files, read to their end.
struct Chain {
    /// The end of the last sound block.
    tail: Position,
    segment_count: u64,
    height: u64,
    hash: Option<Hash>,
    last: Option<LastBlock>,
    /// Hashes of the blocks before savepoints, as far as they were read, with their heights.
    at_savepoints: Vec<(u64, Hash)>,
    /// Where the newest batch that began during the reading begins.
    batch_start: Option<(u64, Location)>,
    cut: Option<(CutTail, Position)>,
}

impl Parts {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        database: Database,
        record: ChannelRecord,
        observer: Arc<dyn Observer>,
        couch: Option<&Arc<Couch>>,
    ) -> Result<Self, OpenError> {
        let keyspace = |suffix| derived::keyspace(&database, &record.name, suffix);
        let registry = |entries| {
            let (disk, dir, database) = (Arc::clone(&disk), dir.clone(), database.clone());
            Registry::open(disk, dir, database, entries)
        };
        let (state, registry): (Arc<dyn StateDb>, _) = if let Some(couch) = couch {
            let local = derived::beside_couchdb(&database, &record.name)?;
            let entries = local.entries.clone();
            let state = open_patiently(couch, &record.name, &local)?;
            let registry = registry(entries)?;
            (
                Arc::new(state.with_indexes(Arc::clone(registry.builder()))),
                registry,
            )
        } else {
            let registry = registry(derived::query_entries(&database, &record.name)?)?;
            let state = keyspace(STATE.suffix)?;
            let state =
                FjallState::with_indexes(database.clone(), state, Arc::clone(registry.builder()));
            (Arc::new(state), registry)
        };
        let followers = derived::followers(&database, &record.name)?.into_iter();
        let followers = followers.map(|opened| -> Arc<dyn Follow> {
            if opened.kind == STATE {
                Arc::clone(&state) as _
            } else {
                opened.follower
            }
        });
        Ok(Self {
            index: Index::new(keyspace(INDEX.suffix)?),
            history: History::new(keyspace(HISTORY.suffix)?),
            followers: followers.collect(),
            files: Arc::new(BlockFiles::new(
                Arc::clone(&disk),
                dir,
                Observed::new(&record.name, observer),
            )),
            disk,
            state,
            registry,
            database,
            record,
            on_couchdb: couch.is_some(),
        })
    }

    /// Opens the ledger. Nothing is changed before it is known that no acknowledged block is damaged.
    pub(crate) fn open(
        self,
        progress: &mut ProgressFn<'_>,
    ) -> Result<(Ledger, OpenReport), OpenError> {
        let savepoints = self
            .savepoints()
            .map_err(|source| self.follow_error(source))?;
        let mut chain = match self.read_chain(&savepoints, Trust::Index) {
            Err(OpenError::Corrupt { .. } | OpenError::Ahead { .. }) => {
                // It may be the index that is wrong: the whole chain has the last word.
                self.read_chain(&savepoints, Trust::Nothing)?;
                let rule = "the blocks are sound, but not where it says";
                return Err(self.follow_error(ReadError::DerivedDamaged {
                    follower: "index",
                    what: "location",
                    rule,
                }));
            }
            other => other?,
        };
        if chain.height > 0 {
            self.identify_state()?;
        }
        self.identify_followers(&chain, &savepoints)?;
        self.cut_and_sync(&mut chain)?;
        let (tail, height) = (chain.tail, chain.height);
        let cut = chain.cut.take().map(|(cut, _)| cut);
        let on_couchdb = self.on_couchdb;
        // A channel that takes no transactions has no thread that would go on.
        let can_wait = !self.record.read_only;
        let (mut ledger, lowest) = self.into_ledger(&chain, &savepoints)?;
        let replayed = match replay(&ledger.followers, tail, lowest, height, progress) {
            Err(source @ ReadError::StateObstructed { .. }) if can_wait => {
                open_behind(&mut ledger, tail, source)
            }
            replayed => replayed,
        };
        let replayed = replayed.map_err(|source| OpenError::Follow {
            channel: ledger.shared.channel.clone(),
            on_couchdb,
            source,
        })?;
        let shared = &ledger.shared;
        let readers = Arc::downgrade(&ledger.followers);
        let builder = shared.registry.builder();
        let started = builder.start(&ledger.followers.state, readers);
        started.map_err(|source| OpenError::Follow {
            channel: shared.channel.clone(),
            on_couchdb,
            source,
        })?;
        Ok((
            ledger,
            OpenReport {
                height,
                cut,
                replayed,
            },
        ))
    }

    /// Makes sure that state is of this chain and not of another with the channel's name.
    fn identify_state(&self) -> Result<(), OpenError> {
        let genesis = first_hash(&self.files.segments, self.record.own_from());
        let Some(genesis) = genesis.map_err(|error| self.io_error(error))? else {
            return Ok(());
        };
        let identified = self.state.identify(&genesis);
        identified.map_err(|source| self.follow_error(source))
    }

    /// Makes sure that the followers followed this chain, as far as their savepoints say which, and not
    /// another with the same beginning.
    fn identify_followers(&self, chain: &Chain, savepoints: &Savepoints) -> Result<(), OpenError> {
        let view = self.database.snapshot();
        for (follower, savepoint) in &savepoints.0 {
            let Savepoint {
                height,
                last: Some(expected),
            } = *savepoint
            else {
                continue;
            };
            let mut read = chain.at_savepoints.iter();
            let is_of_chain = if let Some((_, hash)) = read.find(|(at, _)| *at == height) {
                *hash == expected
            } else {
                // Before what was read, which is behind what the index knows: the index is of this chain.
                let known = self.index.number_by_hash(&view, &expected);
                let known = known.map_err(|source| self.follow_error(source))?;
                known.is_some_and(|number| number + 1 == height)
            };
            if !is_of_chain {
                return Err(self.follow_error(follower.of_another_chain(height)));
            }
        }
        Ok(())
    }

    /// Reads every block from the first, and changes nothing.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`] or [`OpenError::Ahead`], as far as the followers can tell.
    pub(crate) fn verify(&self) -> Result<(), OpenError> {
        let savepoints = self.savepoints().unwrap_or_default();
        self.read_chain(&savepoints, Trust::Nothing).map(|_| ())
    }

    fn savepoints(&self) -> Result<Savepoints, ReadError> {
        let view = self.database.snapshot();
        let followers = self.followers.iter();
        let savepoints = followers.map(|follower| {
            let savepoint = follower.savepoint(&view)?;
            Ok((Arc::clone(follower), savepoint))
        });
        Ok(Savepoints(savepoints.collect::<Result<_, ReadError>>()?))
    }

    fn follow_error(&self, source: ReadError) -> OpenError {
        OpenError::Follow {
            channel: self.record.name.clone(),
            on_couchdb: self.on_couchdb,
            source,
        }
    }

    fn io_error(&self, source: std::io::Error) -> OpenError {
        io_at(self.files.segments.dir())(source)
    }

    /// Reads from what the index knows to the end, and judges what is there that is no block.
    fn read_chain(&self, savepoints: &Savepoints, trust: Trust) -> Result<Chain, OpenError> {
        let segments = &self.files.segments;
        let own_from = self.record.own_from();
        let count = segments.count().map_err(|error| self.io_error(error))?;
        let last_known = savepoints
            .witness()
            .map_or(0, |witness| witness.height.saturating_sub(1));
        let segment_count = count.map_err(|corruption| OpenError::Corrupt {
            channel: self.record.name.clone(),
            blocks: 0..=last_known,
            corruption: Box::new(corruption),
        })?;

        let newest = match trust {
            Trust::Index => self.newest_batch(savepoints.index()),
            Trust::Nothing => None,
        };
        let (from, number) = newest.unwrap_or((Position::START, 0));
        let mut scan = Scan::new(segments, segment_count, own_from, from, number, None);
        let mut last = None;
        let mut batch_start = None;
        let mut at_savepoints = Vec::new();
        let damage = loop {
            match scan.next().map_err(|error| self.io_error(error))? {
                Step::Block(stored) => {
                    let number = stored.block.number;
                    if savepoints.heights().any(|height| height == number + 1) {
                        at_savepoints.extend(scan.previous_hash().map(|hash| (number + 1, hash)));
                    }
                    if stored.seal.is_some_and(|seal| seal.batch_start == number) {
                        batch_start = Some((number, stored.location));
                    }
                    last = Some(LastBlock {
                        location: stored.location,
                        seal: stored.seal,
                        commit_hash: stored
                            .block
                            .commit_hash()
                            .map(|hash| Bytes::copy_from_slice(&hash)),
                    });
                }
                Step::End => break None,
                Step::Damaged(damage) => break Some(damage),
            }
        };
        let mut chain = Chain {
            tail: scan.position(),
            segment_count,
            height: scan.number(),
            hash: scan.previous_hash(),
            last,
            at_savepoints,
            batch_start,
            cut: None,
        };
        self.judge_end(&mut chain, damage, savepoints.witness())?;
        self.expect_blocks(&chain)?;
        Ok(chain)
    }

    /// A channel is only called active once its first blocks are durable.
    fn expect_blocks(&self, chain: &Chain) -> Result<(), OpenError> {
        let durable = self.record.durable_blocks();
        if self.record.status == Status::UnderConstruction || chain.height >= durable {
            return Ok(());
        }
        let file = self.files.segments.path(chain.tail.segment);
        let corruption = Corruption::no_beginning(file, chain.tail.offset, chain.height);
        Err(OpenError::Corrupt {
            channel: self.record.name.clone(),
            blocks: chain.height..=durable - 1,
            corruption: Box::new(corruption),
        })
    }

    /// What to do about the end of the block files: cut it, or refuse it.
    fn judge_end(
        &self,
        chain: &mut Chain,
        damage: Option<Damage>,
        witness: Option<Witness>,
    ) -> Result<(), OpenError> {
        let channel = || self.record.name.clone();
        let Some(damage) = damage else {
            let ahead = witness.filter(|witness| witness.height > chain.height);
            return ahead.map_or(
                Ok(()),
                |Witness {
                     follower,
                     height: savepoint,
                 }| {
                    let height = chain.height;
                    Err(OpenError::Ahead {
                        channel: channel(),
                        follower,
                        savepoint,
                        height,
                    })
                },
            );
        };
        let (segments, own_from) = (&self.files.segments, self.record.own_from());
        let verdict = tail::judge(segments, chain.segment_count, own_from, &damage, witness);
        match verdict.map_err(|error| self.io_error(error))? {
            Verdict::Corrupt {
                corruption,
                last_block,
            } => Err(OpenError::Corrupt {
                channel: channel(),
                blocks: damage.number..=last_block,
                corruption: Box::new(corruption),
            }),
            Verdict::Torn { bytes } => {
                let (file, offset) = (damage.corruption.file, damage.at.offset);
                let cut = CutTail {
                    file,
                    offset,
                    bytes,
                    block: damage.number,
                };
                chain.cut = Some((cut, damage.at));
                Ok(())
            }
        }
    }

    /// Where the batch of the newest block that the index knows begins, and with which block. `None`
    /// where the index cannot say: the block files are read from their beginning then.
    fn newest_batch(&self, savepoint: u64) -> Option<(Position, u64)> {
        let view = self.database.snapshot();
        let number = savepoint.checked_sub(1)?;
        let newest = self.index.location(&view, number).ok()??;
        let (_, seal) = self.files.read_record(number, newest).ok()?;
        let first = seal.map_or(number, |seal| seal.batch_start);
        let Location {
            segment, offset, ..
        } = self.index.location(&view, first).ok()??;
        Some((Position { segment, offset }, first))
    }

    /// Cuts a torn batch, and makes sure that what is left is durable.
    fn cut_and_sync(&self, chain: &mut Chain) -> Result<(), OpenError> {
        let segments = &self.files.segments;
        let synced = (|| {
            if let Some((cut, at)) = &chain.cut {
                let file = segments.file(at.segment)?;
                self.keep_aside(cut, at.segment)?;
                file.set_len(cut.offset)?;
                file.sync_data()?;
            }
            if let Some(LastBlock {
                location,
                seal: Some(seal),
                ..
            }) = &chain.last
            {
                let start = chain
                    .batch_start
                    // A batch never crosses a segment; a seal that says so is not to be believed.
                    .filter(|(number, at)| {
                        *number == seal.batch_start && at.segment == location.segment
                    })
                    .map_or(*location, |(_, location)| location);
                self.write_again(start, location.end())?;
            }
            if chain.segment_count > 0 {
                segments.sync_dir()
            } else {
                Ok(())
            }
        })();
        synced.map_err(|error| self.io_error(error))
    }

    /// Copies what is about to be cut into a file beside the block files, durable on return: should
    /// the verdict be wrong, nothing is lost.
    fn keep_aside(&self, cut: &CutTail, segment: u64) -> std::io::Result<()> {
        let segments = &self.files.segments;
        let len = usize::try_from(cut.bytes).map_err(std::io::Error::other)?;
        let mut bytes = vec![0; len];
        segments
            .file(segment)?
            .read_exact_at(&mut bytes, cut.offset)?;
        // Zeros are no loss.
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let name = format!(
            "{CUT_PREFIX}{}.from-byte-{}",
            file_name(segment),
            cut.offset
        );
        replace_file(self.disk.as_ref(), &segments.dir().join(name), &bytes)
            .map_err(|error| error.source)
    }

    /// Writes the bytes of the last batch over themselves, and syncs them: a page that a failed or
    /// missing sync left clean in memory but absent on disk becomes dirty, and is written.
    fn write_again(&self, start: Location, end: Position) -> std::io::Result<()> {
        let file = self.files.segments.file(end.segment)?;
        let len = end.offset.saturating_sub(start.offset);
        let mut bytes = vec![0; usize::try_from(len).map_err(std::io::Error::other)?];
        file.read_exact_at(&mut bytes, start.offset)?;
        file.write_all_at(&bytes, start.offset)?;
        file.sync_data()
    }

    fn into_ledger(
        self,
        chain: &Chain,
        savepoints: &Savepoints,
    ) -> Result<(Ledger, u64), OpenError> {
        let lowest = savepoints.lowest().min(chain.height);
        let tip = Tip {
            height: chain.height,
            hash: chain.hash.unwrap_or_default(),
            commit_hash: chain
                .last
                .as_ref()
                .and_then(|last| last.commit_hash.clone()),
        };
        let state = self
            .state
            .snapshot()
            .map_err(|source| self.follow_error(source))?;
        let view = View {
            tip: tip.clone(),
            state,
            derived: self.database.snapshot(),
        };
        let own_from = self.record.own_from();
        let tail_exists = chain.tail.segment < chain.segment_count;
        let store = BlockStore::new(
            Arc::clone(&self.files),
            self.record.segment_bytes,
            chain.tail,
            tail_exists,
        );
        let files = Arc::clone(&self.files);
        let shared = Arc::new(Shared {
            channel: self.record.name,
            files: self.files,
            index: self.index,
            history: self.history,
            registry: self.registry,
            own_from,
            damage: DamageMet::default(),
            view: RwLock::new(Arc::new(view)),
        });
        let others = self.followers.into_iter();
        let others = others.filter(|follower| follower.name() != state::NAME);
        let followers = Arc::new(Followers {
            shared,
            database: DebugDatabase(self.database),
            state: self.state,
            others: others.collect(),
        });
        let ledger = Appender::start(store)
            .and_then(|appender| Ledger::new(appender, followers, tip))
            .map_err(io_at(files.segments.dir()))?;
        Ok((ledger, lowest))
    }
}

/// Opens a ledger whose state cannot take in all blocks, because somebody else's database is in the
/// way: it is read as far as state is, and goes on when the way is free. How many blocks were replayed
/// cannot be said; that none was is no lie that anybody acts on. Where state has nothing at all, there
/// is nothing to read.
fn open_behind(ledger: &mut Ledger, end: Position, source: ReadError) -> Result<u64, ReadError> {
    let height = ledger.tip().0;
    let followers = &ledger.followers;
    let view = followers.database.0.snapshot();
    let savepoint = followers.state.savepoint(&view)?.height;
    let mut have_followed = true;
    for follower in &followers.others {
        have_followed &= follower.savepoint(&view)?.height >= savepoint;
    }
    let last = savepoint.checked_sub(1).filter(|_| have_followed);
    let Some(last) = last else {
        return Err(source);
    };
    let last = ledger.reader().block(last)?;
    let last = last.ok_or_else(|| ReadError::Missing(format!("block {savepoint}")))?;
    ledger.followers.publish_at(Tip {
        height: savepoint,
        hash: last.hash(),
        commit_hash: last.commit_hash(),
    })?;
    let reason = source.to_string();
    tracing::error!(
        channel = ledger.shared.channel,
        reason,
        blocks = height - savepoint,
        "blocks wait for the state database"
    );
    ledger.fall_behind(Behind {
        end,
        height,
        reason,
    });
    Ok(0)
}

/// Hash of the first block, where it is sound.
pub(crate) fn first_hash(segments: &Segments, own_from: u64) -> std::io::Result<Option<Hash>> {
    let mut scan = Scan::new(segments, 1, own_from, Position::START, 0, None);
    Ok(match scan.next()? {
        Step::Block(stored) => Some(stored.block.hash()),
        Step::End | Step::Damaged(_) => None,
    })
}

/// Begins with what CouchDB has of a channel, as soon as it can be asked.
fn open_patiently(
    couch: &Arc<Couch>,
    channel: &str,
    local: &Local,
) -> Result<CouchState, OpenError> {
    let mut pause = FIRST_PAUSE;
    loop {
        match CouchState::open(Arc::clone(couch), channel, local.clone()) {
            Ok(state) => return Ok(state),
            // Who is refused has to be mended by somebody: to wait would say nothing, and to try again
            // could lock the account.
            Err(source @ ReadError::StateUnavailable(_)) if pause <= LAST_PAUSE => {
                tracing::warn!(channel, %source, "waiting for the state database");
                std::thread::sleep(pause);
                pause *= 2;
            }
            Err(source) => {
                return Err(OpenError::Follow {
                    channel: channel.to_owned(),
                    on_couchdb: true,
                    source,
                });
            }
        }
    }
}
