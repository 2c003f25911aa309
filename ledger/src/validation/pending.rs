//! State as a transaction finds it when it is judged, and how a valid one takes effect.
//!
//! A read-write set changes values and metadata separately, but state keeps them together, so a transaction
//! that writes one of them keeps the former other one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;

use super::expiry::{self, Expiry};
use super::writes::{self, KeyWrites};
use crate::error::ReadError;
use crate::model::block::Height;
use crate::model::examined::{Content, Examined};
use crate::model::namespace::{
    CONFIG_KEY, CONFIG_NAMESPACE, HashedKey, hashed_key, hashed_namespace, queried,
};
use crate::model::updates::{Update, Updates};
use crate::model::value::VersionedValue;
use crate::state::StateSnapshot;

/// State as a transaction finds it when it is judged. Over the committed state lie the changes of batches on
/// their way, of earlier blocks of the batch, and of earlier transactions of the block.
#[derive(Debug)]
pub(crate) struct Pending<'a> {
    pub(crate) state: &'a dyn StateSnapshot,
    /// Changes of batches that state may not have yet, earlier ones first. State may have the first of them
    /// already, which does no harm: the change has the same value.
    on_their_way: Vec<&'a Updates>,
    earlier_blocks: Updates,
    pub(crate) block: Updates,
    number: u64,
    /// How long private keys live; `None` before the first block.
    expiry: Option<Expiry>,
    /// Private keys for which this block is the last that sees them.
    expired: Vec<HashedKey>,
    /// Which namespaces of state have metadata, as far as that was asked.
    metadata_in_state: BTreeMap<String, bool>,
}

impl<'a> Pending<'a> {
    pub(crate) fn new(state: &'a dyn StateSnapshot) -> Self {
        Self {
            state,
            on_their_way: Vec::new(),
            earlier_blocks: Updates::default(),
            block: Updates::default(),
            number: 0,
            expiry: None,
            expired: Vec::new(),
            metadata_in_state: BTreeMap::new(),
        }
    }

    /// Adds the changes of batches, in order, that state may not have yet.
    pub(crate) fn after(self, on_their_way: Vec<&'a Updates>) -> Self {
        Self {
            on_their_way,
            ..self
        }
    }

    /// Adds what is known of the ends of private keys after the blocks before.
    pub(crate) fn with_expiry(self, expiry: Option<Expiry>) -> Self {
        Self { expiry, ..self }
    }

    /// Takes what is known of the ends of private keys after the blocks so far.
    pub(crate) fn take_expiry(&mut self) -> Option<Expiry> {
        self.expiry.take()
    }

    /// The changes of earlier blocks that state may not have yet, later blocks first.
    fn before_block(&self) -> impl Iterator<Item = &Updates> {
        let on_their_way = self.on_their_way.iter().copied().rev();
        std::iter::once(&self.earlier_blocks).chain(on_their_way)
    }

    /// Everything that changed since the snapshot, earlier changes first.
    pub(crate) fn layers(&self) -> impl Iterator<Item = &Updates> {
        let on_their_way = self.on_their_way.iter().copied();
        on_their_way.chain([&self.earlier_blocks, &self.block])
    }

    /// The change of a public key since the snapshot, before the block; `None` if it did not change.
    pub(crate) fn public_before_block(&self, namespace: &str, key: &str) -> Option<&Update> {
        self.before_block()
            .find_map(|updates| updates.public(namespace, key))
    }

    /// The same for a private key.
    pub(crate) fn hashed_before_block(
        &self,
        namespace: &str,
        collection: &str,
        key_hash: &[u8],
    ) -> Option<&Update> {
        self.before_block()
            .find_map(|updates| updates.hashed(namespace, collection, key_hash))
    }

    /// The change of a public key since the snapshot; `None` if it did not change.
    pub(crate) fn latest(&self, namespace: &str, key: &str) -> Option<&Update> {
        let pending = self.block.public(namespace, key);
        pending.or_else(|| self.public_before_block(namespace, key))
    }

    /// The public keys of a namespace that changed since the snapshot, with their present values.
    pub(crate) fn changes(&self, namespace: &str) -> BTreeMap<&str, &Update> {
        let changes = self.layers().filter_map(|updates| updates.of(namespace));
        let changes = changes.flatten();
        changes
            .map(|(key, update)| (key.as_str(), update))
            .collect()
    }

    /// Begins a block: the changes of the block before are now an earlier block's, and the keys that it was
    /// the last to see are gone. No commit hash covers that.
    pub(crate) fn begin_block(&mut self, number: u64) {
        let before = std::mem::take(&mut self.block);
        self.earlier_blocks.overlay(before);
        let version = Height::new(self.number, u64::MAX);
        for (namespace, collection, key) in std::mem::take(&mut self.expired) {
            let changes = self.earlier_blocks.namespaces.entry(namespace).or_default();
            let keys = changes.collections.entry(collection).or_default();
            let content = None;
            keys.insert(key, Update { version, content });
        }
        self.number = number;
    }

    /// Ends a block whose transactions were all judged: finds the keys that it is the last to see.
    pub(crate) fn end_block(&mut self) -> Result<(), ReadError> {
        let mut expiry = match self.expiry.take() {
            Some(expiry) if !expiry::is_redefined_by(&self.block) => expiry,
            _ => Expiry::read(self)?,
        };
        expiry.note(&self.block);
        for (namespace, collection, key) in expiry.due(self.number) {
            let value = self.hashed(&namespace, &collection, &key)?;
            let is_due = value.is_some_and(|value| {
                let end = expiry.end_of(&namespace, &collection, value.version);
                end.is_some_and(|end| end <= self.number)
            });
            if is_due {
                self.expired.push((namespace, collection, key));
            }
        }
        self.expiry = Some(expiry);
        Ok(())
    }

    /// The changes of all blocks together.
    pub(crate) fn into_changes(mut self) -> Updates {
        self.begin_block(self.number);
        self.earlier_blocks
    }

    /// The value of a public key, as the next transaction finds it.
    pub(crate) fn public(
        &self,
        namespace: &str,
        key: &str,
    ) -> Result<Option<VersionedValue>, ReadError> {
        match self.latest(namespace, key) {
            Some(update) => Ok(update.value()),
            None => self.state.get(namespace, key),
        }
    }

    /// The values of the first of these public keys of a namespace, in their order. This is one request to
    /// state, for as many keys as its answer has room for.
    pub(crate) fn public_some<'k>(
        &self,
        namespace: &str,
        keys: &[&'k str],
    ) -> Result<Vec<(&'k str, Option<VersionedValue>)>, ReadError> {
        let committed = |key: &&&str| self.latest(namespace, key).is_none();
        let committed: Vec<String> = keys
            .iter()
            .filter(committed)
            .map(|key| (*key).to_owned())
            .collect();
        let mut values = self.state.get_some(namespace, &committed)?.into_iter();
        let found = keys
            .iter()
            .map_while(|key| match self.latest(namespace, key) {
                Some(update) => Some((*key, update.value())),
                None => Some((*key, values.next()?)),
            });
        Ok(found.collect())
    }

    /// The value that a public key had before the block; `None` if it did not exist.
    pub(crate) fn value_before_block(
        &self,
        namespace: &str,
        key: &str,
    ) -> Result<Option<Bytes>, ReadError> {
        let before = match self.public_before_block(namespace, key) {
            Some(update) => update.value(),
            None => self.state.get(namespace, key)?,
        };
        Ok(before.map(|before| before.value))
    }

    /// The metadata that a key, or a private key with this hash, had before the block; empty if it had none.
    pub(crate) fn metadata_before_block(
        &self,
        namespace: &str,
        collection: &str,
        key: &[u8],
    ) -> Result<Bytes, ReadError> {
        let before = if !collection.is_empty() {
            let changed = self.hashed_before_block(namespace, collection, key);
            changed.map(Update::value)
        } else if let Ok(key) = std::str::from_utf8(key) {
            let changed = self.public_before_block(namespace, key);
            changed.map(Update::value)
        } else {
            // A hash that is not text cannot be a public key.
            Some(None)
        };
        let before = match before {
            Some(changed) => changed,
            None if collection.is_empty() => {
                let key = String::from_utf8_lossy(key);
                self.state.get(namespace, &key)?
            }
            None => {
                let namespace = hashed_namespace(namespace, collection);
                self.state.get(&namespace, &hashed_key(key))?
            }
        };
        Ok(before.map(|before| before.metadata).unwrap_or_default())
    }

    /// The version of a public key, as the next transaction finds it.
    pub(crate) fn public_version(
        &self,
        namespace: &str,
        key: &str,
    ) -> Result<Option<Height>, ReadError> {
        match self.latest(namespace, key) {
            Some(update) => Ok(update.content.is_some().then_some(update.version)),
            None => self.state.version(namespace, key),
        }
    }

    fn hashed(
        &self,
        namespace: &str,
        collection: &str,
        key_hash: &[u8],
    ) -> Result<Option<VersionedValue>, ReadError> {
        let pending = self.block.hashed(namespace, collection, key_hash);
        let pending = pending.or_else(|| self.hashed_before_block(namespace, collection, key_hash));
        if let Some(update) = pending {
            return Ok(update.value());
        }
        self.state.get(
            &hashed_namespace(namespace, collection),
            &hashed_key(key_hash),
        )
    }

    /// Whether metadata was ever written in a namespace: if not, a write has none to keep, and need not read
    /// it. Every transaction needs this, so state is asked only once.
    pub(crate) fn may_have_metadata(&mut self, in_state: &str) -> Result<bool, ReadError> {
        if self
            .layers()
            .any(|updates| updates.with_metadata.contains(in_state))
        {
            return Ok(true);
        }
        if let Some(known) = self.metadata_in_state.get(in_state) {
            return Ok(*known);
        }
        let has_metadata = self.state.has_metadata(in_state)?;
        self.metadata_in_state
            .insert(in_state.to_owned(), has_metadata);
        Ok(has_metadata)
    }

    /// Applies a valid transaction.
    pub(crate) fn apply(
        &mut self,
        transaction: &Examined,
        version: Height,
    ) -> Result<(), ReadError> {
        match &transaction.content {
            Content::Other => {}
            Content::Config(config) => {
                let content = Some((config.clone(), Bytes::new()));
                let namespace = self
                    .block
                    .namespaces
                    .entry(CONFIG_NAMESPACE.into())
                    .or_default();
                namespace
                    .public
                    .insert(CONFIG_KEY.into(), Update { version, content });
            }
            Content::Endorsed(endorsed) => {
                for (place, asked) in writes::asked(&endorsed.read_write_set) {
                    self.write(place, asked, version)?;
                }
            }
        }
        Ok(())
    }

    /// Applies to one key what a transaction asks.
    fn write(
        &mut self,
        (namespace, collection, key): writes::Place<'_>,
        asked: KeyWrites,
        version: Height,
    ) -> Result<(), ReadError> {
        let is_public = collection.is_empty();
        // For Fabric a collection without a name means the public keys. A hash that is not text is not a
        // public key.
        let Some(public_key) = (!is_public)
            .then_some("")
            .or_else(|| std::str::from_utf8(key).ok())
        else {
            return Ok(());
        };
        let in_state = if is_public {
            Cow::from(namespace)
        } else {
            Cow::from(hashed_namespace(namespace, collection))
        };
        let keep_metadata = self.may_have_metadata(&in_state)?;
        let granted = asked.grant(keep_metadata, || {
            if is_public {
                self.public(namespace, public_key)
            } else {
                self.hashed(namespace, collection, key)
            }
        })?;
        let Some(content) = granted else {
            return Ok(());
        };
        let update = Update { version, content };
        if update.has_metadata() && queried(namespace).is_none() {
            self.block.with_metadata.insert(in_state.into_owned());
        }
        let changes = self.block.namespaces.entry(namespace.to_owned());
        let changes = changes.or_default();
        if is_public {
            changes.public.insert(public_key.to_owned(), update);
        } else {
            let keys = changes.collections.entry(collection.to_owned());
            let key = Bytes::copy_from_slice(key);
            keys.or_default().insert(key, update);
        }
        Ok(())
    }
}
