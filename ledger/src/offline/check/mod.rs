//! The oracle, which tells what is wrong with a channel's files.
//!
//! 1. `chain`: the block files, block by block: framing, seal, number, previous hash, data hash, canonical
//!    envelopes, one verdict for each transaction.
//! 2. Every block is replayed into a scratch engine, by the code that commits: its commit hash must be the
//!    stored one.
//! 3. `followers`: index, state and history are compared with the scratch engine's, entry by entry, each at
//!    the height of its own savepoint; `remote`: state on CouchDB is compared row by row.
//! 4. On demand, `signatures` are checked by the configurations in the chain itself, and all `verdicts` are
//!    judged again and compared with the stored ones.
//!
//! Nothing is changed. An open channel is checked up to its height at the beginning; what is committed
//! meanwhile is not checked.

mod chain;
mod damaged;
mod followers;
pub(crate) mod form;
mod remote;
mod report;
mod resume;
mod verdicts;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use quire_disk::Disk;

use crate::block_store::scan::identity;
use crate::block_store::segment::Segments;
use crate::error::{OpenError, ReadError, chain_of};
use crate::id_store::io_at;
use crate::ledgers::Ledgers;
use crate::progress::ProgressFn;
use crate::reader::Reader;
use crate::state::engine::Place;
use chain::Check;
use followers::Live;
pub use report::{CheckError, Depth, Finding, Kind, Report};

/// Checks a folder of block files made by a Fabric peer. The scratch engine is made below `scratch`
/// and removed again.
///
/// # Errors
/// Nothing could be read. Damage is not an error but a finding.
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
    Check::new(&segments, None, subject, scratch, depth)?.run(None, None, progress)
}

/// Checks a channel that is not open. State on CouchDB is checked if `ledgers` know the server.
///
/// # Errors
/// Nothing could be read. Damage is not an error but a finding.
pub fn check_channel(
    ledgers: &Ledgers,
    channel: &str,
    depth: Depth,
    progress: &mut ProgressFn<'_>,
) -> Result<Report, CheckError> {
    let live = || {
        let view = ledgers.database().snapshot();
        let place = place_of(ledgers, channel, &view)?;
        live_in(ledgers, channel, (view, place))
    };
    check_in(ledgers, channel, &live, None, depth, progress)
}

/// Checks a channel that is open, and may commit meanwhile, up to its present height.
///
/// # Errors
/// Nothing could be read. Damage is not an error but a finding.
pub fn check_open_channel(
    ledgers: &Ledgers,
    reader: &Reader,
    depth: Depth,
    progress: &mut ProgressFn<'_>,
) -> Result<Report, CheckError> {
    // The view was taken after a commit was followed: every follower is at the tip in it.
    let view = reader.view();
    let height = view.tip.height;
    let live = || {
        let place = match ledgers.state_engine().server() {
            None => Place::Embedded,
            Some(server) => Place::Remote(server.to_owned(), Arc::clone(&view.state)),
        };
        live_in(ledgers, reader.channel(), (view.derived.clone(), place))
    };
    check_in(
        ledgers,
        reader.channel(),
        &live,
        Some(height),
        depth,
        progress,
    )
}

/// The place of state of a channel that is not open.
fn place_of(ledgers: &Ledgers, channel: &str, view: &fjall::Snapshot) -> Result<Place, CheckError> {
    let extent = ledgers.existing(channel)?.extent();
    let dir = ledgers.channel_dir(channel);
    let segments = Segments::new(Arc::clone(ledgers.disk()), dir.clone());
    let genesis = || identity(&segments, &extent).map_err(io_at(&dir));
    match ledgers.state_engine().find(channel, view, &genesis) {
        Err(OpenError::Follow { source, .. }) => Err(source.into()),
        other => Ok(other?),
    }
}

fn live_in(
    ledgers: &Ledgers,
    channel: &str,
    (view, place): (fjall::Snapshot, Place),
) -> Result<Live, CheckError> {
    Live::new(ledgers.database(), channel, view, place)
}

fn check_in(
    ledgers: &Ledgers,
    channel: &str,
    live: &dyn Fn() -> Result<Live, CheckError>,
    height: Option<u64>,
    depth: Depth,
    progress: &mut ProgressFn<'_>,
) -> Result<Report, CheckError> {
    let record = ledgers.existing(channel)?;
    if record.is_unfinished() {
        return Ok(Report {
            subject: channel.to_owned(),
            notes: vec!["it is half made or half removed: the next start removes it".to_owned()],
            ..Report::default()
        });
    }
    let dir = ledgers.channel_dir(channel);
    let segments = Segments::new(Arc::clone(ledgers.disk()), dir);
    let check = || {
        let subject = channel.to_owned();
        Check::new(&segments, Some(&record), subject, ledgers.dir(), depth)
    };
    // fjall panics on some of the damage it meets.
    let attempt = catch_unwind(AssertUnwindSafe(|| {
        let live = live()?;
        check()?.run(Some(&live), height, progress)
    }));
    let unreadable = match attempt {
        Ok(Ok(report)) => return Ok(with_indexes(report, ledgers, channel)),
        Ok(Err(CheckError::Read(
            error @ (ReadError::Engine(_) | ReadError::DerivedDamaged { .. }),
        ))) => chain_of(&error),
        Ok(Err(error)) => return Err(error),
        Err(_) => "the embedded engine panicked".to_owned(),
    };
    // Then only the blocks are checked.
    let mut report = check()?.run(None, height, progress)?;
    let expected = "index, state and history that can be read".to_owned();
    let finding = Finding::new(Kind::Follower, expected, unreadable);
    report.findings.push(finding);
    Ok(with_indexes(report, ledgers, channel))
}

/// Adds what is wrong with the file of a channel's query indexes, which is read as at a start.
fn with_indexes(mut report: Report, ledgers: &Ledgers, channel: &str) -> Report {
    let error = ledgers.check_indexes(channel).err();
    report.findings.extend(error.as_ref().map(Finding::from));
    report
}
