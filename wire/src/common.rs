//! Package `common` of Fabric (`common/common.proto`): blocks, envelopes and their headers.

use std::time::SystemTime;

use bytes::Bytes;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A block as Fabric's tools and peers exchange it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Block {
    /// Number and hashes.
    #[prost(message, optional, tag = "1")]
    pub header: Option<BlockHeader>,
    /// The envelopes.
    #[prost(message, optional, tag = "2")]
    pub data: Option<BlockData>,
    /// What the orderer and the committer added; not covered by the block hash.
    #[prost(message, optional, tag = "3")]
    pub metadata: Option<BlockMetadata>,
}

/// What the block hash covers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BlockHeader {
    /// Position in the chain, from 0.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// [`crate::hash::block_hash`] of the block before; empty in block 0.
    #[prost(bytes = "bytes", tag = "2")]
    pub previous_hash: Bytes,
    /// [`crate::hash::data_hash`] of the envelopes.
    #[prost(bytes = "bytes", tag = "3")]
    pub data_hash: Bytes,
}

/// The envelopes of a block, each as its bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BlockData {
    /// Serialized [`Envelope`]s, in order.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub data: Vec<Bytes>,
}

/// The metadata slots of a block, see [`metadata_slot`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct BlockMetadata {
    /// One entry a slot; what an entry holds depends on its slot.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub metadata: Vec<Bytes>,
}

/// Positions in [`BlockMetadata::metadata`] (Fabric's `BlockMetadataIndex`).
pub mod metadata_slot {
    /// A [`super::Metadata`] with [`super::OrdererBlockMetadata`] and the orderer's signature.
    pub const SIGNATURES: usize = 0;
    /// Obsolete in Fabric 2 and later, but still written.
    pub const LAST_CONFIG: usize = 1;
    /// One validation code a transaction, see [`crate::Code`].
    pub const TRANSACTIONS_FILTER: usize = 2;
    /// Obsolete in Fabric 2 and later.
    pub const ORDERER: usize = 3;
    /// A [`super::Metadata`] whose value is the commit hash.
    pub const COMMIT_HASH: usize = 4;
    /// How many slots a block of Fabric has.
    pub const COUNT: usize = 5;
}

/// A value with signatures over it, the content of several metadata slots.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metadata {
    /// What is signed.
    #[prost(bytes = "bytes", tag = "1")]
    pub value: Bytes,
    /// Signatures over `value ‖ signature_header ‖ DER header` of the block.
    #[prost(message, repeated, tag = "2")]
    pub signatures: Vec<MetadataSignature>,
}

/// One signature of a [`Metadata`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetadataSignature {
    /// A serialized [`SignatureHeader`].
    #[prost(bytes = "bytes", tag = "1")]
    pub signature_header: Bytes,
    /// ASN.1 DER, low S.
    #[prost(bytes = "bytes", tag = "2")]
    pub signature: Bytes,
    /// A serialized [`IdentifierHeader`], used by BFT orderers only.
    #[prost(bytes = "bytes", tag = "3")]
    pub identifier_header: Bytes,
}

/// Names the signer of a BFT orderer's signature by its number.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct IdentifierHeader {
    /// The number that the channel's configuration gives the signer.
    #[prost(uint32, tag = "1")]
    pub identifier: u32,
    /// Random bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub nonce: Bytes,
}

/// The value that an orderer signs in slot 0.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OrdererBlockMetadata {
    /// The newest config block at or before this block.
    #[prost(message, optional, tag = "1")]
    pub last_config: Option<LastConfig>,
    /// A serialized [`Metadata`] with what the consenter wants to remember.
    #[prost(bytes = "bytes", tag = "2")]
    pub consenter_metadata: Bytes,
}

/// The place of the channel configuration in force.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct LastConfig {
    /// Block number.
    #[prost(uint64, tag = "1")]
    pub index: u64,
}

/// A signed payload, the unit of ordering.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Envelope {
    /// A serialized [`Payload`].
    #[prost(bytes = "bytes", tag = "1")]
    pub payload: Bytes,
    /// The creator's signature over `payload`, ASN.1 DER, low S.
    #[prost(bytes = "bytes", tag = "2")]
    pub signature: Bytes,
}

/// Header and body of an envelope.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Payload {
    /// Who made it, when, and for which channel.
    #[prost(message, optional, tag = "1")]
    pub header: Option<Header>,
    /// Depends on the `type` of a [`ChannelHeader`].
    #[prost(bytes = "bytes", tag = "2")]
    pub data: Bytes,
}

/// The two headers of a payload or proposal, each as its bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Header {
    /// A serialized [`ChannelHeader`].
    #[prost(bytes = "bytes", tag = "1")]
    pub channel_header: Bytes,
    /// A serialized [`SignatureHeader`].
    #[prost(bytes = "bytes", tag = "2")]
    pub signature_header: Bytes,
}

/// What a payload is and where it belongs.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ChannelHeader {
    /// A [`header_type`].
    #[prost(int32, tag = "1")]
    pub r#type: i32,
    /// Version of the message protocol.
    #[prost(int32, tag = "2")]
    pub version: i32,
    /// The creator's clock.
    #[prost(message, optional, tag = "3")]
    pub timestamp: Option<Timestamp>,
    /// The channel's name.
    #[prost(string, tag = "4")]
    pub channel_id: String,
    /// See [`crate::tx_id`]; may be empty in configuration transactions.
    #[prost(string, tag = "5")]
    pub tx_id: String,
    /// Always 0.
    #[prost(uint64, tag = "6")]
    pub epoch: u64,
    /// For endorser transactions a serialized [`crate::peer::ChaincodeHeaderExtension`].
    #[prost(bytes = "bytes", tag = "7")]
    pub extension: Bytes,
    /// Hash of the client's TLS certificate, if it has one.
    #[prost(bytes = "bytes", tag = "8")]
    pub tls_cert_hash: Bytes,
}

/// Values of the `type` of a [`ChannelHeader`] (Fabric's `HeaderType`).
pub mod header_type {
    /// Any bytes.
    pub const MESSAGE: i32 = 0;
    /// A channel configuration.
    pub const CONFIG: i32 = 1;
    /// A request for another channel configuration.
    pub const CONFIG_UPDATE: i32 = 2;
    /// A transaction endorsed by peers.
    pub const ENDORSER_TRANSACTION: i32 = 3;
    /// A channel creation, before Fabric 2.
    pub const ORDERER_TRANSACTION: i32 = 4;
    /// A request for blocks.
    pub const DELIVER_SEEK_INFO: i32 = 5;

    /// Fabric's name of a header type, such as `ENDORSER_TRANSACTION`.
    #[must_use]
    pub fn name(header_type: i32) -> &'static str {
        match header_type {
            MESSAGE => "MESSAGE",
            CONFIG => "CONFIG",
            CONFIG_UPDATE => "CONFIG_UPDATE",
            ENDORSER_TRANSACTION => "ENDORSER_TRANSACTION",
            ORDERER_TRANSACTION => "ORDERER_TRANSACTION",
            DELIVER_SEEK_INFO => "DELIVER_SEEK_INFO",
            _ => "UNKNOWN",
        }
    }
}

/// Who made a payload.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SignatureHeader {
    /// A serialized [`crate::msp::SerializedIdentity`].
    #[prost(bytes = "bytes", tag = "1")]
    pub creator: Bytes,
    /// Makes the transaction id unique.
    #[prost(bytes = "bytes", tag = "2")]
    pub nonce: Bytes,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, prost::Message)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// 0 to 999,999,999, counting forward.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl Timestamp {
    /// RFC 3339 in UTC; `None` if it is not a timestamp, or outside the years that the format can express.
    #[must_use]
    pub fn rfc3339(&self) -> Option<String> {
        self.time()?.format(&Rfc3339).ok()
    }

    /// The form of HTTP, `Sun, 06 Nov 1994 08:49:37 GMT`; `None` if it is not a timestamp, or outside the
    /// years with four digits.
    #[must_use]
    pub fn imf_fixdate(&self) -> Option<String> {
        let time = self.time()?;
        let (weekday, month) = (time.weekday().to_string(), time.month().to_string());
        Some(format!(
            "{weekday:.3}, {:02} {month:.3} {:04} {:02}:{:02}:{:02} GMT",
            time.day(),
            time.year(),
            time.hour(),
            time.minute(),
            time.second()
        ))
    }

    /// The time, if it is in the years 0 to 9999.
    fn time(&self) -> Option<OffsetDateTime> {
        // A peer may send any number, but other nanoseconds would mean another second.
        if !(0..NANOS).contains(&i64::from(self.nanos)) {
            return None;
        }
        let nanos = i128::from(self.seconds) * i128::from(NANOS) + i128::from(self.nanos);
        let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
        (0..=9999).contains(&time.year()).then_some(time)
    }
}

/// Nanoseconds of a second.
const NANOS: i64 = 1_000_000_000;

impl From<SystemTime> for Timestamp {
    /// Converts any time, even before 1970; a time that no timestamp can express becomes the nearest one that
    /// can.
    fn from(time: SystemTime) -> Self {
        let (since, is_before) = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => (since, false),
            Err(error) => (error.duration(), true),
        };
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        let nanos = i32::try_from(since.subsec_nanos()).unwrap_or_default();
        match (is_before, nanos) {
            (false, _) => Self { seconds, nanos },
            (true, 0) => Self {
                seconds: -seconds,
                nanos,
            },
            // Nanoseconds count forward, even before 1970.
            (true, _) => Self {
                seconds: -1 - seconds,
                nanos: 1_000_000_000 - nanos,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        for (seconds, nanos, expected) in [
            (0, 0, Some("1970-01-01T00:00:00Z")),
            (1_700_000_000, 120_000_000, Some("2023-11-14T22:13:20.12Z")),
            (i64::MAX, 0, None),
            (i64::MIN, 0, None),
            (-1, 0, Some("1969-12-31T23:59:59Z")),
            (-1, 500_000_000, Some("1969-12-31T23:59:59.5Z")),
            (-62_167_219_200, 0, Some("0000-01-01T00:00:00Z")),
            (-62_167_219_201, 0, None),
            (253_402_300_799, 0, Some("9999-12-31T23:59:59Z")),
            (253_402_300_800, 0, None),
            (0, -1, None),
            (0, 1_000_000_000, None),
            (0, i32::MAX, None),
            (0, i32::MIN, None),
        ] {
            let time = Timestamp { seconds, nanos }.rfc3339();
            assert_eq!(time.as_deref(), expected, "{seconds} {nanos}");
        }
    }

    #[test]
    fn clocks_before_1970_and_far_ahead_have_timestamps_too() {
        let day = Duration::from_secs(86_400);
        let half = Duration::from_millis(500);
        let epoch = SystemTime::UNIX_EPOCH;
        for (time, seconds, nanos, date) in [
            (epoch, 0, 0, Some("Thu, 01 Jan 1970 00:00:00 GMT")),
            (
                epoch + Duration::from_secs(784_111_777) + half,
                784_111_777,
                500_000_000,
                Some("Sun, 06 Nov 1994 08:49:37 GMT"),
            ),
            (
                epoch - half,
                -1,
                500_000_000,
                Some("Wed, 31 Dec 1969 23:59:59 GMT"),
            ),
            (
                epoch - day,
                -86_400,
                0,
                Some("Wed, 31 Dec 1969 00:00:00 GMT"),
            ),
            (epoch + day * 3_000_000, 259_200_000_000, 0, None),
            (epoch - day * 3_000_000, -259_200_000_000, 0, None),
        ] {
            let timestamp = Timestamp::from(time);
            assert_eq!(timestamp, Timestamp { seconds, nanos });
            assert_eq!(timestamp.imf_fixdate().as_deref(), date);
        }
    }
}
