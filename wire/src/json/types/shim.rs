//! Package `protos`: what a peer and a chaincode say to each other.

use super::transaction;
use crate::json::schema::Kind::{Bool, Bytes, Enum, Int32, Message, Text, Timestamp};
use crate::json::schema::{EnumType, MessageType, many, one};

pub(super) static ALL: &[&MessageType] = &[
    &CHAINCODE_MESSAGE,
    &GET_STATE,
    &GET_STATE_METADATA,
    &GET_STATE_MULTIPLE,
    &GET_STATE_MULTIPLE_RESULT,
    &PUT_STATE,
    &PUT_STATE_METADATA,
    &WRITE_BATCH_STATE,
    &WRITE_RECORD,
    &DEL_STATE,
    &PURGE_PRIVATE_STATE,
    &GET_STATE_BY_RANGE,
    &GET_QUERY_RESULT,
    &QUERY_METADATA,
    &GET_HISTORY_FOR_KEY,
    &QUERY_STATE_NEXT,
    &QUERY_STATE_CLOSE,
    &QUERY_RESULT_BYTES,
    &QUERY_RESPONSE,
    &QUERY_RESPONSE_METADATA,
    &STATE_METADATA,
    &STATE_METADATA_RESULT,
];

pub(in crate::json) static CHAINCODE_MESSAGE: MessageType = MessageType {
    name: "protos.ChaincodeMessage",
    fields: &[
        one(1, "type", Enum(&CHAINCODE_MESSAGE_TYPE)),
        one(2, "timestamp", Timestamp),
        one(3, "payload", Bytes),
        one(4, "txid", Text),
        one(5, "proposal", Message(&transaction::SIGNED_PROPOSAL)),
        one(6, "chaincode_event", Message(&transaction::CHAINCODE_EVENT)),
        one(7, "channel_id", Text),
    ],
};

static CHAINCODE_MESSAGE_TYPE: EnumType = EnumType {
    values: &[
        (0, "UNDEFINED"),
        (1, "REGISTER"),
        (2, "REGISTERED"),
        (3, "INIT"),
        (4, "READY"),
        (5, "TRANSACTION"),
        (6, "COMPLETED"),
        (7, "ERROR"),
        (8, "GET_STATE"),
        (9, "PUT_STATE"),
        (10, "DEL_STATE"),
        (11, "INVOKE_CHAINCODE"),
        (13, "RESPONSE"),
        (14, "GET_STATE_BY_RANGE"),
        (15, "GET_QUERY_RESULT"),
        (16, "QUERY_STATE_NEXT"),
        (17, "QUERY_STATE_CLOSE"),
        (18, "KEEPALIVE"),
        (19, "GET_HISTORY_FOR_KEY"),
        (20, "GET_STATE_METADATA"),
        (21, "PUT_STATE_METADATA"),
        (22, "GET_PRIVATE_DATA_HASH"),
        (23, "PURGE_PRIVATE_DATA"),
        (24, "WRITE_BATCH_STATE"),
        (25, "GET_STATE_MULTIPLE"),
    ],
};

pub(in crate::json) static GET_STATE: MessageType = MessageType {
    name: "protos.GetState",
    fields: &[one(1, "key", Text), one(2, "collection", Text)],
};

pub(in crate::json) static GET_STATE_METADATA: MessageType = MessageType {
    name: "protos.GetStateMetadata",
    fields: &[one(1, "key", Text), one(2, "collection", Text)],
};

pub(in crate::json) static GET_STATE_MULTIPLE: MessageType = MessageType {
    name: "protos.GetStateMultiple",
    fields: &[many(1, "keys", Text), one(2, "collection", Text)],
};

pub(in crate::json) static GET_STATE_MULTIPLE_RESULT: MessageType = MessageType {
    name: "protos.GetStateMultipleResult",
    fields: &[many(1, "values", Bytes)],
};

pub(in crate::json) static PUT_STATE: MessageType = MessageType {
    name: "protos.PutState",
    fields: &[
        one(1, "key", Text),
        one(2, "value", Bytes),
        one(3, "collection", Text),
    ],
};

pub(in crate::json) static PUT_STATE_METADATA: MessageType = MessageType {
    name: "protos.PutStateMetadata",
    fields: &[
        one(1, "key", Text),
        one(3, "collection", Text),
        one(4, "metadata", Message(&STATE_METADATA)),
    ],
};

pub(in crate::json) static WRITE_BATCH_STATE: MessageType = MessageType {
    name: "protos.WriteBatchState",
    fields: &[many(1, "rec", Message(&WRITE_RECORD))],
};

pub(in crate::json) static WRITE_RECORD: MessageType = MessageType {
    name: "protos.WriteRecord",
    fields: &[
        one(1, "key", Text),
        one(2, "value", Bytes),
        one(3, "collection", Text),
        one(4, "metadata", Message(&STATE_METADATA)),
        one(5, "type", Enum(&WRITE_RECORD_TYPE)),
    ],
};

static WRITE_RECORD_TYPE: EnumType = EnumType {
    values: &[
        (0, "UNDEFINED"),
        (9, "PUT_STATE"),
        (10, "DEL_STATE"),
        (21, "PUT_STATE_METADATA"),
        (23, "PURGE_PRIVATE_DATA"),
    ],
};

pub(in crate::json) static DEL_STATE: MessageType = MessageType {
    name: "protos.DelState",
    fields: &[one(1, "key", Text), one(2, "collection", Text)],
};

pub(in crate::json) static PURGE_PRIVATE_STATE: MessageType = MessageType {
    name: "protos.PurgePrivateState",
    fields: &[one(1, "key", Text), one(2, "collection", Text)],
};

pub(in crate::json) static GET_STATE_BY_RANGE: MessageType = MessageType {
    name: "protos.GetStateByRange",
    fields: &[
        one(1, "startKey", Text),
        one(2, "endKey", Text),
        one(3, "collection", Text),
        one(4, "metadata", Bytes),
    ],
};

pub(in crate::json) static GET_QUERY_RESULT: MessageType = MessageType {
    name: "protos.GetQueryResult",
    fields: &[
        one(1, "query", Text),
        one(2, "collection", Text),
        one(3, "metadata", Bytes),
    ],
};

pub(in crate::json) static QUERY_METADATA: MessageType = MessageType {
    name: "protos.QueryMetadata",
    fields: &[one(1, "pageSize", Int32), one(2, "bookmark", Text)],
};

pub(in crate::json) static GET_HISTORY_FOR_KEY: MessageType = MessageType {
    name: "protos.GetHistoryForKey",
    fields: &[one(1, "key", Text)],
};

pub(in crate::json) static QUERY_STATE_NEXT: MessageType = MessageType {
    name: "protos.QueryStateNext",
    fields: &[one(1, "id", Text)],
};

pub(in crate::json) static QUERY_STATE_CLOSE: MessageType = MessageType {
    name: "protos.QueryStateClose",
    fields: &[one(1, "id", Text)],
};

pub(in crate::json) static QUERY_RESULT_BYTES: MessageType = MessageType {
    name: "protos.QueryResultBytes",
    fields: &[one(1, "resultBytes", Bytes)],
};

pub(in crate::json) static QUERY_RESPONSE: MessageType = MessageType {
    name: "protos.QueryResponse",
    fields: &[
        many(1, "results", Message(&QUERY_RESULT_BYTES)),
        one(2, "has_more", Bool),
        one(3, "id", Text),
        one(4, "metadata", Bytes),
    ],
};

pub(in crate::json) static QUERY_RESPONSE_METADATA: MessageType = MessageType {
    name: "protos.QueryResponseMetadata",
    fields: &[
        one(1, "fetched_records_count", Int32),
        one(2, "bookmark", Text),
    ],
};

pub(in crate::json) static STATE_METADATA: MessageType = MessageType {
    name: "protos.StateMetadata",
    fields: &[one(1, "metakey", Text), one(2, "value", Bytes)],
};

pub(in crate::json) static STATE_METADATA_RESULT: MessageType = MessageType {
    name: "protos.StateMetadataResult",
    fields: &[many(1, "entries", Message(&STATE_METADATA))],
};
