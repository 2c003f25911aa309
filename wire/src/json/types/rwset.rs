//! Packages `rwset` and `kvrwset`: read-write sets.

use crate::json::rules;
use crate::json::schema::Kind::{Bool, Bytes, Enum, Message, Text, Uint32, Uint64};
use crate::json::schema::{EnumType, MessageType, choice, many, one};

pub(super) static ALL: &[&MessageType] = &[
    &TX_READ_WRITE_SET,
    &NS_READ_WRITE_SET,
    &COLLECTION_HASHED_READ_WRITE_SET,
    &TX_PVT_READ_WRITE_SET,
    &NS_PVT_READ_WRITE_SET,
    &COLLECTION_PVT_READ_WRITE_SET,
    &KVRW_SET,
    &HASHED_RW_SET,
    &KV_READ,
    &KV_WRITE,
    &KV_METADATA_WRITE,
    &KV_READ_HASH,
    &KV_WRITE_HASH,
    &KV_METADATA_WRITE_HASH,
    &KV_METADATA_ENTRY,
    &VERSION,
    &RANGE_QUERY_INFO,
    &QUERY_READS,
    &QUERY_READS_MERKLE_SUMMARY,
];

pub(in crate::json) static TX_READ_WRITE_SET: MessageType = MessageType {
    name: "rwset.TxReadWriteSet",
    fields: &[
        one(1, "data_model", Enum(&TX_READ_WRITE_SET_DATA_MODEL)),
        many(2, "ns_rwset", Message(&NS_READ_WRITE_SET)).variable(rules::namespace_sets),
    ],
};

static TX_READ_WRITE_SET_DATA_MODEL: EnumType = EnumType {
    values: &[(0, "KV")],
};

pub(in crate::json) static NS_READ_WRITE_SET: MessageType = MessageType {
    name: "rwset.NsReadWriteSet",
    fields: &[
        one(1, "namespace", Text),
        one(2, "rwset", Bytes),
        many(
            3,
            "collection_hashed_rwset",
            Message(&COLLECTION_HASHED_READ_WRITE_SET),
        ),
    ],
};

pub(in crate::json) static COLLECTION_HASHED_READ_WRITE_SET: MessageType = MessageType {
    name: "rwset.CollectionHashedReadWriteSet",
    fields: &[
        one(1, "collection_name", Text),
        one(2, "hashed_rwset", Bytes),
        one(3, "pvt_rwset_hash", Bytes),
    ],
};

pub(in crate::json) static TX_PVT_READ_WRITE_SET: MessageType = MessageType {
    name: "rwset.TxPvtReadWriteSet",
    fields: &[
        one(1, "data_model", Enum(&TX_READ_WRITE_SET_DATA_MODEL)),
        many(2, "ns_pvt_rwset", Message(&NS_PVT_READ_WRITE_SET)),
    ],
};

pub(in crate::json) static NS_PVT_READ_WRITE_SET: MessageType = MessageType {
    name: "rwset.NsPvtReadWriteSet",
    fields: &[
        one(1, "namespace", Text),
        many(
            2,
            "collection_pvt_rwset",
            Message(&COLLECTION_PVT_READ_WRITE_SET),
        ),
    ],
};

pub(in crate::json) static COLLECTION_PVT_READ_WRITE_SET: MessageType = MessageType {
    name: "rwset.CollectionPvtReadWriteSet",
    fields: &[one(1, "collection_name", Text), one(2, "rwset", Bytes)],
};

pub(in crate::json) static KVRW_SET: MessageType = MessageType {
    name: "kvrwset.KVRWSet",
    fields: &[
        many(1, "reads", Message(&KV_READ)),
        many(2, "range_queries_info", Message(&RANGE_QUERY_INFO)),
        many(3, "writes", Message(&KV_WRITE)),
        many(4, "metadata_writes", Message(&KV_METADATA_WRITE)),
    ],
};

pub(in crate::json) static HASHED_RW_SET: MessageType = MessageType {
    name: "kvrwset.HashedRWSet",
    fields: &[
        many(1, "hashed_reads", Message(&KV_READ_HASH)),
        many(2, "hashed_writes", Message(&KV_WRITE_HASH)),
        many(3, "metadata_writes", Message(&KV_METADATA_WRITE_HASH)),
    ],
};

pub(in crate::json) static KV_READ: MessageType = MessageType {
    name: "kvrwset.KVRead",
    fields: &[one(1, "key", Text), one(2, "version", Message(&VERSION))],
};

pub(in crate::json) static KV_WRITE: MessageType = MessageType {
    name: "kvrwset.KVWrite",
    fields: &[
        one(1, "key", Text),
        one(2, "is_delete", Bool),
        one(3, "value", Bytes),
    ],
};

pub(in crate::json) static KV_METADATA_WRITE: MessageType = MessageType {
    name: "kvrwset.KVMetadataWrite",
    fields: &[
        one(1, "key", Text),
        many(2, "entries", Message(&KV_METADATA_ENTRY)),
    ],
};

pub(in crate::json) static KV_READ_HASH: MessageType = MessageType {
    name: "kvrwset.KVReadHash",
    fields: &[
        one(1, "key_hash", Bytes),
        one(2, "version", Message(&VERSION)),
    ],
};

pub(in crate::json) static KV_WRITE_HASH: MessageType = MessageType {
    name: "kvrwset.KVWriteHash",
    fields: &[
        one(1, "key_hash", Bytes),
        one(2, "is_delete", Bool),
        one(3, "value_hash", Bytes),
        one(4, "is_purge", Bool),
    ],
};

pub(in crate::json) static KV_METADATA_WRITE_HASH: MessageType = MessageType {
    name: "kvrwset.KVMetadataWriteHash",
    fields: &[
        one(1, "key_hash", Bytes),
        many(2, "entries", Message(&KV_METADATA_ENTRY)),
    ],
};

pub(in crate::json) static KV_METADATA_ENTRY: MessageType = MessageType {
    name: "kvrwset.KVMetadataEntry",
    fields: &[one(1, "name", Text), one(2, "value", Bytes)],
};

pub(in crate::json) static VERSION: MessageType = MessageType {
    name: "kvrwset.Version",
    fields: &[one(1, "block_num", Uint64), one(2, "tx_num", Uint64)],
};

pub(in crate::json) static RANGE_QUERY_INFO: MessageType = MessageType {
    name: "kvrwset.RangeQueryInfo",
    fields: &[
        one(1, "start_key", Text),
        one(2, "end_key", Text),
        one(3, "itr_exhausted", Bool),
        choice(4, "raw_reads", Message(&QUERY_READS)),
        choice(
            5,
            "reads_merkle_hashes",
            Message(&QUERY_READS_MERKLE_SUMMARY),
        ),
    ],
};

pub(in crate::json) static QUERY_READS: MessageType = MessageType {
    name: "kvrwset.QueryReads",
    fields: &[many(1, "kv_reads", Message(&KV_READ))],
};

pub(in crate::json) static QUERY_READS_MERKLE_SUMMARY: MessageType = MessageType {
    name: "kvrwset.QueryReadsMerkleSummary",
    fields: &[
        one(1, "max_degree", Uint32),
        one(2, "max_level", Uint32),
        many(3, "max_level_hashes", Bytes),
    ],
};
