//! A transaction in the making: what earlier operations did is seen by later ones, and only the
//! outcome for each key is written.
//!
//! A simulator does not show a transaction its own writes, as in Fabric; the draft does.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;
use quire_ledger::{Height, VersionedValue};

use super::operation::{Action, Operation, invalid};
use super::view::View;
use crate::ChaincodeError;
use crate::condition::Expect;
use crate::json::{self, MAX_DEPTH};

/// Most bytes that the merges of one transaction may read. What a transaction writes is bounded by
/// its envelope; this bounds the work of a thousand merges that keep writing the same large value.
const MAX_MERGED_BYTES: usize = 64 << 20;

/// Applies operations to a working copy of the keys they touch.
pub(crate) struct Draft<'v, V> {
    view: &'v mut V,
    max_value_bytes: usize,
    merged_bytes: usize,
    keys: BTreeMap<(String, String), WorkingCopy>,
}

/// The working copy of one key.
struct WorkingCopy {
    /// The version in the snapshot.
    committed: Option<Height>,
    /// The value after the operations so far.
    value: Option<Bytes>,
    /// Whether the committed version is in the read set.
    is_read: bool,
    /// Whether any operation so far wrote the key.
    is_written: bool,
}

impl<'v, V: View> Draft<'v, V> {
    pub(crate) fn new(view: &'v mut V, max_value_bytes: usize) -> Self {
        Self {
            view,
            max_value_bytes,
            merged_bytes: 0,
            keys: BTreeMap::new(),
        }
    }

    /// Does one operation. Returns the version that its key has in the snapshot.
    pub(crate) fn apply(
        &mut self,
        operation: &Operation,
    ) -> Result<Option<Height>, ChaincodeError> {
        // A put that demands nothing must not fail when somebody else writes the key first.
        let is_blind = matches!(operation.action, Action::Put(_)) && operation.expect.is_none();
        let limit_bytes = self.max_value_bytes;
        let copy = self.copy(&operation.namespace, &operation.key, is_blind)?;
        let committed = copy.committed;
        if let Some(expect) = &operation.expect
            && !expect.holds(committed)
        {
            return Err(failed(operation, expect.clone(), committed));
        }
        if operation.action == Action::Check {
            return Ok(committed);
        }
        let old_bytes = copy.value.as_ref().map_or(0, Bytes::len);
        let value = outcome(operation, copy)?;
        let size_bytes = value.as_ref().map_or(0, Bytes::len);
        if size_bytes > limit_bytes {
            return Err(ChaincodeError::TooLarge {
                size_bytes,
                limit_bytes,
            });
        }
        copy.value = value;
        copy.is_written = true;
        if matches!(operation.action, Action::Merge(_)) {
            self.count_merged(old_bytes)?;
        }
        Ok(committed)
    }

    fn count_merged(&mut self, bytes: usize) -> Result<(), ChaincodeError> {
        self.merged_bytes = self.merged_bytes.saturating_add(bytes);
        if self.merged_bytes > MAX_MERGED_BYTES {
            return Err(invalid(format!(
                "the merges of one transaction read at most {MAX_MERGED_BYTES} bytes"
            )));
        }
        Ok(())
    }

    /// Hands the outcome for each key to the view.
    pub(crate) fn finish(self) {
        for ((namespace, key), copy) in self.keys {
            // What came and went within the transaction never existed. The read set holds it to
            // that: no operation takes a value away without having read.
            let is_gone = copy.value.is_none() && copy.committed.is_none();
            assert!(!is_gone || copy.is_read || !copy.is_written);
            if copy.is_written && !is_gone {
                self.view.write(&namespace, &key, copy.value);
            }
        }
    }

    /// The working copy of a key, read unless `is_blind`.
    fn copy(
        &mut self,
        namespace: &str,
        key: &str,
        is_blind: bool,
    ) -> Result<&mut WorkingCopy, ChaincodeError> {
        match self.keys.entry((namespace.to_owned(), key.to_owned())) {
            Entry::Vacant(entry) => {
                let found = if is_blind {
                    self.view.peek(namespace, key)?
                } else {
                    self.view.read(namespace, key)?
                };
                Ok(entry.insert(WorkingCopy::of(found, !is_blind)))
            }
            Entry::Occupied(entry) => {
                let copy = entry.into_mut();
                if !is_blind && !copy.is_read {
                    self.view.read(namespace, key)?;
                    copy.is_read = true;
                }
                Ok(copy)
            }
        }
    }
}

impl WorkingCopy {
    fn of(found: Option<VersionedValue>, is_read: bool) -> Self {
        let (committed, value) = found.map(|found| (found.version, found.value)).unzip();
        Self {
            committed,
            value,
            is_read,
            is_written: false,
        }
    }

    fn existing(&self, operation: &Operation) -> Result<&Bytes, ChaincodeError> {
        self.value
            .as_ref()
            .ok_or_else(|| ChaincodeError::KeyNotFound {
                namespace: operation.namespace.clone(),
                key: operation.key.clone(),
            })
    }
}

/// The value that an operation leaves behind; none where it deletes.
fn outcome(operation: &Operation, copy: &WorkingCopy) -> Result<Option<Bytes>, ChaincodeError> {
    match &operation.action {
        Action::Create(_) if copy.value.is_some() => {
            Err(failed(operation, Expect::Absent, copy.committed))
        }
        Action::Create(value) | Action::Put(value) => Ok(Some(value.clone())),
        Action::Merge(patch) => merged(copy.existing(operation)?, patch).map(Some),
        Action::Delete => copy.existing(operation).map(|_| None),
        Action::Check => Ok(copy.value.clone()),
    }
}

fn failed(operation: &Operation, expected: Expect, found: Option<Height>) -> ChaincodeError {
    ChaincodeError::PreconditionFailed {
        operation: operation.position,
        namespace: operation.namespace.clone(),
        key: operation.key.clone(),
        expected,
        found,
    }
}

fn merged(value: &Bytes, patch: &Bytes) -> Result<Bytes, ChaincodeError> {
    let patch = json::read(patch, MAX_DEPTH)?;
    // Not the caller's text, so say whose: an imported ledger may hold anything.
    let value = json::read_stored(value, MAX_DEPTH).map_err(|error| {
        ChaincodeError::InvalidJson(format!("the present value cannot be merged into: {error}"))
    })?;
    let merged = json::merge_nodes(&value, &patch);
    json::check_value(merged.as_bytes())?;
    Ok(merged.into())
}
