//! Package `common`: blocks, envelopes and their headers.

use super::policies;
use crate::json::rules;
use crate::json::schema::Kind::{Bool, Bytes, Int32, Message, Text, Timestamp, Uint32, Uint64};
use crate::json::schema::{EnumType, MessageType, choice, many, one};

pub(super) static ALL: &[&MessageType] = &[
    &LAST_CONFIG,
    &METADATA,
    &METADATA_SIGNATURE,
    &IDENTIFIER_HEADER,
    &HEADER,
    &CHANNEL_HEADER,
    &SIGNATURE_HEADER,
    &PAYLOAD,
    &ENVELOPE,
    &BLOCK,
    &BLOCK_HEADER,
    &BLOCK_DATA,
    &BLOCK_METADATA,
    &ORDERER_BLOCK_METADATA,
    &BLOCKCHAIN_INFO,
    &BOOTSTRAPPING_SNAPSHOT_INFO,
    &COLLECTION_CONFIG_PACKAGE,
    &COLLECTION_CONFIG,
    &STATIC_COLLECTION_CONFIG,
    &COLLECTION_POLICY_CONFIG,
];

pub(in crate::json) static LAST_CONFIG: MessageType = MessageType {
    name: "common.LastConfig",
    fields: &[one(1, "index", Uint64)],
};

pub(in crate::json) static METADATA: MessageType = MessageType {
    name: "common.Metadata",
    fields: &[
        one(1, "value", Bytes),
        many(2, "signatures", Message(&METADATA_SIGNATURE)),
    ],
};

pub(in crate::json) static METADATA_SIGNATURE: MessageType = MessageType {
    name: "common.MetadataSignature",
    fields: &[
        one(1, "signature_header", Bytes),
        one(2, "signature", Bytes),
        one(3, "identifier_header", Bytes),
    ],
};

pub(in crate::json) static IDENTIFIER_HEADER: MessageType = MessageType {
    name: "common.IdentifierHeader",
    fields: &[one(1, "identifier", Uint32), one(2, "nonce", Bytes)],
};

pub(in crate::json) static HEADER: MessageType = MessageType {
    name: "common.Header",
    fields: &[
        one(1, "channel_header", Bytes).opaque(&CHANNEL_HEADER),
        one(2, "signature_header", Bytes).opaque(&SIGNATURE_HEADER),
    ],
};

pub(in crate::json) static CHANNEL_HEADER: MessageType = MessageType {
    name: "common.ChannelHeader",
    fields: &[
        one(1, "type", Int32),
        one(2, "version", Int32),
        one(3, "timestamp", Timestamp),
        one(4, "channel_id", Text),
        one(5, "tx_id", Text),
        one(6, "epoch", Uint64),
        one(7, "extension", Bytes).variable(rules::header_extension),
        one(8, "tls_cert_hash", Bytes),
    ],
};

pub(in crate::json) static SIGNATURE_HEADER: MessageType = MessageType {
    name: "common.SignatureHeader",
    fields: &[
        one(1, "creator", Bytes).opaque(&policies::SERIALIZED_IDENTITY),
        one(2, "nonce", Bytes),
    ],
};

pub(in crate::json) static PAYLOAD: MessageType = MessageType {
    name: "common.Payload",
    fields: &[
        one(1, "header", Message(&HEADER)),
        one(2, "data", Bytes).variable(rules::payload_data),
    ],
};

pub(in crate::json) static ENVELOPE: MessageType = MessageType {
    name: "common.Envelope",
    fields: &[
        one(1, "payload", Bytes).opaque(&PAYLOAD),
        one(2, "signature", Bytes),
    ],
};

pub(in crate::json) static BLOCK: MessageType = MessageType {
    name: "common.Block",
    fields: &[
        one(1, "header", Message(&BLOCK_HEADER)),
        one(2, "data", Message(&BLOCK_DATA)),
        one(3, "metadata", Message(&BLOCK_METADATA)),
    ],
};

pub(in crate::json) static BLOCK_HEADER: MessageType = MessageType {
    name: "common.BlockHeader",
    fields: &[
        one(1, "number", Uint64),
        one(2, "previous_hash", Bytes),
        one(3, "data_hash", Bytes),
    ],
};

pub(in crate::json) static BLOCK_DATA: MessageType = MessageType {
    name: "common.BlockData",
    fields: &[many(1, "data", Bytes).opaque(&ENVELOPE)],
};

pub(in crate::json) static BLOCK_METADATA: MessageType = MessageType {
    name: "common.BlockMetadata",
    fields: &[many(1, "metadata", Bytes)],
};

pub(in crate::json) static ORDERER_BLOCK_METADATA: MessageType = MessageType {
    name: "common.OrdererBlockMetadata",
    fields: &[
        one(1, "last_config", Message(&LAST_CONFIG)),
        one(2, "consenter_metadata", Bytes),
    ],
};

pub(in crate::json) static STATUS: EnumType = EnumType {
    values: &[
        (0, "UNKNOWN"),
        (200, "SUCCESS"),
        (400, "BAD_REQUEST"),
        (403, "FORBIDDEN"),
        (404, "NOT_FOUND"),
        (413, "REQUEST_ENTITY_TOO_LARGE"),
        (500, "INTERNAL_SERVER_ERROR"),
        (501, "NOT_IMPLEMENTED"),
        (503, "SERVICE_UNAVAILABLE"),
    ],
};

pub(in crate::json) static HEADER_TYPE: EnumType = EnumType {
    values: &[
        (0, "MESSAGE"),
        (1, "CONFIG"),
        (2, "CONFIG_UPDATE"),
        (3, "ENDORSER_TRANSACTION"),
        (4, "ORDERER_TRANSACTION"),
        (5, "DELIVER_SEEK_INFO"),
        (6, "CHAINCODE_PACKAGE"),
    ],
};

pub(in crate::json) static BLOCKCHAIN_INFO: MessageType = MessageType {
    name: "common.BlockchainInfo",
    fields: &[
        one(1, "height", Uint64),
        one(2, "currentBlockHash", Bytes),
        one(3, "previousBlockHash", Bytes),
        one(
            4,
            "bootstrappingSnapshotInfo",
            Message(&BOOTSTRAPPING_SNAPSHOT_INFO),
        ),
    ],
};

pub(in crate::json) static BOOTSTRAPPING_SNAPSHOT_INFO: MessageType = MessageType {
    name: "common.BootstrappingSnapshotInfo",
    fields: &[one(1, "lastBlockInSnapshot", Uint64)],
};

pub(in crate::json) static COLLECTION_CONFIG_PACKAGE: MessageType = MessageType {
    name: "common.CollectionConfigPackage",
    fields: &[many(1, "config", Message(&COLLECTION_CONFIG))],
};

pub(in crate::json) static COLLECTION_CONFIG: MessageType = MessageType {
    name: "common.CollectionConfig",
    fields: &[choice(
        1,
        "static_collection_config",
        Message(&STATIC_COLLECTION_CONFIG),
    )],
};

pub(in crate::json) static STATIC_COLLECTION_CONFIG: MessageType = MessageType {
    name: "common.StaticCollectionConfig",
    fields: &[
        one(1, "name", Text),
        one(2, "member_orgs_policy", Message(&COLLECTION_POLICY_CONFIG)),
        one(3, "required_peer_count", Int32),
        one(4, "maximum_peer_count", Int32),
        one(5, "block_to_live", Uint64),
        one(6, "member_only_read", Bool),
        one(7, "member_only_write", Bool),
        one(
            8,
            "endorsement_policy",
            Message(&policies::APPLICATION_POLICY),
        ),
    ],
};

pub(in crate::json) static COLLECTION_POLICY_CONFIG: MessageType = MessageType {
    name: "common.CollectionPolicyConfig",
    fields: &[choice(
        1,
        "signature_policy",
        Message(&policies::SIGNATURE_POLICY_ENVELOPE),
    )],
};
