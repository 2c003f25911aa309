//! Current state: the newest value of every key, and the version that wrote it.
//!
//! Every engine promises this ([`StateDb`], [`StateSnapshot`]), and one suite tests each of them:
//!
//! * **Keys** are any text, compared by its UTF-8 bytes. **Values** are any bytes, and come back as they were
//!   written; so do metadata and versions.
//! * **Blocks are seen whole or not at all.** A snapshot shows the blocks below its height and nothing of
//!   other blocks, however long it is held and whatever is followed meanwhile. Nobody waits for it, and it
//!   waits for nobody.
//! * **Following is idempotent by height.** Blocks below the savepoint change nothing.
//! * **The savepoint is never ahead of what is stored.** A power cut may lose the end of what `follow` did,
//!   and a kill may leave half of it: then the savepoint says so, and following the blocks again from there
//!   gives the same result.
//! * **Query indexes** follow in the same call, and are seen in the same snapshots.
//! * **Unavailable is not damaged.** If an engine cannot be reached, refuses us, or has somebody else's data
//!   in our place, it says so ([`ReadError::is_unavailable`]), reads and changes nothing, and works again
//!   when the trouble is over.

pub(crate) mod engine;
pub(crate) mod engines;
pub(crate) mod value;

use std::fmt::Debug;
use std::ops::Bound;
use std::sync::Arc;

use quire_wire::hash::Hash;

use crate::error::ReadError;
use crate::followers::Follow;
use crate::model::block::Height;
use crate::model::value::VersionedValue;
use crate::query::index::Record;

/// The name of state among the followers.
pub(crate) const NAME: &str = "state";

/// The end of a range of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeEnd<'a> {
    /// The range ends at the namespace's last key.
    Unbounded,
    /// It ends at the last key before this one.
    Before(&'a str),
    /// It ends at this key, if the key exists.
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

/// A namespace and the number of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceSummary {
    /// The namespace.
    pub name: String,
    /// The number of keys; a lower bound if `exact` is false.
    pub keys: u64,
    /// Whether every key was counted.
    pub exact: bool,
}

/// Rows of a range, in key order.
pub(crate) type Rows<'a> =
    Box<dyn Iterator<Item = Result<(String, VersionedValue), ReadError>> + 'a>;

/// Keys of documents, in the order of an index.
pub(crate) type Keys<'a> = Box<dyn Iterator<Item = Result<String, ReadError>> + 'a>;

/// One consistent view of state. It is cheap to hold during a request, but not for ever: an engine may keep
/// old values for it.
pub(crate) trait StateSnapshot: Send + Sync + Debug {
    /// Blocks below this have taken effect in the view, and no others.
    fn height(&self) -> u64;

    /// The value of a key; `None` if it does not exist.
    ///
    /// # Errors
    /// The engine failed or holds damaged bytes.
    fn get(&self, namespace: &str, key: &str) -> Result<Option<VersionedValue>, ReadError>;

    /// The version of a key; `None` if it does not exist.
    ///
    /// # Errors
    /// See [`StateSnapshot::get`].
    fn version(&self, namespace: &str, key: &str) -> Result<Option<Height>, ReadError>;

    /// The values of keys, in their order.
    ///
    /// # Errors
    /// See [`StateSnapshot::get`].
    fn get_many(
        &self,
        namespace: &str,
        keys: &[String],
    ) -> Result<Vec<Option<VersionedValue>>, ReadError> {
        keys.iter().map(|key| self.get(namespace, key)).collect()
    }

    /// The values of the first of these keys, in their order: of at least one key, and of as many as memory
    /// should hold.
    ///
    /// # Errors
    /// See [`StateSnapshot::get`].
    fn get_some(
        &self,
        namespace: &str,
        keys: &[String],
    ) -> Result<Vec<Option<VersionedValue>>, ReadError> {
        self.get_many(namespace, keys)
    }

    /// The values of keys of several namespaces, each named with its namespace.
    ///
    /// # Errors
    /// See [`StateSnapshot::get`].
    fn get_all(
        &self,
        names: &[(String, String)],
    ) -> Result<Vec<Option<VersionedValue>>, ReadError> {
        let names = names.iter();
        names
            .map(|(namespace, key)| self.get(namespace, key))
            .collect()
    }

    /// Refuses a namespace that could not be written: a transaction ordered for it could not be followed.
    ///
    /// # Errors
    /// [`ReadError::StateObstructed`], or see [`StateSnapshot::get`].
    fn may_write(&self, _namespace: &str) -> Result<(), ReadError> {
        Ok(())
    }

    /// Whether each read is a request to another server, which takes longer.
    fn is_remote(&self) -> bool {
        false
    }

    /// How many keys a caller who needs them one after another should ask for at once.
    fn batch(&self) -> usize {
        1
    }

    /// Announces that these keys, with their namespaces, will be asked for. This only makes the reads faster.
    ///
    /// # Errors
    /// See [`StateSnapshot::get`].
    fn expect(&self, _keys: &[(String, String)]) -> Result<(), ReadError> {
        Ok(())
    }

    /// Why the engine cannot be asked now, if it is known.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// How many keys a namespace has.
    ///
    /// # Errors
    /// See [`StateSnapshot::get`].
    fn count(&self, namespace: &str) -> Result<u64, ReadError>;

    /// The rows from `start` (inclusive; `""` is the first) to `end`.
    ///
    /// # Errors
    /// See [`StateSnapshot::get`]; there are no rows after an error.
    fn range<'a>(
        &'a self,
        namespace: &str,
        start: &str,
        end: RangeEnd<'_>,
    ) -> Result<Rows<'a>, ReadError> {
        let end = match end {
            RangeEnd::Unbounded => Bound::Unbounded,
            RangeEnd::Before(key) => Bound::Excluded(key),
            RangeEnd::Through(key) => Bound::Included(key),
        };
        self.rows(namespace, Bound::Included(start), end, false)
    }

    /// The rows between two keys, from the last to the first if `is_reversed`.
    ///
    /// # Errors
    /// See [`StateSnapshot::range`].
    fn rows<'a>(
        &'a self,
        namespace: &str,
        from: Bound<&str>,
        to: Bound<&str>,
        is_reversed: bool,
    ) -> Result<Rows<'a>, ReadError>;

    /// All rows of a namespace in key order, for a check: this checks more than a read must, and goes on
    /// after a damaged row.
    ///
    /// # Errors
    /// See [`StateSnapshot::range`].
    fn examine<'a>(&'a self, namespace: &str) -> Result<Rows<'a>, ReadError> {
        self.rows(namespace, Bound::Unbounded, Bound::Unbounded, false)
    }

    /// Whether the view has the whole query index.
    ///
    /// # Errors
    /// See [`StateSnapshot::get`].
    fn is_built(&self, index: u64) -> Result<bool, ReadError>;

    /// Keys of the documents of a query index whose sort keys lie from `from` to `to`; `to` is exclusive.
    ///
    /// # Errors
    /// See [`StateSnapshot::range`].
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
    /// See [`StateSnapshot::get`].
    fn namespaces(&self) -> Result<Vec<NamespaceSummary>, ReadError>;

    /// Whether metadata was ever written in a namespace; it may be true by mistake, but never false.
    ///
    /// # Errors
    /// See [`StateSnapshot::get`].
    fn has_metadata(&self, namespace: &str) -> Result<bool, ReadError>;
}

/// A state engine for one channel. Its contract is at the top of this file.
///
/// It follows immediately: a batch has taken effect, whole, when [`Follow::follow`] returns, and after an
/// error no snapshot shows anything of it. After an error [of a server](ReadError::is_unavailable) the same
/// batch may be given again; after any other error the ledger must be opened again first.
pub(crate) trait StateDb: Follow {
    /// A view of what has taken effect so far.
    ///
    /// # Errors
    /// The engine failed.
    fn snapshot(&self) -> Result<Arc<dyn StateSnapshot>, ReadError>;

    /// Shows a query index to users who ask the engine's own server, or hides it again. The caller holds
    /// [`Builder::writing`](crate::query::builder::Builder::writing).
    ///
    /// # Errors
    /// The engine failed. No answer here depends on it.
    fn show_index(
        &self,
        _namespace: &str,
        _index: &Record,
        _is_there: bool,
    ) -> Result<(), ReadError> {
        Ok(())
    }

    /// Says whose state this is, by the hash of the channel's block 0.
    ///
    /// # Errors
    /// It is the state of another chain.
    fn identify(&self, _genesis: &Hash) -> Result<(), ReadError> {
        Ok(())
    }
}
