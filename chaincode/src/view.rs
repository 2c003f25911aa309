//! What the built-in chaincode asks of a simulator.

use bytes::Bytes;
use quire_ledger::{ReadError, Simulator, VersionedValue};

/// Committed state and the read-write set of one transaction.
pub(crate) trait View {
    /// The committed value, with the read recorded: the transaction becomes invalid if the key
    /// changes before it commits.
    fn read(&mut self, namespace: &str, key: &str) -> Result<Option<VersionedValue>, ReadError>;

    /// The committed value, without a trace in the read set.
    fn peek(&self, namespace: &str, key: &str) -> Result<Option<VersionedValue>, ReadError>;

    /// The first `limit` rows of a range, `end` exclusive, with the range recorded.
    fn range(
        &mut self,
        namespace: &str,
        start: &str,
        end: &str,
        limit: usize,
    ) -> Result<Vec<(String, VersionedValue)>, ReadError>;

    /// Writes a key; no value deletes it.
    fn write(&mut self, namespace: &str, key: &str, value: Option<Bytes>);
}

impl View for Simulator {
    fn read(&mut self, namespace: &str, key: &str) -> Result<Option<VersionedValue>, ReadError> {
        self.get(namespace, key)
    }

    fn peek(&self, namespace: &str, key: &str) -> Result<Option<VersionedValue>, ReadError> {
        self.snapshot().get(namespace, key)
    }

    fn range(
        &mut self,
        namespace: &str,
        start: &str,
        end: &str,
        limit: usize,
    ) -> Result<Vec<(String, VersionedValue)>, ReadError> {
        self.range(namespace, start, end, limit)
    }

    fn write(&mut self, namespace: &str, key: &str, value: Option<Bytes>) {
        match value {
            Some(value) => self.put(namespace, key, value),
            None => self.delete(namespace, key),
        }
    }
}
