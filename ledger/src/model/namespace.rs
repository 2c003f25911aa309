//! Names that namespaces and keys have in state and in read-write sets beside those that users give them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

/// The namespace of a channel's configuration in state, as Fabric has it.
pub const CONFIG_NAMESPACE: &str = "";
/// The key of a channel's configuration in state, as Fabric has it.
pub const CONFIG_KEY: &str = "CHANNEL_CONFIG_ENV_BYTES";

/// What the namespace of queries ends with. Fabric's names for namespaces of its own making have the
/// same form (`$$h`, `$$p`), which no chaincode's name has.
const SUFFIX: &str = "$$q";

/// A namespace, a collection, and the hash of a key.
pub(crate) type HashedKey = (String, String, Bytes);

/// The state namespace that holds the hashes of a private collection, Fabric's name for it.
pub(crate) fn hashed_namespace(namespace: &str, collection: &str) -> String {
    format!("{namespace}$$h{collection}")
}

/// The state key of a private key's hash: base64, as Fabric keeps it in CouchDB, so that every key
/// of every engine is text.
pub(crate) fn hashed_key(key_hash: &[u8]) -> String {
    BASE64.encode(key_hash)
}

/// The pseudo-namespace for queries of a namespace.
pub(crate) fn queries_of(namespace: &str) -> String {
    format!("{namespace}{SUFFIX}")
}

/// The namespace whose queries a pseudo-namespace holds; none where it is none.
pub(crate) fn queried(namespace: &str) -> Option<&str> {
    namespace.strip_suffix(SUFFIX)
}
