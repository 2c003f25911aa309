//! What can go wrong, sorted by who must act.

use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Bytes in a block file that are not what was written there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{file}, byte {offset}{}: expected {expected}, found {found}",
    block.map(|number| format!(", block {number}")).unwrap_or_default(),
    file = file.display()
)]
pub struct Corruption {
    /// The block file.
    pub file: PathBuf,
    /// Where the record begins.
    pub offset: u64,
    /// The block, if it is known.
    pub block: Option<u64>,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl Corruption {
    /// A channel is active only when its first blocks are durable: block 0, or all that was imported. Here
    /// the blocks end earlier, at this place.
    pub(crate) fn no_beginning(file: PathBuf, offset: u64, height: u64) -> Self {
        Self {
            file,
            offset,
            block: Some(height),
            expected: "a block with which the channel was made".to_owned(),
            found: "none".to_owned(),
        }
    }
}

/// Why a read has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A block is damaged on disk. Other blocks can still be read; an operator must act.
    #[error("a block is damaged: {0}")]
    Corrupt(Corruption),
    /// The chain begins with a later block here. A node with the whole chain has the block.
    #[error("block {number} is not kept here: the chain begins with block {base}")]
    BelowBase {
        /// The block that was asked for.
        number: u64,
        /// The first block that is here.
        base: u64,
    },
    /// The value of a private key is not here: another node has it, or its file is damaged.
    #[error("the value of a key of collection {collection:?} of {namespace:?} is not here")]
    PrivateMissing {
        /// The namespace.
        namespace: String,
        /// The collection.
        collection: String,
    },
    /// The file system refused to read a block file. Trying again may help.
    #[error("cannot read {}", file.display())]
    Io {
        /// The block file.
        file: PathBuf,
        /// The file system's error.
        source: io::Error,
    },
    /// The channel's configuration in state is missing or cannot be used: nobody can be judged by it.
    #[error("nobody can be judged by the channel's configuration: {0}")]
    Config(String),
    /// The embedded engine under index, state and history failed. `quire rebuild` makes them again.
    #[error("the embedded engine cannot read")]
    Engine(#[source] fjall::Error),
    /// An entry of index, state or history has a form that was never written. `quire rebuild` makes them
    /// again from the blocks.
    #[error("{follower} holds a damaged {what}: {rule}")]
    DerivedDamaged {
        /// `index`, `state` or `history`.
        follower: &'static str,
        /// What kind of entry.
        what: &'static str,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// The index names a block that is not there, or a block names a transaction that is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// A document of the state database was not written here, or was changed. `quire check` reports all such
    /// documents, `quire rebuild` makes them again from the blocks.
    #[error(
        "state holds a damaged document: key {key:?} of namespace {namespace:?}, in database {database}: {rule}"
    )]
    StateDocument {
        /// The database that holds it.
        database: String,
        /// The namespace of the database.
        namespace: String,
        /// The key of the document.
        key: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// The state database does not answer, or answers wrongly. Nothing was changed: try again.
    #[error("the state database is not available: {0}")]
    StateUnavailable(String),
    /// The state database refuses the user. Nothing was changed. It is not called again for some time,
    /// because such servers lock accounts.
    #[error("the state database refuses authentication: {0}")]
    StateRefused(String),
    /// The database of a namespace exists already, is not empty, and is somebody else's. Nothing was changed.
    /// The namespace can be written when that database is gone.
    #[error(
        "database {database}, which namespace {namespace:?} would have, is somebody else's: it is not empty"
    )]
    StateObstructed {
        /// The namespace.
        namespace: String,
        /// The database.
        database: String,
    },
    /// The state database holds something that is not of this channel. Nothing was changed.
    #[error("the state database cannot be used: {0}")]
    StateForeign(String),
    /// A key in a block is longer than the engine can hold (65,535 bytes with its namespace).
    #[error("a key of {0} bytes is too long for the state engine")]
    KeyTooLong(usize),
}

impl ReadError {
    /// Whether durable blocks wait until this error is over.
    pub(crate) fn is_waited_for(&self) -> bool {
        // A document on the server that is not ours can be repaired there too.
        self.is_unavailable() || matches!(self, Self::StateDocument { .. })
    }

    /// Whether only the state database must be repaired: after that, what failed can be done.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::StateUnavailable(_) | Self::StateRefused(_) | Self::StateObstructed { .. } => {
                true
            }
            Self::Corrupt(_)
            | Self::BelowBase { .. }
            | Self::PrivateMissing { .. }
            | Self::Io { .. }
            | Self::Config(_)
            | Self::Engine(_)
            | Self::DerivedDamaged { .. }
            | Self::Missing(_)
            | Self::StateDocument { .. }
            | Self::StateForeign(_)
            | Self::KeyTooLong(_) => false,
        }
    }
}

impl From<quire_disk::FileError> for OpenError {
    fn from(error: quire_disk::FileError) -> Self {
        Self::Io {
            path: error.path,
            source: error.source,
        }
    }
}

impl From<fjall::Error> for ReadError {
    fn from(error: fjall::Error) -> Self {
        Self::Engine(error)
    }
}

/// Why blocks were not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The first block is not a child of the chain's tip, or a later block is not a child of the block before
    /// it. Nothing was written; the caller made the blocks wrongly.
    #[error("block {number} is not the next block: {rule}")]
    NotLinked {
        /// The block.
        number: u64,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// State or index could not be read, so the blocks could not be judged. Nothing was written: try again.
    #[error("the blocks cannot be judged")]
    Judge(#[source] ReadError),
    /// Writing failed, so it is not known whether the blocks are durable. No more will be written: reads go
    /// on, and reopening finds out.
    #[error("the blocks may not be durable: {reason}")]
    NotDurable {
        /// What failed.
        reason: String,
        /// The file system's error.
        source: Option<io::Error>,
    },
    /// The blocks are durable, but nobody sees them yet, because the state database is unavailable. Nothing
    /// else is committed before [`Ledger::resume`](crate::Ledger::resume) could show them.
    #[error("the blocks are durable, and wait for the state database")]
    Waiting(#[source] ReadError),
    /// The blocks are durable, but index, state or history could not follow. No more will be written: reads
    /// go on, and reopening catches up.
    #[error("the blocks are durable, but cannot be followed")]
    NotFollowed(#[source] ReadError),
    /// An earlier commit failed.
    #[error("an earlier commit failed: reopen the ledger")]
    Poisoned,
}

/// Why a ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Acknowledged blocks are damaged. Nothing was changed. Restore them from a copy, or accept
    /// the loss by name.
    #[error(
        "channel {channel}: block {} is damaged or lost{}: {corruption}",
        blocks.start(), behind(blocks)
    )]
    Corrupt {
        /// The channel.
        channel: String,
        /// From the first damaged block to the last block that is known to have been acknowledged.
        blocks: RangeInclusive<u64>,
        /// What was found first.
        corruption: Box<Corruption>,
    },
    /// A follower knows of blocks that the block files do not have.
    #[error(
        "channel {channel}: {follower} is ahead of the blocks: it has followed to height \
         {savepoint}, the block files end at height {height}"
    )]
    Ahead {
        /// The channel.
        channel: String,
        /// `index`, `state` or `history`.
        follower: &'static str,
        /// Its savepoint.
        savepoint: u64,
        /// How many blocks there are.
        height: u64,
    },
    /// The chain begins with a later block here. A node with the whole chain has the block.
    #[error(
        "channel {channel}: block {number} is not kept here: the chain begins with block {base}"
    )]
    BelowBase {
        /// The channel.
        channel: String,
        /// The block that was asked for.
        number: u64,
        /// The first block that is here.
        base: u64,
    },
    /// The channel does not exist.
    #[error("there is no channel {0}")]
    NoSuchChannel(String),
    /// A channel of this name exists.
    #[error("channel {0} exists")]
    Exists(String),
    /// A folder holds block files, but the id store has no record of the channel: something was lost.
    /// Nothing was changed. Restore the record, or move the folder away.
    #[error("{} holds block files of a channel that the id store does not know", .0.display())]
    Orphan(PathBuf),
    /// The embedded engine has followed a channel whose record and blocks are missing. Nothing was changed.
    /// Restore both, or move `derived` away if the channel is not needed.
    #[error(
        "channel {channel} is lost: the embedded engine has followed it to height {height}, and neither \
         its record nor its blocks are there"
    )]
    Lost {
        /// The channel.
        channel: String,
        /// How far the engine has followed it.
        height: u64,
    },
    /// Another process has the data directory open.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// A file of the id store does not parse. It is not derived from anything: restore it.
    #[error("{} is damaged: {reason}", file.display())]
    IdStore {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A newer release wrote a file, in a form that this one does not know. Nothing was changed.
    #[error(
        "{} has version {version}, and this release knows none above {newest}",
        file.display()
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// The version of its form.
        version: u32,
        /// The newest version that this release knows.
        newest: u32,
    },
    /// The file system refused.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The file system's error.
        source: io::Error,
    },
    /// The embedded engine under index, state and history does not open, and a new one does not either.
    #[error("the embedded engine does not open")]
    Engine(#[source] fjall::Error),
    /// The embedded engine opens, but what it holds cannot be read. Opening for use sets it aside.
    #[error("the embedded engine is damaged: {0}")]
    EngineDamaged(String),
    /// The state engine cannot be used as it is configured.
    #[error("the state engine cannot be used")]
    StateEngine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Index, state or history could not be brought up to the blocks.
    #[error("channel {channel}: index, state or history cannot follow the blocks")]
    Follow {
        /// The channel.
        channel: String,
        /// Whether state is on CouchDB.
        on_couchdb: bool,
        /// The cause.
        source: ReadError,
    },
    /// Block 0 could not be committed to a new channel.
    #[error("channel {channel} cannot be created")]
    Create {
        /// The channel.
        channel: String,
        /// The cause.
        source: CommitError,
    },
}

/// What is known of the blocks after the first damaged one: only a check tells whether they are sound.
fn behind(blocks: &RangeInclusive<u64>) -> String {
    match blocks.end().saturating_sub(*blocks.start()) {
        0 => String::new(),
        more => format!(", and at least {more} after it were acknowledged too"),
    }
}

/// An error and its causes, in one line.
#[must_use]
pub fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
