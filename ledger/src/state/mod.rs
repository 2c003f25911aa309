//! Current state: the newest value of every key, and the version that wrote it.
//!
//! What every engine promises ([`StateDb`], [`StateSnapshot`]), and one suite asks of each of them:
//!
//! * **Keys** are text, any text, compared by their UTF-8 bytes. **Values** are bytes, any bytes, and
//!   come back as they were written; so do metadata and versions.
//! * **Whole or not at all.** A snapshot shows the blocks below its height and nothing of any other,
//!   however long it is held and whatever is followed meanwhile. Nobody waits for it, and it waits
//!   for nobody.
//! * **Idempotent by height.** Blocks below the savepoint change nothing.
//! * **The savepoint is never ahead of what is there.** What `follow` did may be lost from the end (by
//!   a power cut) or be half there (after a kill): the savepoint then says so, and following the
//!   blocks from there on again gives what it would have given.
//! * **Query indexes** follow in the same call, and are seen in the same snapshots.
//! * **Away is not damaged.** An engine that cannot be reached, that refuses us, or that has somebody
//!   else's things where ours would be, says so ([`ReadError::is_unavailable`]), reads and changes
//!   nothing, and works again when that is mended.

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
    /// Blocks below this have taken effect in the view, and no others.
    fn height(&self) -> u64;

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

    /// The values of keys, in their order.
    ///
    /// # Errors
    /// As [`StateSnapshot::get`].
    fn get_many(
        &self,
        namespace: &str,
        keys: &[String],
    ) -> Result<Vec<Option<VersionedValue>>, ReadError> {
        keys.iter().map(|key| self.get(namespace, key)).collect()
    }

    /// The values of the first of these keys, in their order: of one at least, and of as many as take up
    /// no more memory than is good.
    ///
    /// # Errors
    /// As [`StateSnapshot::get`].
    fn get_some(
        &self,
        namespace: &str,
        keys: &[String],
    ) -> Result<Vec<Option<VersionedValue>>, ReadError> {
        self.get_many(namespace, keys)
    }

    /// The values of keys of several namespaces, each named with its own.
    ///
    /// # Errors
    /// As [`StateSnapshot::get`].
    fn get_all(
        &self,
        names: &[(String, String)],
    ) -> Result<Vec<Option<VersionedValue>>, ReadError> {
        let names = names.iter();
        names
            .map(|(namespace, key)| self.get(namespace, key))
            .collect()
    }

    /// Refuses a namespace that could not be written: what is ordered for it could not be followed.
    ///
    /// # Errors
    /// [`ReadError::StateObstructed`], or as [`StateSnapshot::get`].
    fn may_write(&self, _namespace: &str) -> Result<(), ReadError> {
        Ok(())
    }

    /// Whether each read is a question to another server, and takes as long.
    fn is_remote(&self) -> bool {
        false
    }

    /// How many keys are best asked for at once by somebody who will want them one after another.
    fn batch(&self) -> usize {
        1
    }

    /// Says that these keys, with their namespaces, will be asked for. Only makes that faster.
    ///
    /// # Errors
    /// As [`StateSnapshot::get`].
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
    /// As [`StateSnapshot::get`].
    fn count(&self, namespace: &str) -> Result<u64, ReadError>;

    /// The rows from `start` (inclusive; `""` is the first) to `end`.
    ///
    /// # Errors
    /// As [`StateSnapshot::get`]; rows after an error are not given.
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

    /// All rows of a namespace in key order, for a check: looks at what a read need not, and goes on
    /// after a damaged row.
    ///
    /// # Errors
    /// As [`StateSnapshot::range`].
    fn examine<'a>(&'a self, namespace: &str) -> Result<Rows<'a>, ReadError> {
        self.rows(namespace, Bound::Unbounded, Bound::Unbounded, false)
    }

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

/// A state engine for one channel. Its contract is told at the head of this file.
///
/// It follows at once: a batch has taken effect, whole, when [`Follow::follow`] returns, and after an error
/// no snapshot shows anything of it. After an error that [is of a server](ReadError::is_unavailable) the
/// same batch may be given again, after anything else the ledger is opened again first.
pub(crate) trait StateDb: Follow {
    /// A view of what has taken effect so far.
    ///
    /// # Errors
    /// The engine failed.
    fn snapshot(&self) -> Result<Arc<dyn StateSnapshot>, ReadError>;

    /// Shows a query index, or hides it again, to those who ask the engine's own server and not us.
    /// Called with [`Builder::writing`](crate::query::builder::Builder::writing) held.
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
