//! Current state: the newest value of every key, and the version that wrote it.
//!
//! What every engine promises ([`StateDb`], [`StateSnapshot`]):
//!
//! * Keys are text, compared by their UTF-8 bytes. Values come back byte for byte.
//! * [`StateDb::apply`] takes effect whole or not at all for anyone who reads through a snapshot,
//!   and is idempotent by height: blocks below the savepoint change nothing.
//! * What `apply` returned may be lost by a power cut, from the end: the savepoint then says so, and
//!   the blocks are replayed. It is never ahead of what is there.

pub(crate) mod fjall;

use std::fmt::Debug;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::block::Height;
use crate::error::ReadError;
use crate::follow::Durable;

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionedValue {
    /// Byte for byte as it was written.
    pub value: Bytes,
    /// Fabric's key-level metadata (a `KVMetadataWrite` without key), mostly empty.
    pub metadata: Bytes,
    /// The transaction that wrote it.
    pub version: Height,
}

/// Where a range of keys ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeEnd<'a> {
    /// At the namespace's last key.
    Unbounded,
    /// At the last key before this one.
    Before(&'a str),
    /// At this key, if it is there.
    Through(&'a str),
}

impl RangeEnd<'_> {
    /// Whether a key at or after the start lies in the range.
    #[must_use]
    pub fn includes(&self, key: &str) -> bool {
        match self {
            Self::Unbounded => true,
            Self::Before(end) => key < *end,
            Self::Through(end) => key <= *end,
        }
    }
}

/// A namespace and how many keys it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceSummary {
    /// The namespace.
    pub name: String,
    /// Keys; a lower bound where `exact` is false.
    pub keys: u64,
    /// Whether every key was counted.
    pub exact: bool,
}

/// Rows of a range, in key order.
pub(crate) type Rows<'a> =
    Box<dyn Iterator<Item = Result<(String, VersionedValue), ReadError>> + 'a>;

/// Keys of documents, in the order of an index.
pub(crate) type Keys<'a> = Box<dyn Iterator<Item = Result<String, ReadError>> + 'a>;

/// One consistent view of state. Cheap to hold for a request, not for ever: an engine may keep old
/// values for it.
pub(crate) trait StateSnapshot: Send + Sync + Debug {
    /// The value of a key; `None` where it does not exist.
    ///
    /// # Errors
    /// The engine failed or holds damaged bytes.
    fn get(&self, namespace: &str, key: &str) -> Result<Option<VersionedValue>, ReadError>;

    /// The version of a key; `None` where it does not exist.
    ///
    /// # Errors
    /// As [`StateSnapshot::get`].
    fn version(&self, namespace: &str, key: &str) -> Result<Option<Height>, ReadError>;

    /// The rows from `start` (inclusive; `""` is the first) to `end`.
    ///
    /// # Errors
    /// As [`StateSnapshot::get`]; rows after an error are not given.
    fn range<'a>(
        &'a self,
        namespace: &str,
        start: &str,
        end: RangeEnd<'_>,
    ) -> Result<Rows<'a>, ReadError>;

    /// The rows between two keys, from the last to the first where `is_reversed`.
    ///
    /// # Errors
    /// As [`StateSnapshot::range`].
    fn rows<'a>(
        &'a self,
        namespace: &str,
        from: Bound<&str>,
        to: Bound<&str>,
        is_reversed: bool,
    ) -> Result<Rows<'a>, ReadError>;

    /// Whether the view holds a query index whole.
    ///
    /// # Errors
    /// As [`StateSnapshot::get`].
    fn is_built(&self, index: u64) -> Result<bool, ReadError>;

    /// Keys of the documents of a query index whose sort keys lie from `from` to `to`, exclusive.
    ///
    /// # Errors
    /// As [`StateSnapshot::range`].
    fn entries<'a>(
        &'a self,
        index: u64,
        from: &[u8],
        to: &[u8],
        is_reversed: bool,
    ) -> Result<Keys<'a>, ReadError>;

    /// Namespaces with at least one key, in byte order.
    ///
    /// # Errors
    /// As [`StateSnapshot::get`].
    fn namespaces(&self) -> Result<Vec<NamespaceSummary>, ReadError>;

    /// Whether metadata was ever written in a namespace; may err on the side of yes.
    ///
    /// # Errors
    /// As [`StateSnapshot::get`].
    fn has_metadata(&self, namespace: &str) -> Result<bool, ReadError>;
}

/// A state engine for one channel.
pub(crate) trait StateDb: Send + Sync + Debug {
    /// Blocks below this have taken effect.
    ///
    /// # Errors
    /// The engine failed or holds damaged bytes.
    fn savepoint(&self) -> Result<u64, ReadError>;

    /// Lets blocks take effect, in order, those below the savepoint excepted. Called by one thread.
    ///
    /// # Errors
    /// The engine failed; nothing has taken effect, or all of it has.
    fn apply(&self, blocks: &[Durable]) -> Result<(), ReadError>;

    /// A view of what has taken effect so far.
    ///
    /// # Errors
    /// The engine failed.
    fn snapshot(&self) -> Result<Arc<dyn StateSnapshot>, ReadError>;
}
