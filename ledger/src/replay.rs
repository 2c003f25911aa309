//! The second half of opening: followers take in blocks that are on disk, through the function that
//! commit uses.
//!
//! One thread reads blocks and takes their transactions apart, and this thread gives them to the followers:
//! neither waits for the other while there is work for both. The verdicts are those stored with the blocks.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use crate::block_store::scan::{Scan, Step, Stored};
use crate::error::ReadError;
use crate::follow::Followers;
use crate::model::batch::{Batch, Durable};
use crate::model::block::Block;
use crate::model::examined::Examined;
use crate::model::location::Position;
use crate::model::updates::Updates;
use crate::progress::{Progress, ProgressFn};
use crate::state::StateDb;
use crate::validation::named_keys::named_keys;
use crate::validation::pending::Pending;
use crate::validation::replay_block;
use crate::view::Shared;

/// Bytes of blocks that are replayed as one batch.
const BATCH_BYTES: u64 = 4 << 20;
/// The most batches that are read ahead of the followers.
const BATCHES_AHEAD: usize = 2;

/// A block from disk with its transactions taken apart.
#[derive(Debug)]
pub(crate) struct Parsed {
    stored: Stored,
    transactions: Vec<Examined>,
}

impl Parsed {
    /// Takes the transactions apart; each gets the code that is stored with the block.
    pub(crate) fn new(stored: Stored) -> Self {
        let envelopes = stored.block.envelopes.iter().enumerate();
        let transactions = envelopes.map(|(tx, envelope)| {
            let mut examined = Examined::read(envelope);
            examined.code = stored.block.code(tx);
            examined
        });
        Self {
            transactions: transactions.collect(),
            stored,
        }
    }
}

/// Gives the followers blocks `from..height`, and returns how many there were. `end` is the end of the last
/// block.
pub(crate) fn replay(
    followers: &Followers,
    end: Position,
    from: u64,
    height: u64,
    progress: &mut ProgressFn<'_>,
) -> Result<u64, ReadError> {
    if from == height {
        return Ok(0);
    }
    let files = Arc::clone(&followers.shared.files);
    let start = start_of(followers, from)?;
    let (segments, own_from) = (&files.segments, followers.shared.extent.own_from);
    // If state cannot go on, the other followers stop there too.
    let savepoint = followers.state.snapshot()?.height();
    let scan = Scan::new(segments, end.segment + 1, own_from, start, from, None);
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(BATCHES_AHEAD);
        scope.spawn(move || read_ahead(scan, height, savepoint, &sender));
        // The loop ends when the reading does; an error here makes the reader's next send fail.
        for batch in receiver {
            let durable = replay_batch(followers.state.as_ref(), batch?, |_, _| ())?;
            followers.apply(&durable)?;
            followers.publish(&durable)?;
            progress(Progress {
                stage: "replaying blocks",
                subject: &followers.shared.channel,
                done: followers.shared.view.read().tip.height - from,
                total: height - from,
            });
        }
        Ok(height - from)
    })
}

/// The place where block `from` begins.
fn start_of(followers: &Followers, from: u64) -> Result<Position, ReadError> {
    let Shared { index, extent, .. } = followers.shared.as_ref();
    if from <= extent.first() {
        return Ok(Position::START);
    }
    let view = followers.database.0.snapshot();
    if let Some(location) = index.location(&view, from)? {
        return Ok(Position {
            segment: location.segment,
            offset: location.offset,
        });
    }
    // A block that the index does not know follows the last block that it knows.
    let before = index.location(&view, from.saturating_sub(1))?;
    let before = before.ok_or_else(|| ReadError::Missing(format!("block {from}")))?;
    Ok(before.end())
}

/// Reads blocks up to `height` and sends them in batches, one of which ends at the savepoint of state; an
/// error is the last thing sent.
fn read_ahead(
    mut scan: Scan<'_>,
    height: u64,
    savepoint: u64,
    sender: &SyncSender<Result<Vec<Parsed>, ReadError>>,
) {
    while scan.number() < height {
        let end = if scan.number() < savepoint {
            height.min(savepoint)
        } else {
            height
        };
        let batch = read_batch(&mut scan, end);
        let failed = batch.is_err();
        if sender.send(batch).is_err() || failed {
            return;
        }
    }
}

fn read_batch(scan: &mut Scan<'_>, height: u64) -> Result<Vec<Parsed>, ReadError> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while scan.number() < height && bytes < BATCH_BYTES {
        let step = scan.next().map_err(|source| ReadError::Io {
            file: scan.file(),
            source,
        });
        match step? {
            Step::Block(stored) => {
                bytes += stored.location.len;
                batch.push(Parsed::new(*stored));
            }
            Step::Damaged(damage) => return Err(ReadError::Corrupt(damage.corruption)),
            Step::End => return Err(ReadError::Missing(format!("block {}", scan.number()))),
        }
    }
    Ok(batch)
}

/// The changes of stored blocks that state does not have, according to the codes stored with them; `each`
/// gets the changes of every single block.
pub(crate) fn replay_batch(
    state: &dyn StateDb,
    batch: Vec<Parsed>,
    mut each: impl FnMut(&Block, &Updates),
) -> Result<Batch, ReadError> {
    let snapshot = state.snapshot()?;
    let savepoint = snapshot.height();
    if snapshot.is_remote() {
        let new = batch
            .iter()
            .filter(|parsed| parsed.stored.block.number >= savepoint);
        let transactions = new.flat_map(|parsed| &parsed.transactions);
        let keys = named_keys(transactions, snapshot.as_ref())?;
        snapshot.expect(&keys)?;
    }
    let mut pending = Pending::new(snapshot.as_ref());
    let blocks = batch.into_iter().map(|parsed| {
        let Parsed {
            stored,
            transactions,
        } = parsed;
        let Stored {
            block, location, ..
        } = stored;
        // If state has a block already, it cannot say what the block changed, and must not get it again.
        if block.number >= savepoint {
            let updates = replay_block(block.number, &transactions, &mut pending)?;
            each(&block, updates);
        }
        let hash = block.hash();
        Ok(Durable {
            block: Arc::new(block),
            hash,
            location,
            transactions,
        })
    });
    Ok(Batch {
        blocks: blocks.collect::<Result<_, ReadError>>()?,
        changes: Arc::new(pending.into_changes()),
    })
}
