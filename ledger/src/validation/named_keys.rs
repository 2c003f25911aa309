//! Finds the keys in advance that judging transactions will read from state.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::record;
use crate::error::ReadError;
use crate::model::examined::{Content, Examined};
use crate::model::namespace::{hashed_key, hashed_namespace, queried};
use crate::state::StateSnapshot;

/// The keys, each with its namespace in state, that state will be asked for when these transactions are
/// judged and take effect: the keys that they read, and the written keys that may have metadata, which a
/// write keeps.
pub(crate) fn named_keys<'a>(
    transactions: impl Iterator<Item = &'a Examined>,
    state: &dyn StateSnapshot,
) -> Result<Vec<(String, String)>, ReadError> {
    let mut has_metadata: BTreeMap<String, bool> = BTreeMap::new();
    let mut may_have_metadata = |namespace: &str| {
        if let Some(known) = has_metadata.get(namespace) {
            return Ok(*known);
        }
        let known = state.has_metadata(namespace)?;
        has_metadata.insert(namespace.to_owned(), known);
        Ok::<_, ReadError>(known)
    };
    let mut keys = BTreeSet::new();
    let sets = transactions.filter_map(|transaction| match &transaction.content {
        Content::Endorsed(endorsed) => Some(&endorsed.read_write_set.namespaces),
        Content::Config(_) | Content::Other => None,
    });
    for set in sets.flatten() {
        let namespace = &set.namespace;
        if let Some(queried) = queried(namespace) {
            let rows = record::rows(&set.public).map(|row| &row.key);
            keys.extend(rows.map(|key| (queried.to_owned(), key.clone())));
        }
        let reads = set.public.reads.iter().map(|read| &read.key);
        keys.extend(reads.map(|key| (namespace.clone(), key.clone())));
        if may_have_metadata(namespace)? {
            let writes = set.public.writes.iter().map(|write| &write.key);
            let metadata = set.public.metadata_writes.iter().map(|write| &write.key);
            keys.extend(
                writes
                    .chain(metadata)
                    .map(|key| (namespace.clone(), key.clone())),
            );
        }
        for (collection, hashed) in &set.collections {
            let namespace = hashed_namespace(namespace, collection);
            let key = |hash: &Bytes| (namespace.clone(), hashed_key(hash));
            let reads = hashed.hashed_reads.iter().map(|read| &read.key_hash);
            keys.extend(reads.map(key));
            if may_have_metadata(&namespace)? {
                let writes = hashed.hashed_writes.iter().map(|write| &write.key_hash);
                let metadata = hashed.metadata_writes.iter().map(|write| &write.key_hash);
                keys.extend(writes.chain(metadata).map(key));
            }
        }
    }
    Ok(keys.into_iter().collect())
}
