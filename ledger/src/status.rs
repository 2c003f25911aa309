//! The status of the embedded engine, and what is done for it when a process ends.

use std::time::Duration;

use fjall::{Database, Keyspace, KeyspaceCreateOptions};

/// At this number of bytes, writes go into tables when a process ends: fewer are replayed quickly.
const WORTH_SETTLING: u64 = 4 << 20;
/// How often the end of that is checked, and the pause between two checks.
const SETTLING_LOOKS: u32 = 2_000;
const SETTLING_PAUSE: Duration = Duration::from_millis(5);
/// The status of the embedded engine under index, state and history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineStatus {
    /// Journal files; more than a few means that flushes fall behind.
    pub journals: usize,
    /// Bytes of the journals.
    pub journal_bytes: u64,
    /// Bytes of tables and journals.
    pub disk_bytes: u64,
    /// Bytes of writes that are only in memory and in a journal.
    pub memtable_bytes: u64,
    /// Bytes of tables that are cached.
    pub cache_bytes: u64,
    /// Flushes that wait for a worker.
    pub pending_flushes: usize,
    /// Compactions that ended.
    pub compactions: usize,
    /// Time spent in compactions.
    pub compacting: Duration,
    /// The most level-0 tables of a keyspace: at 20 fjall slows writes, at 30 it holds them until compaction
    /// has caught up.
    pub level_0_tables: usize,
    /// The most memtables of a keyspace that wait to be written: at 4 fjall holds writes.
    pub sealed_memtables: usize,
    /// Blocks of tables that were found in the cache.
    pub cached_loads: usize,
    /// Blocks of tables that were read from disk.
    pub disk_loads: usize,
}

impl EngineStatus {
    pub(crate) fn of(database: &Database) -> Self {
        let keyspaces = keyspaces(database);
        let most = |count: fn(&Keyspace) -> usize| keyspaces.iter().map(count).max();
        let sum = |count: fn(&Keyspace) -> usize| keyspaces.iter().map(count).sum();
        Self {
            level_0_tables: most(Keyspace::l0_table_count).unwrap_or_default(),
            sealed_memtables: most(Keyspace::sealed_memtable_count).unwrap_or_default(),
            cached_loads: sum(|keyspace| keyspace.metrics().block_load_cached_count()),
            disk_loads: sum(|keyspace| keyspace.metrics().block_load_io_count()),
            journals: database.journal_count(),
            journal_bytes: database.journal_disk_space().unwrap_or_default(),
            disk_bytes: database.disk_space().unwrap_or_default(),
            memtable_bytes: database.write_buffer_size(),
            cache_bytes: database.cache_size(),
            pending_flushes: database.outstanding_flushes(),
            compactions: database.compactions_completed(),
            compacting: database.time_compacting(),
        }
    }
}

/// Writes what the engine has only in memory and in its journals into its tables; gives up after a while.
pub(crate) fn settle(database: &Database) {
    let is_little = database.write_buffer_size() < WORTH_SETTLING;
    if is_little && database.journal_count() < 2 {
        return;
    }
    let keyspaces = keyspaces(database);
    for keyspace in &keyspaces {
        if let Err(error) = keyspace.rotate_memtable() {
            tracing::warn!(%error, "the embedded engine does not write its tables");
            return;
        }
    }
    // The engine's own threads write them, and do not report a failure.
    let is_writing = |keyspace: &Keyspace| keyspace.sealed_memtable_count() > 0;
    let mut looks = 0;
    while looks < SETTLING_LOOKS && keyspaces.iter().any(is_writing) {
        std::thread::sleep(SETTLING_PAUSE);
        looks += 1;
    }
}

fn keyspaces(database: &Database) -> Vec<Keyspace> {
    let names = database.list_keyspace_names().into_iter();
    // All these keyspaces exist.
    let keyspaces = names.map(|name| database.keyspace(&name, KeyspaceCreateOptions::default));
    keyspaces.flatten().collect()
}
