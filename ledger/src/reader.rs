//! Everything that can be asked of a channel, by any number of threads.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quire_wire::hash::Hash;

use crate::error::{Corruption, ReadError};
use crate::followers::history::Order;
use crate::followers::index::TxLocation;
use crate::model::block::{Block, Height};
use crate::model::value::VersionedValue;
use crate::modification::KeyModification;
use crate::observer::{Observed, StateCall};
use crate::query::find::{Seen, Source};
use crate::query::{
    self, FindError, Found, IndexError, IndexListing, IndexRequest, IndexState, Meter,
    MigrateError, Migrated, Migration, Query,
};
use crate::state::{NamespaceSummary, RangeEnd};
use crate::view::{Shared, View};

/// The state of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainInfo {
    /// How many blocks there are.
    pub height: u64,
    /// Hash of the last block.
    pub current_hash: Hash,
    /// What the last block names as its previous hash; zeros where it names none.
    pub previous_hash: Hash,
}

/// Reads of one channel. Cheap to clone; each call sees the newest commit.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.shared.view.read())
    }

    /// The channel's name.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.shared.channel
    }

    /// How many blocks can be read.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.view().tip.height
    }

    /// Whether each read of state is a question to another server, and takes as long.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.view().state.is_remote()
    }

    /// Why state cannot be read now, if that is known. It can be again without anybody's doing.
    #[must_use]
    pub fn state_trouble(&self) -> Option<String> {
        self.view().state.trouble()
    }

    /// One consistent view, for reads that belong together. Do not keep it longer than a request.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            shared: Arc::clone(&self.shared),
            view: self.view(),
        }
    }

    /// The query indexes of a namespace, `_all_docs` first, then by design document and name.
    #[must_use]
    pub fn indexes(&self, namespace: &str) -> Vec<IndexListing> {
        let mut indexes = self.shared.registry.builder().of_namespace(namespace);
        indexes.sort_by_cached_key(|index| {
            let record = &index.definition.record;
            (record.ddoc.clone(), record.name.clone())
        });
        let indexes = indexes.iter().map(|index| IndexListing {
            definition: index.definition.to_json(),
            state: index.state(),
        });
        std::iter::once(query::all_documents())
            .chain(indexes)
            .collect()
    }

    /// How far each query index of the channel is, in no order.
    #[must_use]
    pub fn index_states(&self) -> Vec<IndexState> {
        self.shared.registry.builder().states()
    }

    /// Makes a query index and waits until it is built, at most `wait`. Whether there was none like
    /// it; one of the same name with another definition is replaced. The definition is durable on
    /// return, and building goes on without the caller.
    ///
    /// # Errors
    /// See [`IndexError`].
    pub fn create_index(
        &self,
        namespace: &str,
        request: &IndexRequest,
        wait: Duration,
    ) -> Result<bool, IndexError> {
        let registry = &self.shared.registry;
        let created = registry.create(namespace, request)?;
        let record = &request.0.record;
        let builder = registry.builder();
        builder.wait(namespace, &record.ddoc, &record.name, wait);
        Ok(created)
    }

    /// Removes a query index; `ddoc` is without `_design/`. Durable on return.
    ///
    /// # Errors
    /// See [`IndexError`].
    pub fn delete_index(&self, namespace: &str, ddoc: &str, name: &str) -> Result<(), IndexError> {
        self.shared.registry.delete(namespace, ddoc, name)
    }

    /// Applies the migrations that the channel has not had, and begins to build their indexes; they
    /// must be all there are, in the order of their numbers, from 1 on without gaps. One that was
    /// applied is never applied again, whatever became of its indexes. Each is durable, and
    /// remembered, at once; so the call may be repeated after an error or a crash.
    ///
    /// # Errors
    /// See [`MigrateError`]. Those before the one it names are applied.
    pub fn migrate(&self, migrations: &[Migration]) -> Result<Migrated, MigrateError> {
        let Shared {
            channel, registry, ..
        } = self.shared.as_ref();
        registry.migrate(channel, migrations)
    }

    /// Height and hashes of the chain's end.
    ///
    /// # Errors
    /// As [`Reader::block`].
    pub fn info(&self) -> Result<ChainInfo, ReadError> {
        let tip = self.view().tip.clone();
        let last = match tip.height.checked_sub(1) {
            Some(number) => self.block(number)?,
            None => None,
        };
        let previous_hash = last.and_then(|block| block.previous_hash[..].try_into().ok());
        Ok(ChainInfo {
            height: tip.height,
            current_hash: tip.hash,
            previous_hash: previous_hash.unwrap_or_default(),
        })
    }

    /// Block `number`, checked; `None` at and beyond the height.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] where the block is damaged: it is never served so.
    pub fn block(&self, number: u64) -> Result<Option<Arc<Block>>, ReadError> {
        let view = self.view();
        if number >= view.tip.height {
            return Ok(None);
        }
        let location = self.shared.index.location(&view.derived, number)?;
        let location =
            location.ok_or_else(|| ReadError::Missing(format!("block {number} in the index")))?;
        let files = &self.shared.files;
        let read = files.read(number, location, self.shared.own_from);
        if let Err(ReadError::Corrupt(corruption)) = &read {
            self.shared
                .damage
                .remember(&self.shared.channel, number, corruption);
        }
        read.map(Some)
    }

    /// What reads met so far that was damaged, by block. It stays known until the channel is opened
    /// again, whatever later reads find: a disk that changes its mind is not well either.
    #[must_use]
    pub fn damage(&self) -> Vec<Corruption> {
        self.shared.damage.list()
    }

    /// Blocks from `number` on, in order, up to what is the tip when each is asked for. After an
    /// error it goes on with the next block.
    pub fn blocks(
        &self,
        number: u64,
    ) -> impl Iterator<Item = Result<Arc<Block>, ReadError>> + use<> {
        let reader = self.clone();
        (number..).map_while(move |number| reader.block(number).transpose())
    }

    /// The number of the block with this hash.
    ///
    /// # Errors
    /// The embedded engine failed.
    pub fn block_number_by_hash(&self, hash: &[u8]) -> Result<Option<u64>, ReadError> {
        self.shared.index.number_by_hash(&self.view().derived, hash)
    }

    /// Where the first transaction with this id stands, and what became of it.
    ///
    /// # Errors
    /// The embedded engine failed.
    pub fn transaction(&self, tx_id: &str) -> Result<Option<TxLocation>, ReadError> {
        let view = self.view();
        let found = self.shared.index.transaction(&view.derived, tx_id)?;
        match found {
            // What the index knows and state does not is no answer to give, and none to deny.
            Some(location) if location.height.block >= view.tip.height => {
                let number = location.height.block;
                Err(ReadError::StateUnavailable(format!(
                    "it has not taken in block {number} yet"
                )))
            }
            found => Ok(found),
        }
    }

    /// The bytes of a transaction's envelope; `None` where there is no such transaction. Costs a read of
    /// the envelope, where the index knows its place; of the whole block otherwise.
    ///
    /// # Errors
    /// As [`Reader::block`].
    pub fn envelope(&self, height: Height) -> Result<Option<Bytes>, ReadError> {
        if let Some(envelope) = self.lone_envelope(height) {
            return Ok(Some(envelope));
        }
        let Some(block) = self.block(height.block)? else {
            return Ok(None);
        };
        let position = usize::try_from(height.tx).ok();
        Ok(position.and_then(|tx| block.envelopes.get(tx).cloned()))
    }

    /// The same without its block, where that is not in memory. What stands in the way is for the read
    /// of the block to tell.
    fn lone_envelope(&self, height: Height) -> Option<Bytes> {
        let Shared { files, index, .. } = self.shared.as_ref();
        let view = self.view();
        if height.block >= view.tip.height || files.is_cached(height.block) {
            return None;
        }
        let location = index.envelope(&view.derived, height).ok()??;
        files.read_envelope(height, location)
    }
}

/// One consistent view of a channel.
#[derive(Clone, Debug)]
pub struct Snapshot {
    shared: Arc<Shared>,
    view: Arc<View>,
}

impl Snapshot {
    /// The channel's name.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.shared.channel
    }

    /// Blocks below this have taken effect in the view.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.view.tip.height
    }

    /// The value of a key; `None` where it does not exist.
    ///
    /// # Errors
    /// The state engine failed or holds damaged bytes.
    pub fn get(&self, namespace: &str, key: &str) -> Result<Option<VersionedValue>, ReadError> {
        let get = || self.view.state.get(namespace, key);
        self.observed().asked(StateCall::Get, get)
    }

    /// The values of keys, each named with its namespace: one question, where each would be one to
    /// another server.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub(crate) fn get_all(
        &self,
        names: &[(String, String)],
    ) -> Result<Vec<Option<VersionedValue>>, ReadError> {
        let get = || self.view.state.get_all(names);
        self.observed().asked(StateCall::Get, get)
    }

    /// Whether each read of state is a question to another server, and takes as long.
    pub(crate) fn is_remote(&self) -> bool {
        self.view.state.is_remote()
    }

    /// Refuses a namespace that could not be written.
    pub(crate) fn may_write(&self, namespace: &str) -> Result<(), ReadError> {
        self.view.state.may_write(namespace)
    }

    /// At most `limit` rows from `start` (inclusive, `""` is the first) to `end`, in byte order of
    /// keys.
    ///
    /// # Errors
    /// The state engine failed or holds damaged bytes.
    pub fn range(
        &self,
        namespace: &str,
        start: &str,
        end: RangeEnd<'_>,
        limit: usize,
    ) -> Result<Vec<(String, VersionedValue)>, ReadError> {
        self.observed().asked(StateCall::Range, || {
            let rows = self.view.state.range(namespace, start, end)?;
            rows.take(limit).collect()
        })
    }

    /// The same, but for rows after the one with which they exceed `bytes`; and whether the range ends with
    /// them.
    ///
    /// # Errors
    /// As [`Snapshot::range`].
    pub fn range_within(
        &self,
        namespace: &str,
        start: &str,
        end: RangeEnd<'_>,
        limit: usize,
        bytes: usize,
    ) -> Result<(Vec<(String, VersionedValue)>, bool), ReadError> {
        self.observed().asked(StateCall::Range, || {
            let mut taken = Vec::new();
            let mut size = 0;
            for row in self.view.state.range(namespace, start, end)?.take(limit) {
                let (key, value) = row?;
                size += key.len() + value.value.len();
                taken.push((key, value));
                if size > bytes {
                    return Ok((taken, false));
                }
            }
            let is_last = taken.len() < limit;
            Ok((taken, is_last))
        })
    }

    /// A page of the documents that match a query; it ends early when they exceed `page_bytes`.
    /// Values that are no JSON objects are passed over. `meter` counts its work, behind what it counted
    /// before, and ends it.
    ///
    /// # Errors
    /// See [`FindError`].
    pub fn find(
        &self,
        namespace: &str,
        query: &Query,
        page_bytes: usize,
        meter: &mut Meter,
    ) -> Result<Found, FindError> {
        let find = || self.source(namespace).find(query, page_bytes, meter);
        self.observed().asked(StateCall::Find, find)
    }

    /// The same, and what its reader saw by it.
    pub(crate) fn see(
        &self,
        namespace: &str,
        query: &Query,
        page_bytes: usize,
        meter: &mut Meter,
    ) -> Result<(Found, Option<Seen>), FindError> {
        let see = || self.source(namespace).see(query, page_bytes, meter);
        self.observed().asked(StateCall::Find, see)
    }

    /// How a query would be answered, as CouchDB's `_explain` says it.
    ///
    /// # Errors
    /// See [`FindError`].
    pub fn explain(&self, namespace: &str, query: &Query) -> Result<serde_json::Value, FindError> {
        self.source(namespace).explain(query)
    }

    fn source<'a>(&'a self, namespace: &'a str) -> Source<'a> {
        Source {
            channel: &self.shared.channel,
            namespace,
            state: self.view.state.as_ref(),
            indexes: self.shared.registry.builder(),
            observed: self.observed(),
        }
    }

    fn observed(&self) -> &Observed {
        &self.shared.files.observed
    }

    /// Namespaces with at least one key, in byte order.
    ///
    /// # Errors
    /// The state engine failed or holds damaged bytes.
    pub fn namespaces(&self) -> Result<Vec<NamespaceSummary>, ReadError> {
        self.view.state.namespaces()
    }

    /// Where a key was written or deleted, at most `limit` heights; `after` resumes strictly after
    /// that height in the given order.
    ///
    /// # Errors
    /// The embedded engine failed.
    pub fn history(
        &self,
        namespace: &str,
        key: &str,
        order: Order,
        after: Option<Height>,
        limit: usize,
    ) -> Result<Vec<Height>, ReadError> {
        // The history may be ahead of a state that is away.
        let end = Height::new(self.view.tip.height, 0);
        let (from, to) = match order {
            Order::NewestFirst => (None, after.map_or(end, |after| after.min(end))),
            Order::OldestFirst => (after, end),
        };
        let history = &self.shared.history;
        history
            .writes(&self.view.derived, namespace, key, from, Some(to), order)?
            .take(limit)
            .collect()
    }

    /// What the transaction at one of the heights of [`Snapshot::history`] did to the key.
    ///
    /// # Errors
    /// As [`Reader::block`].
    pub fn modification(
        &self,
        namespace: &str,
        key: &str,
        height: Height,
    ) -> Result<KeyModification, ReadError> {
        let reader = Reader {
            shared: Arc::clone(&self.shared),
        };
        KeyModification::read(&reader, namespace, key, height)
    }

    /// The version that a key had just before a transaction; `None` where it did not exist then.
    ///
    /// # Errors
    /// As [`Reader::block`]: whether the last write was a delete is in its block.
    pub fn version_before(
        &self,
        namespace: &str,
        key: &str,
        height: Height,
    ) -> Result<Option<Height>, ReadError> {
        let history = &self.shared.history;
        let before = Some(height);
        let mut writes = history.writes(
            &self.view.derived,
            namespace,
            key,
            None,
            before,
            Order::NewestFirst,
        )?;
        let Some(last) = writes.next().transpose()? else {
            return Ok(None);
        };
        // The current version is no delete, and mostly that is what was asked. Another server takes
        // longer to say so than the block does.
        if !self.is_remote()
            && self
                .get(namespace, key)?
                .is_some_and(|value| value.version == last)
        {
            return Ok(Some(last));
        }
        let write = self.modification(namespace, key, last)?;
        Ok(write.value.map(|_| last))
    }
}
