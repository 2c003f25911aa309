//! Keys and values of state in the embedded engine, which are Fabric's.
//!
//! | key | value |
//! |---|---|
//! | `d` namespace `00` key | proto {1 version = OPV(block) ‖ OPV(tx), 2 value, 3 metadata} |

use bytes::Bytes;
use prost::Message as _;

use crate::codec::{Cursor, put_field};
use crate::error::ReadError;
use crate::model::block::Height;
use crate::model::value::VersionedValue;

pub(crate) const DATA: u8 = b'd';
pub(crate) const SEPARATOR: u8 = 0;
/// fjall keeps a key's length in sixteen bits.
const MAX_KEY_BYTES: usize = u16::MAX as usize;

#[derive(Clone, PartialEq, prost::Message)]
struct StoredValue {
    #[prost(bytes = "bytes", tag = "1")]
    version: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    metadata: Bytes,
}

pub(crate) fn damaged(what: &'static str, rule: &'static str) -> ReadError {
    ReadError::DerivedDamaged {
        follower: "state",
        what,
        rule,
    }
}

pub(crate) fn data_key(namespace: &str, key: &str) -> Result<Vec<u8>, ReadError> {
    let bytes = [&[DATA], namespace.as_bytes(), &[SEPARATOR], key.as_bytes()].concat();
    if bytes.len() > MAX_KEY_BYTES {
        return Err(ReadError::KeyTooLong(bytes.len()));
    }
    Ok(bytes)
}

/// Namespace and key of a stored key.
pub(crate) fn split_data_key(stored: &[u8]) -> Option<(String, String)> {
    let name = stored.strip_prefix(&[DATA])?;
    let end = name.iter().position(|byte| *byte == SEPARATOR)?;
    let namespace = name.get(..end)?.to_vec();
    let key = name.get(end + 1..)?.to_vec();
    Some((
        String::from_utf8(namespace).ok()?,
        String::from_utf8(key).ok()?,
    ))
}

/// The first key after every key of a namespace.
pub(crate) fn namespace_end(namespace: &str) -> Vec<u8> {
    [&[DATA], namespace.as_bytes(), &[SEPARATOR + 1]].concat()
}

/// The bytes of a [`StoredValue`].
pub(crate) fn encode(version: Height, value: &[u8], metadata: &[u8]) -> Vec<u8> {
    let mut height = Vec::with_capacity(18);
    version.put(&mut height);
    // Three fields, of which two may have a length of five bytes.
    let mut out = Vec::with_capacity(height.len() + value.len() + metadata.len() + 14);
    put_field(&mut out, 1, &height);
    put_field(&mut out, 2, value);
    put_field(&mut out, 3, metadata);
    out
}

pub(crate) fn decode(bytes: &[u8]) -> Result<VersionedValue, ReadError> {
    let not_stored = |_| damaged("value", "it is not a stored value");
    let stored = StoredValue::decode(Bytes::copy_from_slice(bytes)).map_err(not_stored)?;
    let mut cursor = Cursor::new(stored.version);
    let version = Height::read(&mut cursor).map_err(|rule| damaged("version", rule.0))?;
    Ok(VersionedValue {
        value: stored.value,
        metadata: stored.metadata,
        version,
    })
}

/// Reads any bytes as a value, and any text as a key.
#[cfg(test)]
pub(crate) fn fuzz(bytes: &[u8], namespace: &str, key: &str) {
    if let Ok(value) = decode(bytes) {
        let again = decode(&encode(value.version, &value.value, &value.metadata)).unwrap();
        assert_eq!(again, value);
    }
    // Namespaces have no zero byte: names are checked where they come in.
    if let Ok(stored) = data_key(namespace, key)
        && !namespace.contains('\0')
    {
        assert!(stored < namespace_end(namespace));
        assert_eq!(stored[namespace.len() + 2..], *key.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_have_the_bytes_of_fabric() {
        assert_eq!(hex::encode(data_key("cc", "k1").unwrap()), "646363006b31");
        let with_metadata = encode(Height::new(300, 2), b"v1", b"m");
        assert_eq!(hex::encode(&with_metadata), "0a0502012c0102120276311a016d");
        let plain = encode(Height::new(0, 0), b"v1", b"");
        assert_eq!(hex::encode(&plain), "0a02000012027631");
        let value = decode(&with_metadata).unwrap();
        assert_eq!(
            (value.version, &value.value[..]),
            (Height::new(300, 2), &b"v1"[..])
        );
    }

    #[test]
    fn damaged_values_are_errors() {
        for bytes in [&[0xff][..], &[0x0a, 1, 9], &[]] {
            assert!(decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
