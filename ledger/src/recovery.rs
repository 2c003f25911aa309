//! Opens a ledger: this is commit, replayed.
//!
//! 1. Read the block files from the newest batch that the index knows (from the first block, if it knows
//!    none) to their end, and check every record.
//! 2. What follows the last sound block is a torn batch, which is cut and reported, or corruption, which is
//!    refused without any change. [`tail`](crate::block_store::tail) tells which.
//! 3. Write the last batch again in place and sync it. A killed process can leave bytes in the page cache
//!    that no sync covered; after this they are durable, and can be trusted.
//! 4. Let each follower take in the blocks that it missed, through the function that commit uses.

use std::path::PathBuf;
use std::sync::Arc;

use fjall::Database;
use parking_lot::RwLock;
use quire_disk::Disk;

use crate::block_store::appender::Appender;
use crate::block_store::scan::identity;
use crate::block_store::{BlockFiles, BlockStore};
use crate::chain::{Chain, CutTail};
use crate::damage::DamageMet;
use crate::derived;
use crate::error::{OpenError, ReadError};
use crate::follow::Followers;
use crate::followers::Follow;
use crate::followers::history::{HISTORY, History};
use crate::followers::index::{INDEX, Index};
use crate::followers::savepoint::Savepoint;
use crate::followers::savepoints::Savepoints;
use crate::id_store::{ChannelRecord, io_at};
use crate::in_flight::Behind;
use crate::keyspaces::{DebugDatabase, keyspace};
use crate::ledger::Ledger;
use crate::model::location::{Location, Position};
use crate::observer::{Observed, Observer};
use crate::private_sets::PrivateSets;
use crate::progress::ProgressFn;
use crate::query::registry::Registry;
use crate::replay::replay;
use crate::state::engine::Engine;
use crate::state::engines::STATE;
use crate::state::{self, StateDb};
use crate::view::{Shared, Tip, View};

/// What opening a ledger found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// How many blocks there are.
    pub height: u64,
    /// A torn batch that was cut.
    pub cut: Option<CutTail>,
    /// How many blocks were missing in some follower and were taken in.
    pub replayed: u64,
}

/// The parts of a channel that is being opened, before it is known whether they belong together.
pub(crate) struct Opening {
    disk: Arc<dyn Disk>,
    record: ChannelRecord,
    files: Arc<BlockFiles>,
    database: Database,
    index: Index,
    history: History,
    state: Arc<dyn StateDb>,
    /// All followers.
    followers: Vec<Arc<dyn Follow>>,
    registry: Registry,
    on_couchdb: bool,
}

/// What is trusted about the blocks without reading them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Blocks before the index's newest block are where the index says.
    Index,
    Nothing,
}

impl Opening {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        database: Database,
        record: ChannelRecord,
        observer: Arc<dyn Observer>,
        engine: &dyn Engine,
    ) -> Result<Self, OpenError> {
        let (state, registry) = engine.open_channel(&record.name, &|entries| {
            let (disk, dir, database) = (Arc::clone(&disk), dir.clone(), database.clone());
            Registry::open(disk, dir, database, entries)
        })?;
        let keyspace = |suffix| keyspace(&database, &record.name, suffix);
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
            on_couchdb: engine.is_remote(),
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
                // The index may be wrong: the whole chain decides.
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
        chain.cut_and_sync(self.disk.as_ref(), &self.files.segments)?;
        let (tail, height) = (chain.tail, chain.height);
        let cut = chain.cut.take().map(|(cut, _)| cut);
        let on_couchdb = self.on_couchdb;
        // A channel that takes no transactions has no thread that would continue.
        let can_wait = !self.record.read_only;
        let (mut ledger, lowest) = self.into_ledger(&chain, &savepoints)?;
        let replayed = match replay(&ledger.followers, tail, lowest, height, progress) {
            Err(source @ ReadError::StateObstructed { .. }) if can_wait => {
                open_behind(&mut ledger, tail, source)
            }
            replayed => replayed,
        };
        let replayed = replayed.and_then(|replayed| {
            check_index(&ledger.shared)?;
            Ok(replayed)
        });
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

    /// Makes sure that state belongs to this chain, and not to another chain with the channel's name.
    fn identify_state(&self) -> Result<(), OpenError> {
        let genesis = identity(&self.files.segments, &self.record.extent());
        let Some(genesis) = genesis.map_err(|error| self.io_error(error))? else {
            return Ok(());
        };
        let identified = self.state.identify(&genesis);
        identified.map_err(|source| self.follow_error(source))
    }

    /// Makes sure, as far as savepoints can tell, that the followers followed this chain, and not another one
    /// with the same beginning.
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
                // This block is before those that were read, which begin where the index's knowledge ends:
                // the index is of this chain.
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

    /// The chain as an opening would keep it. Changes nothing.
    pub(crate) fn chain(&self) -> Result<Chain, OpenError> {
        let savepoints = self.savepoints().unwrap_or_default();
        match self.read_chain(&savepoints, Trust::Index) {
            Err(OpenError::Corrupt { .. } | OpenError::Ahead { .. }) => {
                // The index may be wrong.
                self.read_chain(&savepoints, Trust::Nothing)
            }
            other => other,
        }
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

    /// Reads the block files after the part that is trusted.
    fn read_chain(&self, savepoints: &Savepoints, trust: Trust) -> Result<Chain, OpenError> {
        let newest = match trust {
            Trust::Index => self.newest_batch(savepoints.index()),
            Trust::Nothing => None,
        };
        Chain::read(&self.files.segments, &self.record, newest, savepoints)
    }

    fn io_error(&self, source: std::io::Error) -> OpenError {
        io_at(self.files.segments.dir())(source)
    }

    /// The place and the first block of the batch with the newest block that the index knows. `None` if the
    /// index cannot say: then the block files are read from their beginning.
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

    fn into_ledger(
        self,
        chain: &Chain,
        savepoints: &Savepoints,
    ) -> Result<(Ledger, u64), OpenError> {
        let extent = self.record.extent();
        let lowest = savepoints.lowest().min(chain.height).max(extent.first());
        let tip = Tip {
            height: chain.height,
            hash: chain.hash.unwrap_or_default(),
            commit_hash: chain.last.as_ref().map_or_else(
                || extent.previous_commit_hash(),
                |last| last.commit_hash.clone(),
            ),
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
            private_sets: PrivateSets::new(self.disk, files.segments.dir()),
            extent,
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
            .and_then(|appender| Ledger::new(appender, followers, tip, self.record.blocks_only))
            .map_err(io_at(files.segments.dir()))?;
        Ok((ledger, lowest))
    }
}

/// Makes sure that the index knows the newest block that reads see: otherwise it is not this channel's index.
fn check_index(shared: &Shared) -> Result<(), ReadError> {
    let view = Arc::clone(&shared.view.read());
    let newest = view.tip.height.checked_sub(1);
    let Some(newest) = newest.filter(|newest| *newest >= shared.extent.first()) else {
        return Ok(());
    };
    match shared.index.location(&view.derived, newest)? {
        Some(_) => Ok(()),
        None => Err(ReadError::DerivedDamaged {
            follower: INDEX.name,
            what: "location",
            rule: "the newest block has none",
        }),
    }
}

/// Opens a ledger whose state cannot take in all blocks, because somebody else's database has the name of its
/// own: reads see it up to state's height, and it goes on when that database is gone. The number of replayed
/// blocks is not known, and 0 is returned, which nobody relies on. If state has nothing at all, there is
/// nothing to read.
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
