//! Names of namespaces and keys in state and in read-write sets that users do not choose.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;

/// The namespace of a channel's configuration in state, as in Fabric.
pub const CONFIG_NAMESPACE: &str = "";
/// The key of a channel's configuration in state, as in Fabric.
pub const CONFIG_KEY: &str = "CHANNEL_CONFIG_ENV_BYTES";
/// The namespace of the definitions of chaincodes, and a chaincode of Fabric's own.
pub const LIFECYCLE: &str = "_lifecycle";

/// The suffix of the namespace of queries. Fabric's own derived namespaces have the same form (`$$h`, `$$p`),
/// which no chaincode's name has.
const SUFFIX: &str = "$$q";

/// A namespace, a collection, and the hash of a key.
pub(crate) type HashedKey = (String, String, Bytes);

/// The state namespace with the hashes of a private collection, named as in Fabric.
pub(crate) fn hashed_namespace(namespace: &str, collection: &str) -> String {
    format!("{namespace}$$h{collection}")
}

/// The state key of a private key's hash: base64, as in Fabric on CouchDB, so that every key of every engine
/// is text.
pub(crate) fn hashed_key(key_hash: &[u8]) -> String {
    BASE64.encode(key_hash)
}

/// The pseudo-namespace for queries of a namespace.
pub(crate) fn queries_of(namespace: &str) -> String {
    format!("{namespace}{SUFFIX}")
}

/// The namespace whose queries a pseudo-namespace holds; `None` for an ordinary namespace.
pub(crate) fn queried(namespace: &str) -> Option<&str> {
    namespace.strip_suffix(SUFFIX)
}
