//! One consistent view of a channel, for reads that belong together.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use quire_wire::transaction::Opened;

use crate::error::ReadError;
use crate::followers::history::Order;
use crate::model::block::Height;
use crate::model::value::VersionedValue;
use crate::modification::KeyModification;
use crate::observer::{Observed, StateCall};
use crate::private_sets::PrivateKey;
use crate::query::find::{Seen, Source};
use crate::query::{FindError, Found, Meter, Query};
use crate::reader::Reader;
use crate::state::{NamespaceSummary, RangeEnd};
use crate::view::{Shared, View};

/// One consistent view of a channel.
#[derive(Clone, Debug)]
pub struct Snapshot {
    shared: Arc<Shared>,
    view: Arc<View>,
}

impl Snapshot {
    pub(crate) fn new(shared: Arc<Shared>, view: Arc<View>) -> Self {
        Self { shared, view }
    }

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

    /// The value of a key; `None` if it does not exist.
    ///
    /// # Errors
    /// The state engine failed or holds damaged bytes.
    pub fn get(&self, namespace: &str, key: &str) -> Result<Option<VersionedValue>, ReadError> {
        let get = || self.view.state.get(namespace, key);
        self.observed().asked(StateCall::Get, get)
    }

    /// The values of keys, each named with its namespace. On another server this is one request for all.
    ///
    /// # Errors
    /// See [`Snapshot::get`].
    pub(crate) fn get_all(
        &self,
        names: &[(String, String)],
    ) -> Result<Vec<Option<VersionedValue>>, ReadError> {
        let get = || self.view.state.get_all(names);
        self.observed().asked(StateCall::Get, get)
    }

    /// Whether each read of state is a request to another server, which takes longer.
    pub(crate) fn is_remote(&self) -> bool {
        self.view.state.is_remote()
    }

    /// Refuses a namespace that could not be written.
    pub(crate) fn may_write(&self, namespace: &str) -> Result<(), ReadError> {
        self.view.state.may_write(namespace)
    }

    /// The value of a private key, whose hash in state is `found`; `None` if it has no value. Only a node
    /// that simulated the transaction that wrote it has the value.
    ///
    /// # Errors
    /// [`ReadError::PrivateMissing`] if this node does not have it; see also [`Reader::block`].
    pub(crate) fn private(
        &self,
        key: PrivateKey<'_>,
        found: &VersionedValue,
    ) -> Result<Bytes, ReadError> {
        let reader = Reader::new(Arc::clone(&self.shared));
        let envelope = reader.envelope(found.version)?;
        let opened = envelope.and_then(|envelope| Opened::read(&envelope).ok());
        let tx_id = opened.map(|opened| opened.channel_header.tx_id);
        let sets = &self.shared.private_sets;
        let value = tx_id.and_then(|tx_id| sets.value(&tx_id, key, &found.value));
        value.ok_or_else(|| ReadError::PrivateMissing {
            namespace: key.namespace.to_owned(),
            collection: key.collection.to_owned(),
        })
    }

    /// The names that keys of a private collection may have; see [`PrivateSets::keys`].
    ///
    /// [`PrivateSets::keys`]: crate::private_sets::PrivateSets::keys
    pub(crate) fn private_keys(
        &self,
        namespace: &str,
        collection: &str,
        start: &str,
        end: &str,
    ) -> BTreeSet<String> {
        let sets = &self.shared.private_sets;
        sets.keys(namespace, collection, start, end)
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

    /// The same, but it stops after the row with which the rows exceed `bytes`. Also returns whether the
    /// range ends there.
    ///
    /// # Errors
    /// See [`Snapshot::range`].
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

    /// A page of the documents that match a query; it ends early when they exceed `page_bytes`. Values that
    /// are not JSON objects are skipped. `meter` counts its work, in addition to earlier work, and can end
    /// it.
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

    /// The same, with what its reader saw.
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

    /// How a query would be answered, in the form of CouchDB's `_explain`.
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

    /// At most `limit` heights at which a key was written or deleted; `after` resumes strictly after that
    /// height in the given order.
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
        // The history may be ahead of state that is unavailable.
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
    /// See [`Reader::block`].
    pub fn modification(
        &self,
        namespace: &str,
        key: &str,
        height: Height,
    ) -> Result<KeyModification, ReadError> {
        let reader = Reader::new(Arc::clone(&self.shared));
        KeyModification::read(&reader, namespace, key, height)
    }

    /// The version that a key had just before a transaction; `None` if it did not exist then.
    ///
    /// # Errors
    /// See [`Reader::block`]: only its block tells whether the last write was a delete.
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
        // The current version is not a delete, and is usually the answer. Another server would take longer
        // than the block.
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
