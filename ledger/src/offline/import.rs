//! Takes over a channel from block files that a Fabric peer wrote.

use std::path::Path;
use std::sync::Arc;

use quire_disk::{Disk, DiskFile, OsDisk};
use quire_wire::transaction::Opened;

use crate::base::Extent;
use crate::block_store::scan::{Scan, Step};
use crate::block_store::segment::{Segments, file_name};
use crate::error::OpenError;
use crate::id_store::DEFAULT_SEGMENT_BYTES;
use crate::id_store::{CHANNELS, ChannelRecord, io_at};
use crate::ledger::Ledger;
use crate::ledgers::Ledgers;
use crate::offline::check::{CheckError, Depth, Report, check_blockfiles};
use crate::progress::{Progress, ProgressFn};

/// The number of bytes that are copied at a time.
const COPY_BYTES: u64 = 1 << 20;

/// Why block files were not imported. Then nothing of them is in the data directory.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// They are damaged, as the report says.
    #[error("{} is damaged", .0.subject)]
    Damaged(Box<Report>),
    /// There is no block in them.
    #[error("{0} holds no block")]
    Empty(String),
    /// A channel that will take transactions must keep the name in its transactions.
    #[error("the blocks are of channel {0}: under another name the channel can only be read")]
    OtherName(String),
    /// They could not be checked.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The channel could not be made.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Ledgers {
    /// Checks the block files in `dir`, copies them, and builds index, state and history. Unless `writable`,
    /// the channel is read-only: its orderers are elsewhere. It is durable on return.
    ///
    /// # Errors
    /// See [`ImportError`].
    pub fn import(
        &self,
        name: &str,
        dir: &Path,
        writable: bool,
        progress: &mut ProgressFn<'_>,
    ) -> Result<(Ledger, Report), ImportError> {
        if self.record(name)?.is_some() {
            return Err(OpenError::Exists(name.to_owned()).into());
        }
        let report = check_blockfiles(self.disk(), dir, self.dir(), Depth::default(), progress)?;
        if !report.is_sound() {
            return Err(ImportError::Damaged(Box::new(report)));
        }
        if report.blocks == 0 {
            return Err(ImportError::Empty(report.subject));
        }
        if writable {
            let own_name = channel_of(self.disk(), dir)?;
            if own_name != name {
                return Err(ImportError::OtherName(own_name));
            }
        }
        let mut record = ChannelRecord::new(name, DEFAULT_SEGMENT_BYTES);
        record.read_only = !writable;
        record.first_own_block = writable.then_some(report.blocks);
        let ledger = self.construct(name, record, |record| {
            copy(self.disk(), dir, &self.channel_dir(name), progress)?;
            let (ledger, _) = self.opening(record.clone())?.open(progress)?;
            Ok(ledger)
        })?;
        Ok((ledger, report))
    }
}

/// Whether a node has written a block of the channel in this data directory: then the chain names that node's
/// organisation. Reads the blocks if the record alone does not tell.
///
/// # Errors
/// The block files cannot be read.
pub fn has_own_blocks(data: &Path, record: &ChannelRecord) -> Result<bool, OpenError> {
    let Some(own) = record.first_own_block else {
        return Ok(false);
    };
    if own == 0 {
        return Ok(true);
    }
    let dir = data.join(CHANNELS).join(&record.name);
    let segments = Segments::new(Arc::new(OsDisk), dir.clone());
    let (count, _) = segments.before_gap().map_err(io_at(&dir))?;
    let scan = Scan::whole(&segments, count, &record.extent());
    let mut scan = scan.without_hash_checks();
    while scan.number() <= own {
        if !matches!(scan.next().map_err(io_at(&dir))?, Step::Block(_)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The channel that block 0 names.
fn channel_of(disk: &Arc<dyn Disk>, dir: &Path) -> Result<String, OpenError> {
    let segments = Segments::new(Arc::clone(disk), dir.to_owned());
    let mut scan = Scan::whole(&segments, 1, &Extent::FOREIGN);
    let Step::Block(first) = scan.next().map_err(io_at(dir))? else {
        return Ok(String::new());
    };
    let opened = first.block.envelopes.first().map(Opened::read);
    Ok(opened
        .and_then(Result::ok)
        .map(|opened| opened.channel_header.channel_id)
        .unwrap_or_default())
}

/// Copies the block files of a folder. They are durable on return.
fn copy(
    disk: &Arc<dyn Disk>,
    from: &Path,
    to: &Path,
    progress: &mut ProgressFn<'_>,
) -> Result<(), OpenError> {
    let segments = Segments::new(Arc::clone(disk), from.to_owned());
    // The check found no gap.
    let count = segments.count().map_err(io_at(from))?.unwrap_or_default();
    let subject = from.display().to_string();
    for segment in 0..count {
        let path = to.join(file_name(segment));
        let source = segments.file(segment).map_err(io_at(from))?;
        let target = disk.open(&path, true).map_err(io_at(&path))?;
        copy_bytes(source.as_ref(), 0, target.as_ref()).map_err(io_at(&path))?;
        let done = segment + 1;
        progress(Progress {
            stage: "copying block files",
            subject: &subject,
            done,
            total: count,
        });
    }
    disk.sync_dir(to).map_err(io_at(to))
}

/// Copies a file from a byte on to the beginning of another file, and syncs that file.
pub(crate) fn copy_bytes(
    source: &dyn DiskFile,
    from: u64,
    target: &dyn DiskFile,
) -> std::io::Result<()> {
    let len = source.len()?;
    let mut offset = from;
    while offset < len {
        let part = COPY_BYTES.min(len - offset);
        let mut bytes = vec![0; usize::try_from(part).map_err(std::io::Error::other)?];
        source.read_exact_at(&mut bytes, offset)?;
        target.write_all_at(&bytes, offset - from)?;
        offset += part;
    }
    target.sync_data()
}
