//! How far a chain goes in its block files at one moment, for who copies them. Blocks are only appended to:
//! what is before that end never changes, and commits go on while it is copied.

use quire_wire::hash::Hash;

use crate::block_store::segment::{Segments, file_name};
use crate::error::{OpenError, ReadError};
use crate::id_store::io_at;
use crate::ledgers::Ledgers;
use crate::model::location::Position;
use crate::reader::Reader;

/// The end of a chain in its block files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainEnd {
    /// The number of blocks before it.
    pub height: u64,
    /// The hash of the last of them; zeros if there is none.
    pub hash: Hash,
    /// The block files with these blocks, in order, each with the number of its bytes that belong to them.
    pub files: Vec<(String, u64)>,
}

impl ChainEnd {
    pub(crate) fn at(
        segments: &Segments,
        tail: Position,
        height: u64,
        hash: Hash,
    ) -> Result<Self, ReadError> {
        let mut files = Vec::new();
        for segment in 0..tail.segment {
            let len = segments.file(segment).and_then(|file| file.len());
            let len = len.map_err(|source| ReadError::Io {
                file: segments.path(segment),
                source,
            })?;
            files.push((file_name(segment), len));
        }
        if tail.offset > 0 {
            files.push((file_name(tail.segment), tail.offset));
        }
        Ok(Self {
            height,
            hash,
            files,
        })
    }
}

impl Reader {
    /// Where the chain ends now. All blocks before that are durable and have taken effect.
    ///
    /// # Errors
    /// The embedded engine or the file system failed.
    pub fn end(&self) -> Result<ChainEnd, ReadError> {
        let (view, shared) = (self.view(), self.shared());
        let newest = view.tip.height.checked_sub(1);
        let newest = newest.filter(|newest| *newest >= shared.extent.first());
        let tail = match newest {
            Some(newest) => {
                let location = shared.index.location(&view.derived, newest)?;
                let missing = || ReadError::Missing(format!("block {newest} in the index"));
                location.ok_or_else(missing)?.end()
            }
            None => Position::START,
        };
        let segments = &shared.files.segments;
        ChainEnd::at(segments, tail, view.tip.height, view.tip.hash)
    }
}

impl Ledgers {
    /// Where the chain of a channel ends that is not open: what an opening would keep. Changes nothing.
    ///
    /// # Errors
    /// What an opening would refuse.
    pub fn end(&self, channel: &str) -> Result<ChainEnd, OpenError> {
        let record = self.existing(channel)?;
        let chain = self.opening(record)?.chain()?;
        let dir = self.channel_dir(channel);
        let segments = Segments::new(std::sync::Arc::clone(self.disk()), dir.clone());
        let hash = chain.hash.unwrap_or_default();
        let end = ChainEnd::at(&segments, chain.tail, chain.height, hash);
        end.map_err(|error| match error {
            ReadError::Io { file, source } => io_at(&file)(source),
            other => io_at(&dir)(std::io::Error::other(other)),
        })
    }
}
