//! Reading messages as Go reads them.
//!
//! A field with a known number and a wrong wire type is an unknown field for Go, and an error for `prost`.
//! Fabric's peers are written in Go: what they accept must be readable here, or verdicts and state differ.

use bytes::{Buf as _, Bytes, BytesMut};
use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field,
};
use prost::{DecodeError, Message};

use crate::common::Envelope;

/// The fields of a message, by number.
#[derive(Debug)]
pub struct Shape(&'static [(u32, Kind)]);

#[derive(Debug)]
enum Kind {
    Number,
    /// Bytes or text.
    Bytes,
    Nested(&'static Shape),
}

use Kind::{Bytes as Raw, Nested, Number};

macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident = [$($number:literal $kind:expr),*];)*) => {
        $($(#[$doc])* pub const $name: &Shape = &Shape(&[$(($number, $kind)),*]);)*
    };
}

shapes! {
    /// [`crate::common::Envelope`].
    ENVELOPE = [1 Raw, 2 Raw];
    /// [`crate::common::Payload`].
    PAYLOAD = [1 Nested(HEADER), 2 Raw];
    /// [`crate::common::Header`].
    HEADER = [1 Raw, 2 Raw];
    /// [`crate::common::ChannelHeader`].
    CHANNEL_HEADER = [1 Number, 2 Number, 3 Nested(TIMESTAMP), 4 Raw, 5 Raw, 6 Number, 7 Raw, 8 Raw];
    /// [`crate::common::Timestamp`].
    TIMESTAMP = [1 Number, 2 Number];
    /// [`crate::common::SignatureHeader`].
    SIGNATURE_HEADER = [1 Raw, 2 Raw];
    /// [`crate::common::Metadata`].
    METADATA = [1 Raw, 2 Nested(METADATA_SIGNATURE)];
    /// [`crate::common::MetadataSignature`].
    METADATA_SIGNATURE = [1 Raw, 2 Raw, 3 Raw];
    /// [`crate::common::IdentifierHeader`].
    IDENTIFIER_HEADER = [1 Number, 2 Raw];
    /// [`crate::peer::Transaction`].
    TRANSACTION = [1 Nested(ACTION)];
    /// [`crate::peer::TransactionAction`].
    ACTION = [1 Raw, 2 Raw];
    /// [`crate::peer::ChaincodeActionPayload`].
    ACTION_PAYLOAD = [1 Raw, 2 Nested(ENDORSED_ACTION)];
    /// [`crate::peer::ChaincodeEndorsedAction`].
    ENDORSED_ACTION = [1 Raw, 2 Nested(ENDORSEMENT)];
    /// [`crate::peer::Endorsement`].
    ENDORSEMENT = [1 Raw, 2 Raw];
    /// [`crate::peer::ProposalResponsePayload`].
    RESPONSE_PAYLOAD = [1 Raw, 2 Raw];
    /// [`crate::peer::ChaincodeAction`].
    CHAINCODE_ACTION = [1 Raw, 2 Raw, 3 Nested(RESPONSE), 4 Nested(CHAINCODE_ID)];
    /// [`crate::peer::Response`].
    RESPONSE = [1 Number, 2 Raw, 3 Raw];
    /// [`crate::peer::ChaincodeId`].
    CHAINCODE_ID = [1 Raw, 2 Raw, 3 Raw];
    /// [`crate::peer::ChaincodeHeaderExtension`].
    HEADER_EXTENSION = [2 Nested(CHAINCODE_ID)];
    /// [`crate::peer::ChaincodeEvent`].
    EVENT = [1 Raw, 2 Raw, 3 Raw, 4 Raw];
    /// [`crate::rwset::TxReadWriteSet`].
    READ_WRITE_SET = [1 Number, 2 Nested(NAMESPACE_SET)];
    /// [`crate::rwset::NsReadWriteSet`].
    NAMESPACE_SET = [1 Raw, 2 Raw, 3 Nested(COLLECTION_SET)];
    /// [`crate::rwset::CollectionHashedReadWriteSet`].
    COLLECTION_SET = [1 Raw, 2 Raw, 3 Raw];
    /// [`crate::rwset::KvRwSet`].
    KEYS = [1 Nested(READ), 2 Nested(RANGE), 3 Nested(WRITE), 4 Nested(METADATA_WRITE)];
    /// [`crate::rwset::KvRead`] and [`crate::rwset::KvReadHash`].
    READ = [1 Raw, 2 Nested(VERSION)];
    /// [`crate::rwset::Version`].
    VERSION = [1 Number, 2 Number];
    /// [`crate::rwset::RangeQueryInfo`].
    RANGE = [1 Raw, 2 Raw, 3 Number, 4 Nested(READS), 5 Nested(MERKLE_SUMMARY)];
    /// [`crate::rwset::QueryReads`].
    READS = [1 Nested(READ)];
    /// [`crate::rwset::QueryReadsMerkleSummary`].
    MERKLE_SUMMARY = [1 Number, 2 Number, 3 Raw];
    /// [`crate::rwset::KvWrite`].
    WRITE = [1 Raw, 2 Number, 3 Raw];
    /// [`crate::rwset::KvMetadataWrite`] and [`crate::rwset::KvMetadataWriteHash`].
    METADATA_WRITE = [1 Raw, 2 Nested(METADATA_ENTRY)];
    /// [`crate::rwset::KvMetadataEntry`].
    METADATA_ENTRY = [1 Raw, 2 Raw];
    /// [`crate::rwset::HashedRwSet`].
    HASHED_KEYS = [1 Nested(READ), 2 Nested(HASHED_WRITE), 3 Nested(METADATA_WRITE)];
    /// [`crate::rwset::KvWriteHash`].
    HASHED_WRITE = [1 Raw, 2 Number, 3 Raw, 4 Number];
    /// [`crate::deliver::SeekInfo`].
    SEEK_INFO = [1 Nested(SEEK_POSITION), 2 Nested(SEEK_POSITION), 3 Number, 4 Number, 5 Number];
    /// [`crate::deliver::SeekPosition`].
    SEEK_POSITION = [1 Nested(NOTHING), 2 Nested(NOTHING), 3 Nested(SEEK_SPECIFIED), 4 Nested(NOTHING)];
    /// [`crate::deliver::Nothing`].
    NOTHING = [];
    /// [`crate::deliver::SeekSpecified`].
    SEEK_SPECIFIED = [1 Number];
}

/// Reads a message of a shape.
///
/// # Errors
/// Fails if Go cannot read it either.
pub fn decode<M: Message + Default>(bytes: Bytes, shape: &'static Shape) -> Result<M, DecodeError> {
    match M::decode(bytes.clone()) {
        Ok(message) => Ok(message),
        // Nearly every message can be read, so the time that this takes does not matter.
        Err(_) => M::decode(without_mistyped(bytes, shape)?),
    }
}

/// The envelope as Go writes it after it read it: what it does not know stands behind what it knows.
///
/// # Errors
/// Go cannot read it.
pub fn canonical_envelope(bytes: Bytes) -> Result<Bytes, DecodeError> {
    let envelope: Envelope = decode(bytes.clone(), ENVELOPE)?;
    let mut written = envelope.encode_to_vec();
    let mut rest = bytes;
    while rest.has_remaining() {
        let whole = rest.clone();
        let (number, wire_type) = decode_key(&mut rest)?;
        skip_field(wire_type, number, &mut rest, DecodeContext::default())?;
        let is_known = matches!(number, 1 | 2) && wire_type == WireType::LengthDelimited;
        if !is_known {
            written.extend_from_slice(&whole.slice(..whole.len() - rest.len()));
        }
    }
    Ok(written.into())
}

/// The message without the fields that Go does not know.
fn without_mistyped(mut rest: Bytes, shape: &'static Shape) -> Result<Bytes, DecodeError> {
    let mut kept = BytesMut::with_capacity(rest.len());
    while rest.has_remaining() {
        let whole = rest.clone();
        let (number, wire_type) = decode_key(&mut rest)?;
        let mut value = rest.clone();
        skip_field(wire_type, number, &mut rest, DecodeContext::default())?;
        let known = shape.0.iter().find(|(known, _)| *known == number);
        match known.map(|(_, kind)| kind) {
            Some(Number) if wire_type == WireType::Varint => {}
            Some(Raw) if wire_type == WireType::LengthDelimited => {}
            Some(Nested(shape)) if wire_type == WireType::LengthDelimited => {
                decode_varint(&mut value)?;
                // The field is what was skipped, without what follows it.
                let length = value.len() - rest.len();
                let nested = without_mistyped(value.split_to(length), shape)?;
                encode_key(number, wire_type, &mut kept);
                encode_varint(nested.len() as u64, &mut kept);
                kept.extend_from_slice(&nested);
                continue;
            }
            _ => continue,
        }
        kept.extend_from_slice(&whole.slice(..whole.len() - rest.len()));
    }
    Ok(kept.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::Payload;

    #[test]
    fn a_field_of_another_type_is_unknown_and_the_rest_is_read() {
        let read = |bytes: &'static [u8]| decode::<Envelope>(Bytes::from_static(bytes), ENVELOPE);
        let sound = Envelope {
            payload: "p".into(),
            signature: Bytes::new(),
        };
        assert_eq!(read(b"\x0a\x01p"), Ok(sound.clone()));
        assert_eq!(read(b"\x08\x07\x0a\x01p\x10\x01"), Ok(sound));
        assert_eq!(read(b"\x08\x07"), Ok(Envelope::default()));
        for garbage in [
            &b"\xff"[..],
            b"\x0a\x05p",
            b"\x08\x07\x0a\x05p",
            b"\x00\x01",
            b"\x0f",
        ] {
            assert!(read(garbage).is_err(), "{garbage:x?}");
        }
    }

    #[test]
    fn what_is_nested_is_read_the_same_way() {
        // The first member of the header is a number, and its second member is not.
        let bytes = Bytes::from_static(b"\x0a\x05\x08\x01\x12\x01s\x12\x01d");
        let payload: Payload = decode(bytes, PAYLOAD).unwrap();
        let header = payload.header.unwrap();
        assert_eq!(
            (&header.channel_header[..], &header.signature_header[..]),
            (&b""[..], &b"s"[..])
        );
        assert_eq!(payload.data, "d");
    }
}
