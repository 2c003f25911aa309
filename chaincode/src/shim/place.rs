//! Where the keys of a request are: in public state, or in a private collection.

use bytes::Bytes;
use quire_ledger::{IMPLICIT_COLLECTION, KeyMetadata, ReadError, Simulator};

use super::request::Failure;

/// The keys of a chaincode: public ones, or those of the private collection whose values this node keeps.
pub(super) struct Place<'a> {
    namespace: &'a str,
    /// None for public state.
    collection: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// The place that a request names. Of private collections it may be `own` alone.
    pub(super) fn of(
        namespace: &'a str,
        collection: &'a str,
        own: Option<&str>,
    ) -> Result<Self, Failure> {
        let collection = Some(collection).filter(|collection| !collection.is_empty());
        if let Some(other) = collection.filter(|collection| Some(*collection) != own) {
            return Err(unsupported(other));
        }
        Ok(Self {
            namespace,
            collection,
        })
    }

    pub(super) fn is_public(&self) -> bool {
        self.collection.is_none()
    }

    /// The value of a key; empty where it has none.
    pub(super) fn get(&self, key: &str, simulator: &mut Simulator) -> Result<Bytes, ReadError> {
        let value = match self.collection {
            None => simulator.get(self.namespace, key)?.map(|found| found.value),
            Some(own) => simulator.get_private(self.namespace, own, key)?,
        };
        Ok(value.unwrap_or_default())
    }

    pub(super) fn put(&self, key: &str, value: Bytes, simulator: &mut Simulator) {
        match self.collection {
            None => simulator.put(self.namespace, key, value),
            Some(own) => simulator.put_private(self.namespace, own, key, value),
        }
    }

    pub(super) fn delete(&self, key: &str, simulator: &mut Simulator) {
        match self.collection {
            None => simulator.delete(self.namespace, key),
            Some(own) => simulator.delete_private(self.namespace, own, key),
        }
    }

    pub(super) fn metadata(
        &self,
        key: &str,
        simulator: &mut Simulator,
    ) -> Result<KeyMetadata, ReadError> {
        match self.collection {
            None => simulator.metadata(self.namespace, key),
            Some(own) => simulator.private_metadata(self.namespace, own, key),
        }
    }

    pub(super) fn set_metadata(&self, key: &str, metadata: KeyMetadata, simulator: &mut Simulator) {
        match self.collection {
            None => simulator.set_metadata(self.namespace, key, metadata),
            Some(own) => simulator.set_private_metadata(self.namespace, own, key, metadata),
        }
    }
}

/// The hash of a private value, which every node has of the collections that there are: each organisation's own.
pub(super) fn private_hash(
    namespace: &str,
    collection: &str,
    key: &str,
    simulator: &mut Simulator,
) -> Result<Bytes, Failure> {
    if !collection.starts_with(IMPLICIT_COLLECTION) {
        return Err(unsupported(collection));
    }
    let hash = simulator.private_hash(namespace, collection, key)?;
    Ok(hash.unwrap_or_default())
}

/// Makes sure that a request is about public state.
pub(super) fn public(collection: &str) -> Result<(), Failure> {
    if collection.is_empty() {
        return Ok(());
    }
    Err(unsupported(collection))
}

pub(super) fn unsupported(collection: &str) -> Failure {
    Failure::Say(format!(
        "private data are not supported yet (collection {collection:?})"
    ))
}
