//! How far a follower is, and on which chain it is.
//!
//! ```text
//! value = OPV(height) ‖ 32 bytes, the hash of block height-1
//! ```
//!
//! Blocks below the height have been followed. The hash is missing if an earlier version of Quire wrote the
//! savepoint; the next savepoint has it.

use fjall::{Keyspace, Readable as _, Snapshot};
use quire_wire::hash::Hash;

use super::Entry;
use crate::codec::{Cursor, Malformed, put_opv};
use crate::error::ReadError;
use crate::model::batch::Durable;

/// Its key in the keyspace of every follower.
pub(crate) const KEY: &[u8] = b"s";

/// A follower's height, and the hash of the block that it followed last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Savepoint {
    pub(crate) height: u64,
    /// `None` before the first block, and if it is not known.
    pub(crate) last: Option<Hash>,
}

impl Savepoint {
    /// The savepoint that a follower at this savepoint writes with these blocks; `None` if it has all of them
    /// already.
    pub(crate) fn behind(self, blocks: &[Durable]) -> Option<Self> {
        let last = blocks.last()?;
        let height = last.block.number + 1;
        (height >= self.height).then_some(Self {
            height,
            last: Some(last.hash),
        })
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut value = Vec::with_capacity(9 + 32);
        put_opv(&mut value, self.height);
        value.extend(self.last.iter().flatten());
        value
    }

    /// Reads what [`Self::to_bytes`] wrote, or a height alone.
    pub(crate) fn read(value: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(bytes::Bytes::copy_from_slice(value));
        let height = cursor.opv()?;
        let rest = cursor.rest();
        let last = Hash::try_from(rest).ok();
        if last.is_none() && !rest.is_empty() {
            return Err(Malformed("the bytes after the height are not a hash"));
        }
        Ok(Self { height, last })
    }
}

/// The savepoint in a follower's keyspace.
pub(crate) fn of(
    follower: &'static str,
    view: &Snapshot,
    keyspace: &Keyspace,
) -> Result<Savepoint, ReadError> {
    let Some(value) = view.get(keyspace, KEY)? else {
        return Ok(Savepoint::default());
    };
    Savepoint::read(&value).map_err(|malformed| ReadError::DerivedDamaged {
        follower,
        what: "savepoint",
        rule: malformed.0,
    })
}

/// Whether a savepoint comes from an earlier version, and so names no block.
pub(crate) fn is_of_before(found: Option<&Entry>, replayed: Option<&Entry>) -> bool {
    match (found, replayed) {
        (Some((key, found)), Some((_, replayed))) => **key == *KEY && replayed.starts_with(found),
        _ => false,
    }
}

/// Reads any bytes as a savepoint.
#[cfg(test)]
pub(crate) fn fuzz(bytes: &[u8]) {
    if let Ok(savepoint) = Savepoint::read(bytes) {
        assert_eq!(Savepoint::read(&savepoint.to_bytes()), Ok(savepoint));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::batch::tests::durable;

    #[test]
    fn a_savepoint_comes_back_and_one_without_a_hash_is_read() {
        let named = Savepoint {
            height: 300,
            last: Some([7; 32]),
        };
        let bytes = named.to_bytes();
        assert_eq!(hex::encode(&bytes), format!("02012c{}", "07".repeat(32)));
        assert_eq!(Savepoint::read(&bytes), Ok(named));
        let old = Savepoint {
            height: 300,
            last: None,
        };
        assert_eq!(Savepoint::read(&bytes[..3]), Ok(old));
        for length in (0..3).chain(4..bytes.len()) {
            assert!(Savepoint::read(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_savepoint_never_goes_back() {
        let blocks = [durable(3, &[]), durable(4, &[])];
        let at = |height| Savepoint { height, last: None };
        let named = Savepoint {
            height: 5,
            last: Some(blocks[1].hash),
        };
        assert_eq!(at(3).behind(&blocks), Some(named));
        assert_eq!(at(5).behind(&blocks), Some(named));
        assert_eq!(at(6).behind(&blocks), None);
        assert_eq!(at(0).behind(&[]), None);
    }
}
