//! Which channels exist, and which were half made or half deleted when the power failed.
//!
//! Each channel has a small JSON file, which is replaced atomically. Nothing in it can be rebuilt from the
//! blocks, so it is not in the embedded engine.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use quire_disk::{Disk, make_dir, read_file, replace_file};
use serde::{Deserialize, Serialize};

use crate::base::{Base, Extent};
use crate::error::OpenError;
use crate::form::check_version;

/// Folders of a data directory: of records, and of block files.
pub(crate) const ID_STORE: &str = "id-store";
pub(crate) const CHANNELS: &str = "channels";
/// Version of the files' form.
const VERSION: u32 = 1;
/// Most bytes of a file: it holds a name of at most 249 characters, two sizes and a status.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// The state of a channel's life, with Fabric's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// It is in use.
    Active,
    /// An operator set it aside.
    Inactive,
    /// It is being made: the next start removes it.
    UnderConstruction,
    /// It is being removed: the next start removes it.
    UnderDeletion,
}

/// Size at which a block file is full, 64 MiB as in Fabric.
pub const DEFAULT_SEGMENT_BYTES: u64 = 64 << 20;

/// How a channel is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateOptions {
    /// Size at which a block file is full, in bytes. A larger block gets a file of its own.
    pub segment_bytes: u64,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            segment_bytes: DEFAULT_SEGMENT_BYTES,
        }
    }
}

/// What is known of a channel outside its blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChannelRecord {
    version: u32,
    /// The channel's name.
    pub name: String,
    /// The state of its life.
    pub status: Status,
    /// Whether it takes no transactions, such as a channel whose orderers are elsewhere.
    pub read_only: bool,
    /// Size at which a block file is full.
    pub segment_bytes: u64,
    /// The first block that Quire wrote, and so sealed; `None` if a Fabric peer wrote all.
    pub first_own_block: Option<u64>,
    /// Whether it is an orderer's: only configurations are judged, and take effect.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blocks_only: bool,
    /// Whether orderers elsewhere make its blocks, and never this node.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub follows_others: bool,
    /// Where the chain begins, if not at block 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
}

impl ChannelRecord {
    pub(crate) fn new(name: &str, segment_bytes: u64) -> Self {
        Self {
            version: VERSION,
            name: name.to_owned(),
            status: Status::UnderConstruction,
            read_only: false,
            segment_bytes,
            first_own_block: Some(0),
            blocks_only: false,
            follows_others: false,
            base: None,
        }
    }

    /// Whether it was half made or half deleted when the power failed: the next start removes it.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        matches!(
            self.status,
            Status::UnderConstruction | Status::UnderDeletion
        )
    }

    /// The height with which the channel was made: after block 0, or after all that was imported. It is not
    /// known for an imported channel that takes no transactions. A channel with a base begins without a
    /// block.
    pub(crate) fn durable_height(&self) -> u64 {
        let least = self.base.map_or(1, |base| base.block.get());
        self.first_own_block.unwrap_or(0).max(least)
    }

    /// Which blocks it has.
    pub(crate) fn extent(&self) -> Extent {
        Extent::of(self)
    }
}

/// The files.
#[derive(Debug)]
pub(crate) struct IdStore {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Held while a record is written, because two records of one channel share a temporary name.
    writing: Mutex<()>,
}

impl IdStore {
    /// Opens the store, or makes it if there is none.
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: PathBuf) -> Result<Self, OpenError> {
        // A killed process can leave a record whose name no sync covered. The record will be trusted, so it
        // must be durable first.
        make_dir(disk.as_ref(), &dir)?;
        disk.sync_dir(&dir).map_err(io_at(&dir))?;
        Ok(Self::at(disk, dir))
    }

    /// The store as it is, without making anything.
    pub(crate) fn at(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        Self {
            disk,
            dir,
            writing: Mutex::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.json"))
    }

    /// The records of all channels, sorted by name.
    pub(crate) fn list(&self) -> Result<Vec<ChannelRecord>, OpenError> {
        let (records, damage) = self.look();
        damage.into_iter().next().map_or(Ok(records), Err)
    }

    /// The readable records, sorted by name, and what is wrong with the others.
    pub(crate) fn look(&self) -> (Vec<ChannelRecord>, Vec<OpenError>) {
        let mut names = match self.disk.list(&self.dir) {
            Ok(names) => names,
            Err(error) => return (Vec::new(), vec![io_at(&self.dir)(error)]),
        };
        names.sort_unstable();
        let (mut records, mut damage) = (Vec::new(), Vec::new());
        for name in names.iter().filter_map(|name| name.strip_suffix(".json")) {
            match self.read(name) {
                Ok(record) => records.push(record),
                Err(error) => damage.push(error),
            }
        }
        (records, damage)
    }

    /// Whether there is a record of a channel, readable or not.
    pub(crate) fn knows(&self, name: &str) -> bool {
        !matches!(
            self.read(name),
            Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound
        )
    }

    /// The record of a channel; `None` if there is none.
    pub(crate) fn get(&self, name: &str) -> Result<Option<ChannelRecord>, OpenError> {
        match self.read(name) {
            Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    fn read(&self, name: &str) -> Result<ChannelRecord, OpenError> {
        let file = self.path(name);
        let bytes = read_file(self.disk.as_ref(), &file, MAX_FILE_BYTES)?;
        let damaged = |reason: String| OpenError::IdStore {
            file: file.clone(),
            reason,
        };
        check_version(&file, &bytes, VERSION)?;
        let record: ChannelRecord =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if record.version != VERSION {
            return Err(damaged(format!("version {} is not known", record.version)));
        }
        if record.name != name {
            return Err(damaged(format!("it is about channel {}", record.name)));
        }
        Ok(record)
    }

    /// Writes a record, which is durable on return.
    pub(crate) fn put(&self, record: &ChannelRecord) -> Result<(), OpenError> {
        let file = self.path(&record.name);
        let damaged = |error: serde_json::Error| OpenError::IdStore {
            file: file.clone(),
            reason: error.to_string(),
        };
        let mut bytes = serde_json::to_vec_pretty(record).map_err(damaged)?;
        bytes.push(b'\n');
        let _writing = self.writing.lock();
        Ok(replace_file(self.disk.as_ref(), &file, &bytes)?)
    }

    /// Removes a channel's record durably.
    pub(crate) fn remove(&self, name: &str) -> Result<(), OpenError> {
        let file = self.path(name);
        let removed = self.disk.remove_file(&file);
        removed
            .and_then(|()| self.disk.sync_dir(&self.dir))
            .map_err(io_at(&file))
    }
}

pub(crate) fn io_at(path: &Path) -> impl FnOnce(io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |source| OpenError::Io { path, source }
}
