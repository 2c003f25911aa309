//! What the built-in chaincode asks of a simulator.

use bytes::Bytes;
use quire_ledger::{
    FindError, Found, Height, KeyModification, Order, Query, ReadError, Simulator, VersionedValue,
};

/// Committed state and the read-write set of one transaction.
pub(crate) trait View {
    /// The channel that it is of.
    fn channel(&self) -> &str;

    /// Says which keys, each with its namespace, will be asked for; leaves no trace.
    fn expect(&mut self, names: Vec<(String, String)>) -> Result<(), ReadError>;

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

    /// A page of a rich query, with what it asked for recorded.
    fn find(
        &mut self,
        namespace: &str,
        query: &Query,
        page_bytes: usize,
    ) -> Result<Found, FindError>;

    /// Where a key was written, at most `limit` heights behind `after`, without a trace in the read
    /// set.
    fn history(
        &self,
        namespace: &str,
        key: &str,
        order: Order,
        after: Option<Height>,
        limit: usize,
    ) -> Result<Vec<Height>, ReadError>;

    /// What was written there.
    fn modification(
        &self,
        namespace: &str,
        key: &str,
        height: Height,
    ) -> Result<KeyModification, ReadError>;

    /// Writes a key; no value deletes it.
    fn write(&mut self, namespace: &str, key: &str, value: Option<Bytes>);
}

impl View for Simulator {
    fn channel(&self) -> &str {
        self.snapshot().channel()
    }

    fn expect(&mut self, names: Vec<(String, String)>) -> Result<(), ReadError> {
        self.expect(names)
    }

    fn read(&mut self, namespace: &str, key: &str) -> Result<Option<VersionedValue>, ReadError> {
        self.get(namespace, key)
    }

    fn peek(&self, namespace: &str, key: &str) -> Result<Option<VersionedValue>, ReadError> {
        self.peek(namespace, key)
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

    fn find(
        &mut self,
        namespace: &str,
        query: &Query,
        page_bytes: usize,
    ) -> Result<Found, FindError> {
        self.find(namespace, query, page_bytes)
    }

    fn history(
        &self,
        namespace: &str,
        key: &str,
        order: Order,
        after: Option<Height>,
        limit: usize,
    ) -> Result<Vec<Height>, ReadError> {
        self.snapshot().history(namespace, key, order, after, limit)
    }

    fn modification(
        &self,
        namespace: &str,
        key: &str,
        height: Height,
    ) -> Result<KeyModification, ReadError> {
        self.snapshot().modification(namespace, key, height)
    }

    fn write(&mut self, namespace: &str, key: &str, value: Option<Bytes>) {
        match value {
            Some(value) => self.put(namespace, key, value),
            None => self.delete(namespace, key),
        }
    }
}
