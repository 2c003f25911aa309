//! Package `orderer`: what orderers say to clients and to each other.

use super::common;
use crate::json::schema::Kind::{Bytes, Enum, Message, Text, Timestamp, Uint32, Uint64};
use crate::json::schema::{EnumType, MessageType, choice, one};

pub(super) static ALL: &[&MessageType] = &[
    &BROADCAST_RESPONSE,
    &SEEK_NEWEST,
    &SEEK_OLDEST,
    &SEEK_SPECIFIED,
    &SEEK_NEXT_COMMIT,
    &SEEK_POSITION,
    &SEEK_INFO,
    &DELIVER_RESPONSE,
    &STEP_REQUEST,
    &STEP_RESPONSE,
    &CONSENSUS_REQUEST,
    &SUBMIT_REQUEST,
    &SUBMIT_RESPONSE,
    &CLUSTER_NODE_SERVICE_STEP_REQUEST,
    &CLUSTER_NODE_SERVICE_STEP_RESPONSE,
    &NODE_CONSENSUS_REQUEST,
    &NODE_TRANSACTION_ORDER_REQUEST,
    &TRANSACTION_ORDER_RESPONSE,
    &NODE_AUTH_REQUEST,
];

pub(in crate::json) static BROADCAST_RESPONSE: MessageType = MessageType {
    name: "orderer.BroadcastResponse",
    fields: &[
        one(1, "status", Enum(&common::STATUS)),
        one(2, "info", Text),
    ],
};

pub(in crate::json) static SEEK_NEWEST: MessageType = MessageType {
    name: "orderer.SeekNewest",
    fields: &[],
};

pub(in crate::json) static SEEK_OLDEST: MessageType = MessageType {
    name: "orderer.SeekOldest",
    fields: &[],
};

pub(in crate::json) static SEEK_SPECIFIED: MessageType = MessageType {
    name: "orderer.SeekSpecified",
    fields: &[one(1, "number", Uint64)],
};

pub(in crate::json) static SEEK_NEXT_COMMIT: MessageType = MessageType {
    name: "orderer.SeekNextCommit",
    fields: &[],
};

pub(in crate::json) static SEEK_POSITION: MessageType = MessageType {
    name: "orderer.SeekPosition",
    fields: &[
        choice(1, "newest", Message(&SEEK_NEWEST)),
        choice(2, "oldest", Message(&SEEK_OLDEST)),
        choice(3, "specified", Message(&SEEK_SPECIFIED)),
        choice(4, "next_commit", Message(&SEEK_NEXT_COMMIT)),
    ],
};

pub(in crate::json) static SEEK_INFO: MessageType = MessageType {
    name: "orderer.SeekInfo",
    fields: &[
        one(1, "start", Message(&SEEK_POSITION)),
        one(2, "stop", Message(&SEEK_POSITION)),
        one(3, "behavior", Enum(&SEEK_INFO_SEEK_BEHAVIOR)),
        one(4, "error_response", Enum(&SEEK_INFO_SEEK_ERROR_RESPONSE)),
        one(5, "content_type", Enum(&SEEK_INFO_SEEK_CONTENT_TYPE)),
    ],
};

static SEEK_INFO_SEEK_BEHAVIOR: EnumType = EnumType {
    values: &[(0, "BLOCK_UNTIL_READY"), (1, "FAIL_IF_NOT_READY")],
};

static SEEK_INFO_SEEK_ERROR_RESPONSE: EnumType = EnumType {
    values: &[(0, "STRICT"), (1, "BEST_EFFORT")],
};

static SEEK_INFO_SEEK_CONTENT_TYPE: EnumType = EnumType {
    values: &[(0, "BLOCK"), (1, "HEADER_WITH_SIG")],
};

pub(in crate::json) static DELIVER_RESPONSE: MessageType = MessageType {
    name: "orderer.DeliverResponse",
    fields: &[
        choice(1, "status", Enum(&common::STATUS)),
        choice(2, "block", Message(&common::BLOCK)),
    ],
};

pub(in crate::json) static STEP_REQUEST: MessageType = MessageType {
    name: "orderer.StepRequest",
    fields: &[
        choice(1, "consensus_request", Message(&CONSENSUS_REQUEST)),
        choice(2, "submit_request", Message(&SUBMIT_REQUEST)),
    ],
};

pub(in crate::json) static STEP_RESPONSE: MessageType = MessageType {
    name: "orderer.StepResponse",
    fields: &[choice(1, "submit_res", Message(&SUBMIT_RESPONSE))],
};

pub(in crate::json) static CONSENSUS_REQUEST: MessageType = MessageType {
    name: "orderer.ConsensusRequest",
    fields: &[
        one(1, "channel", Text),
        one(2, "payload", Bytes),
        one(3, "metadata", Bytes),
    ],
};

pub(in crate::json) static SUBMIT_REQUEST: MessageType = MessageType {
    name: "orderer.SubmitRequest",
    fields: &[
        one(1, "channel", Text),
        one(2, "last_validation_seq", Uint64),
        one(3, "payload", Message(&common::ENVELOPE)),
    ],
};

pub(in crate::json) static SUBMIT_RESPONSE: MessageType = MessageType {
    name: "orderer.SubmitResponse",
    fields: &[
        one(1, "channel", Text),
        one(2, "status", Enum(&common::STATUS)),
        one(3, "info", Text),
    ],
};

pub(in crate::json) static CLUSTER_NODE_SERVICE_STEP_REQUEST: MessageType = MessageType {
    name: "orderer.ClusterNodeServiceStepRequest",
    fields: &[
        choice(1, "node_conrequest", Message(&NODE_CONSENSUS_REQUEST)),
        choice(
            2,
            "node_tranrequest",
            Message(&NODE_TRANSACTION_ORDER_REQUEST),
        ),
        choice(3, "node_authrequest", Message(&NODE_AUTH_REQUEST)),
    ],
};

pub(in crate::json) static CLUSTER_NODE_SERVICE_STEP_RESPONSE: MessageType = MessageType {
    name: "orderer.ClusterNodeServiceStepResponse",
    fields: &[choice(
        1,
        "tranorder_res",
        Message(&TRANSACTION_ORDER_RESPONSE),
    )],
};

pub(in crate::json) static NODE_CONSENSUS_REQUEST: MessageType = MessageType {
    name: "orderer.NodeConsensusRequest",
    fields: &[one(1, "payload", Bytes), one(2, "metadata", Bytes)],
};

pub(in crate::json) static NODE_TRANSACTION_ORDER_REQUEST: MessageType = MessageType {
    name: "orderer.NodeTransactionOrderRequest",
    fields: &[
        one(1, "last_validation_seq", Uint64),
        one(2, "payload", Message(&common::ENVELOPE)),
    ],
};

pub(in crate::json) static TRANSACTION_ORDER_RESPONSE: MessageType = MessageType {
    name: "orderer.TransactionOrderResponse",
    fields: &[
        one(1, "channel", Text),
        one(2, "tx_id", Text),
        one(3, "status", Enum(&common::STATUS)),
        one(4, "info", Text),
    ],
};

pub(in crate::json) static NODE_AUTH_REQUEST: MessageType = MessageType {
    name: "orderer.NodeAuthRequest",
    fields: &[
        one(1, "version", Uint32),
        one(2, "signature", Bytes),
        one(3, "timestamp", Timestamp),
        one(4, "from_id", Uint64),
        one(5, "to_id", Uint64),
        one(6, "session_binding", Bytes),
        one(7, "channel", Text),
    ],
};
