//! Package `protos`: the configuration of peers, events, and answers of system chaincodes.

use super::{common, config, rwset, transaction};
use crate::json::schema::Kind::{Bool, Bytes, Enum, Int32, Message, Text, Uint64};
use crate::json::schema::{MessageType, choice, many, map, map_of_numbers, one};

pub(super) static ALL: &[&MessageType] = &[
    &ANCHOR_PEERS,
    &ANCHOR_PEER,
    &API_RESOURCE,
    &ACLS,
    &FILTERED_BLOCK,
    &FILTERED_TRANSACTION,
    &FILTERED_TRANSACTION_ACTIONS,
    &FILTERED_CHAINCODE_ACTION,
    &BLOCK_AND_PRIVATE_DATA,
    &DELIVER_RESPONSE,
    &CHAINCODE_QUERY_RESPONSE,
    &CHAINCODE_INFO,
    &CHANNEL_QUERY_RESPONSE,
    &CHANNEL_INFO,
    &JOIN_BY_SNAPSHOT_STATUS,
    &CHAINCODE_IDENTIFIER,
    &CHAINCODE_VALIDATION,
    &VSCC_ARGS,
    &CHAINCODE_ENDORSEMENT,
    &CONFIG_TREE,
    &SNAPSHOT_REQUEST,
    &SNAPSHOT_QUERY,
    &SIGNED_SNAPSHOT_REQUEST,
    &QUERY_PENDING_SNAPSHOTS_RESPONSE,
];

pub(in crate::json) static ANCHOR_PEERS: MessageType = MessageType {
    name: "protos.AnchorPeers",
    fields: &[many(1, "anchor_peers", Message(&ANCHOR_PEER))],
};

pub(in crate::json) static ANCHOR_PEER: MessageType = MessageType {
    name: "protos.AnchorPeer",
    fields: &[one(1, "host", Text), one(2, "port", Int32)],
};

pub(in crate::json) static API_RESOURCE: MessageType = MessageType {
    name: "protos.APIResource",
    fields: &[one(1, "policy_ref", Text)],
};

pub(in crate::json) static ACLS: MessageType = MessageType {
    name: "protos.ACLs",
    fields: &[map(1, "acls", Message(&API_RESOURCE))],
};

pub(in crate::json) static FILTERED_BLOCK: MessageType = MessageType {
    name: "protos.FilteredBlock",
    fields: &[
        one(1, "channel_id", Text),
        one(2, "number", Uint64),
        many(4, "filtered_transactions", Message(&FILTERED_TRANSACTION)),
    ],
};

pub(in crate::json) static FILTERED_TRANSACTION: MessageType = MessageType {
    name: "protos.FilteredTransaction",
    fields: &[
        one(1, "txid", Text),
        one(2, "type", Enum(&common::HEADER_TYPE)),
        one(
            3,
            "tx_validation_code",
            Enum(&transaction::TX_VALIDATION_CODE),
        ),
        choice(
            4,
            "transaction_actions",
            Message(&FILTERED_TRANSACTION_ACTIONS),
        ),
    ],
};

pub(in crate::json) static FILTERED_TRANSACTION_ACTIONS: MessageType = MessageType {
    name: "protos.FilteredTransactionActions",
    fields: &[many(
        1,
        "chaincode_actions",
        Message(&FILTERED_CHAINCODE_ACTION),
    )],
};

pub(in crate::json) static FILTERED_CHAINCODE_ACTION: MessageType = MessageType {
    name: "protos.FilteredChaincodeAction",
    fields: &[one(
        1,
        "chaincode_event",
        Message(&transaction::CHAINCODE_EVENT),
    )],
};

pub(in crate::json) static BLOCK_AND_PRIVATE_DATA: MessageType = MessageType {
    name: "protos.BlockAndPrivateData",
    fields: &[
        one(1, "block", Message(&common::BLOCK)),
        map_of_numbers(
            2,
            "private_data_map",
            Message(&rwset::TX_PVT_READ_WRITE_SET),
        ),
    ],
};

pub(in crate::json) static DELIVER_RESPONSE: MessageType = MessageType {
    name: "protos.DeliverResponse",
    fields: &[
        choice(1, "status", Enum(&common::STATUS)),
        choice(2, "block", Message(&common::BLOCK)),
        choice(3, "filtered_block", Message(&FILTERED_BLOCK)),
        choice(
            4,
            "block_and_private_data",
            Message(&BLOCK_AND_PRIVATE_DATA),
        ),
    ],
};

pub(in crate::json) static CHAINCODE_QUERY_RESPONSE: MessageType = MessageType {
    name: "protos.ChaincodeQueryResponse",
    fields: &[many(1, "chaincodes", Message(&CHAINCODE_INFO))],
};

pub(in crate::json) static CHAINCODE_INFO: MessageType = MessageType {
    name: "protos.ChaincodeInfo",
    fields: &[
        one(1, "name", Text),
        one(2, "version", Text),
        one(3, "path", Text),
        one(4, "input", Text),
        one(5, "escc", Text),
        one(6, "vscc", Text),
        one(7, "id", Bytes),
    ],
};

pub(in crate::json) static CHANNEL_QUERY_RESPONSE: MessageType = MessageType {
    name: "protos.ChannelQueryResponse",
    fields: &[many(1, "channels", Message(&CHANNEL_INFO))],
};

pub(in crate::json) static CHANNEL_INFO: MessageType = MessageType {
    name: "protos.ChannelInfo",
    fields: &[one(1, "channel_id", Text)],
};

pub(in crate::json) static JOIN_BY_SNAPSHOT_STATUS: MessageType = MessageType {
    name: "protos.JoinBySnapshotStatus",
    fields: &[
        one(1, "in_progress", Bool),
        one(2, "bootstrapping_snapshot_dir", Text),
    ],
};

pub(in crate::json) static CHAINCODE_IDENTIFIER: MessageType = MessageType {
    name: "protos.ChaincodeIdentifier",
    fields: &[one(1, "hash", Bytes), one(2, "version", Text)],
};

pub(in crate::json) static CHAINCODE_VALIDATION: MessageType = MessageType {
    name: "protos.ChaincodeValidation",
    fields: &[one(1, "name", Text), one(2, "argument", Bytes)],
};

pub(in crate::json) static VSCC_ARGS: MessageType = MessageType {
    name: "protos.VSCCArgs",
    fields: &[one(1, "endorsement_policy_ref", Text)],
};

pub(in crate::json) static CHAINCODE_ENDORSEMENT: MessageType = MessageType {
    name: "protos.ChaincodeEndorsement",
    fields: &[one(1, "name", Text)],
};

pub(in crate::json) static CONFIG_TREE: MessageType = MessageType {
    name: "protos.ConfigTree",
    fields: &[
        one(1, "channel_config", Message(&config::CONFIG)),
        one(2, "resources_config", Message(&config::CONFIG)),
    ],
};

pub(in crate::json) static SNAPSHOT_REQUEST: MessageType = MessageType {
    name: "protos.SnapshotRequest",
    fields: &[
        one(1, "signature_header", Message(&common::SIGNATURE_HEADER)),
        one(2, "channel_id", Text),
        one(3, "block_number", Uint64),
    ],
};

pub(in crate::json) static SNAPSHOT_QUERY: MessageType = MessageType {
    name: "protos.SnapshotQuery",
    fields: &[
        one(1, "signature_header", Message(&common::SIGNATURE_HEADER)),
        one(2, "channel_id", Text),
    ],
};

pub(in crate::json) static SIGNED_SNAPSHOT_REQUEST: MessageType = MessageType {
    name: "protos.SignedSnapshotRequest",
    fields: &[one(1, "request", Bytes), one(2, "signature", Bytes)],
};

pub(in crate::json) static QUERY_PENDING_SNAPSHOTS_RESPONSE: MessageType = MessageType {
    name: "protos.QueryPendingSnapshotsResponse",
    fields: &[many(1, "block_numbers", Uint64)],
};
