//! Query indexes in the embedded engine: each channel has one keyspace.
//!
//! | key | value |
//! |---|---|
//! | `e` index (u64 big-endian) sort key, document's key | the document's key |
//! | `r` index | the collation's fingerprint and [`READING`]: the index is built with such sort keys |
//!
//! An index's number is never used again, so entries of a dropped index can be recognised and removed.

use fjall::{Keyspace, OwnedWriteBatch, Readable as _, Snapshot};

use super::collation;
use crate::error::ReadError;

const ENTRY: u8 = b'e';
const READY: u8 = b'r';
/// The way of reading documents from which sort keys come; the first way was not marked. An index made
/// another way lacks documents, or has entries that would never be removed, so it is built again.
const READING: &str = "2";

fn key(kind: u8, index: u64, rest: &[u8]) -> Vec<u8> {
    [&[kind], &index.to_be_bytes()[..], rest].concat()
}

/// The range of all entries of an index: the first key is inclusive, the second exclusive.
pub(super) fn all(index: u64) -> (Vec<u8>, Vec<u8>) {
    (key(ENTRY, index, &[]), key(ENTRY, index + 1, &[]))
}

/// The key of an entry.
pub(super) fn entry(index: u64, sort_key: &[u8], document: &str) -> Vec<u8> {
    key(ENTRY, index, &[sort_key, document.as_bytes()].concat())
}

fn mark() -> String {
    [collation::fingerprint(), READING].join(" ")
}

/// Marks an index as built.
pub(super) fn mark_built(batch: &mut OwnedWriteBatch, keyspace: &Keyspace, index: u64) {
    batch.insert(keyspace, key(READY, index, &[]), mark());
}

/// Removes the mark.
pub(super) fn mark_unbuilt(batch: &mut OwnedWriteBatch, keyspace: &Keyspace, index: u64) {
    batch.remove(keyspace, key(READY, index, &[]));
}

/// Removes the marks of all indexes, durably with the next synced batch.
pub(crate) fn mark_all_unbuilt(
    database: &fjall::Database,
    keyspace: &Keyspace,
) -> Result<(), ReadError> {
    let mut batch = database.batch();
    for guard in keyspace.range(vec![READY]..vec![READY + 1]) {
        batch.remove(keyspace, guard.key()?);
    }
    Ok(batch.commit()?)
}

/// Whether an index is built with the present sort keys.
pub(crate) fn is_built(
    view: &Snapshot,
    keyspace: &Keyspace,
    index: u64,
) -> Result<bool, ReadError> {
    let stored = view.get(keyspace, key(READY, index, &[]))?;
    Ok(stored.is_some_and(|stored| stored[..] == *mark().as_bytes()))
}

/// The first index at or after this one that has entries.
pub(super) fn next_index(
    view: &Snapshot,
    keyspace: &Keyspace,
    from: u64,
) -> Result<Option<u64>, ReadError> {
    let Some(guard) = view
        .range(keyspace, key(ENTRY, from, &[])..vec![ENTRY + 1])
        .next()
    else {
        return Ok(None);
    };
    let found = guard.key()?;
    let number = found.get(1..9).and_then(|bytes| bytes.try_into().ok());
    Ok(number.map(u64::from_be_bytes))
}

/// Keys of an index's documents between two sort keys; the second is excluded.
pub(crate) fn documents<'a>(
    view: &'a Snapshot,
    keyspace: &Keyspace,
    index: u64,
    (from, to): (&[u8], &[u8]),
    is_reversed: bool,
) -> Box<dyn Iterator<Item = Result<String, ReadError>> + 'a> {
    // The engine panics on a range that ends before it starts.
    if from >= to {
        return Box::new(std::iter::empty());
    }
    let rows = view.range(keyspace, key(ENTRY, index, from)..key(ENTRY, index, to));
    let read = |guard: fjall::Guard| {
        let document = guard.value()?.to_vec();
        String::from_utf8(document).map_err(|_| ReadError::DerivedDamaged {
            follower: "state",
            what: "entry of a query index",
            rule: "its document's key is not UTF-8",
        })
    };
    if is_reversed {
        Box::new(rows.rev().map(read))
    } else {
        Box::new(rows.map(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_of_another_collation_or_another_reading_is_not_built() {
        let dir = tempfile::tempdir().unwrap();
        let database = fjall::Database::builder(dir.path()).open().unwrap();
        let keyspace = database
            .keyspace("entries", fjall::KeyspaceCreateOptions::default)
            .unwrap();
        let is_built = || is_built(&database.snapshot(), &keyspace, 7).unwrap();
        assert!(!is_built());
        for other in [collation::fingerprint().to_owned(), format!("ab {READING}")] {
            keyspace.insert(key(READY, 7, &[]), other).unwrap();
            assert!(!is_built());
        }
        let mut batch = database.batch();
        mark_built(&mut batch, &keyspace, 7);
        batch.commit().unwrap();
        assert!(is_built());
    }
}
