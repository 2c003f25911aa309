//! The changes that blocks make.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::block::Height;
use super::namespace::{hashed_key, hashed_namespace, queried};
use super::value::VersionedValue;

/// The change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Update {
    /// The transaction that did it.
    pub version: Height,
    /// The new value and metadata; `None` if the key was deleted.
    pub content: Option<(Bytes, Bytes)>,
}

impl Update {
    /// Whether the key has metadata now.
    pub(crate) fn has_metadata(&self) -> bool {
        let content = self.content.as_ref();
        content.is_some_and(|(_, metadata)| !metadata.is_empty())
    }

    /// The value as later transactions see it.
    pub(crate) fn value(&self) -> Option<VersionedValue> {
        let (value, metadata) = self.content.clone()?;
        Some(VersionedValue {
            value,
            metadata,
            version: self.version,
        })
    }
}

/// Changes of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamespaceUpdates {
    /// Public keys.
    pub public: BTreeMap<String, Update>,
    /// Keys of private collections, by collection and SHA-256 of the key.
    pub collections: BTreeMap<String, BTreeMap<Bytes, Update>>,
}

/// Changes of a block, or of several, in the order in which the commit hash takes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Updates {
    /// By namespace, sorted by byte order.
    pub namespaces: BTreeMap<String, NamespaceUpdates>,
    /// Namespaces of state in which a change had metadata, even if a later change replaced it.
    pub with_metadata: BTreeSet<String>,
}

impl Updates {
    pub(crate) fn public(&self, namespace: &str, key: &str) -> Option<&Update> {
        self.namespaces.get(namespace)?.public.get(key)
    }

    /// The public keys of a namespace.
    pub(crate) fn of(&self, namespace: &str) -> Option<&BTreeMap<String, Update>> {
        let changes = self.namespaces.get(namespace)?;
        Some(&changes.public)
    }

    pub(crate) fn hashed(
        &self,
        namespace: &str,
        collection: &str,
        key_hash: &[u8],
    ) -> Option<&Update> {
        self.namespaces
            .get(namespace)?
            .collections
            .get(collection)?
            .get(key_hash)
    }

    /// Applies later changes over these.
    pub(crate) fn overlay(&mut self, later: Self) {
        for (name, changes) in later.namespaces {
            let mine = self.namespaces.entry(name).or_default();
            mine.public.extend(changes.public);
            for (collection, keys) in changes.collections {
                mine.collections.entry(collection).or_default().extend(keys);
            }
        }
        self.with_metadata.extend(later.with_metadata);
    }

    /// Every change with its namespace and key in state, roughly in the order of state's keys. What another
    /// node's block writes in a namespace of queries counts for the commit hash, by Fabric's rule, but is not
    /// in state.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>, &Update)> {
        let namespaces = self.namespaces.iter();
        let namespaces = namespaces.filter(|(name, _)| queried(name).is_none());
        namespaces.flat_map(|(name, changes)| {
            let public = changes
                .public
                .iter()
                .map(move |(key, update)| (Cow::from(name), Cow::from(key), update));
            let hashed = changes
                .collections
                .iter()
                .flat_map(move |(collection, keys)| {
                    let namespace = hashed_namespace(name, collection);
                    keys.iter().map(move |(key, update)| {
                        let namespace = Cow::from(namespace.clone());
                        (namespace, Cow::from(hashed_key(key)), update)
                    })
                });
            public.chain(hashed)
        })
    }
}
