//! The state of `_lifecycle`, as its functions see it.

use bytes::Bytes;
use quire_ledger::ReadError;

/// The namespace of definitions, and the chaincode that governs it.
pub const NAMESPACE: &str = "_lifecycle";

/// What `_lifecycle` reads and writes: its own namespace, and each organisation's implicit collection in it.
///
/// Reads see what was committed, never what was written since. Everything read is recorded.
pub trait State {
    /// A key's value. Of a collection only the own organisation's may be asked for.
    ///
    /// # Errors
    /// The ledger could not be read.
    fn get(&mut self, place: Place<'_>, key: &str) -> Result<Option<Bytes>, ReadError>;

    /// At most `limit` keys from `start` (inclusive) to `end` (exclusive) with their values. Of a collection only
    /// the own organisation's may be asked for, and all of its keys come.
    ///
    /// # Errors
    /// The ledger could not be read.
    fn range(
        &mut self,
        place: Place<'_>,
        start: &str,
        end: &str,
        limit: usize,
    ) -> Result<Vec<(String, Bytes)>, ReadError>;

    /// The SHA-256 of a value in any organisation's collection, by its MSP id.
    ///
    /// # Errors
    /// The ledger could not be read.
    fn hash(&mut self, organization: &str, key: &str) -> Result<Option<Bytes>, ReadError>;

    /// Writes a key.
    fn put(&mut self, place: Place<'_>, key: &str, value: Bytes);

    /// Deletes a key.
    fn delete(&mut self, place: Place<'_>, key: &str);
}

/// Where a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place<'a> {
    /// In `_lifecycle`, for everybody to read.
    Public,
    /// In `lscc`, where definitions were before Fabric 2. Only ever read.
    Legacy,
    /// In the implicit collection of the organisation with this MSP id.
    Of(&'a str),
}

/// The name of an organisation's implicit collection.
#[must_use]
pub fn implicit_collection(organization: &str) -> String {
    format!("_implicit_org_{organization}")
}
