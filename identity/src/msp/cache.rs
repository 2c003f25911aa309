//! Identities that were read before, by their bytes.

use std::sync::Arc;

use bytes::Bytes;
use quick_cache::Weighter;

use crate::identity::Identity;

/// Most bytes of identities that an organisation remembers: about 1,000 of the usual size.
const CACHE_BYTES: u64 = 6 * 1024 * 1024;

/// How many identities are expected; only a hint.
const EXPECTED: usize = 1_000;

/// The identities that were asked for lately. What was refused is not among them.
#[derive(Debug)]
pub(super) struct Cache {
    identities: quick_cache::sync::Cache<Bytes, Arc<Identity>, ByBytes>,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<Bytes, Arc<Identity>> for ByBytes {
    /// The certificate is there as given, as read, and once more as its facts.
    fn weight(&self, key: &Bytes, identity: &Arc<Identity>) -> u64 {
        let certificate = 3 * identity.certificate.der.len();
        let total = key.len() + certificate + size_of::<Identity>();
        u64::try_from(total).unwrap_or(u64::MAX)
    }
}

impl Cache {
    pub(super) fn new() -> Self {
        let identities = quick_cache::sync::Cache::with_weighter(EXPECTED, CACHE_BYTES, ByBytes);
        Self { identities }
    }

    pub(super) fn get(&self, serialized: &[u8]) -> Option<Arc<Identity>> {
        self.identities.get(serialized)
    }

    pub(super) fn insert(&self, serialized: &[u8], identity: &Arc<Identity>) {
        let key = Bytes::copy_from_slice(serialized);
        self.identities.insert(key, Arc::clone(identity));
    }
}
