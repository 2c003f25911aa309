//! Package `orderer` and those of its consenters: the configuration of ordering.

use crate::json::rules;
use crate::json::schema::Kind::{Bool, Bytes, Enum, Message, Text, Uint32, Uint64};
use crate::json::schema::{EnumType, MessageType, many, one};

pub(super) static ALL: &[&MessageType] = &[
    &CONSENSUS_TYPE,
    &BATCH_SIZE,
    &BATCH_TIMEOUT,
    &KAFKA_BROKERS,
    &CHANNEL_RESTRICTIONS,
    &RAFT_CONFIG_METADATA,
    &RAFT_CONSENTER,
    &RAFT_OPTIONS,
    &RAFT_BLOCK_METADATA,
    &RAFT_CLUSTER_METADATA,
    &BFT_OPTIONS,
];

pub(in crate::json) static CONSENSUS_TYPE: MessageType = MessageType {
    name: "orderer.ConsensusType",
    fields: &[
        one(1, "type", Text),
        one(2, "metadata", Bytes).variable(rules::consensus_metadata),
        one(3, "state", Enum(&CONSENSUS_TYPE_STATE)),
    ],
};

static CONSENSUS_TYPE_STATE: EnumType = EnumType {
    values: &[(0, "STATE_NORMAL"), (1, "STATE_MAINTENANCE")],
};

pub(in crate::json) static BATCH_SIZE: MessageType = MessageType {
    name: "orderer.BatchSize",
    fields: &[
        one(1, "max_message_count", Uint32),
        one(2, "absolute_max_bytes", Uint32),
        one(3, "preferred_max_bytes", Uint32),
    ],
};

pub(in crate::json) static BATCH_TIMEOUT: MessageType = MessageType {
    name: "orderer.BatchTimeout",
    fields: &[one(1, "timeout", Text)],
};

pub(in crate::json) static KAFKA_BROKERS: MessageType = MessageType {
    name: "orderer.KafkaBrokers",
    fields: &[many(1, "brokers", Text)],
};

pub(in crate::json) static CHANNEL_RESTRICTIONS: MessageType = MessageType {
    name: "orderer.ChannelRestrictions",
    fields: &[one(1, "max_count", Uint64)],
};

pub(in crate::json) static RAFT_CONFIG_METADATA: MessageType = MessageType {
    name: "etcdraft.ConfigMetadata",
    fields: &[
        many(1, "consenters", Message(&RAFT_CONSENTER)),
        one(2, "options", Message(&RAFT_OPTIONS)),
    ],
};

pub(in crate::json) static RAFT_CONSENTER: MessageType = MessageType {
    name: "etcdraft.Consenter",
    fields: &[
        one(1, "host", Text),
        one(2, "port", Uint32),
        one(3, "client_tls_cert", Bytes),
        one(4, "server_tls_cert", Bytes),
    ],
};

pub(in crate::json) static RAFT_OPTIONS: MessageType = MessageType {
    name: "etcdraft.Options",
    fields: &[
        one(1, "tick_interval", Text),
        one(2, "election_tick", Uint32),
        one(3, "heartbeat_tick", Uint32),
        one(4, "max_inflight_blocks", Uint32),
        one(5, "snapshot_interval_size", Uint32),
    ],
};

pub(in crate::json) static RAFT_BLOCK_METADATA: MessageType = MessageType {
    name: "etcdraft.BlockMetadata",
    fields: &[
        many(1, "consenter_ids", Uint64),
        one(2, "next_consenter_id", Uint64),
        one(3, "raft_index", Uint64),
    ],
};

pub(in crate::json) static RAFT_CLUSTER_METADATA: MessageType = MessageType {
    name: "etcdraft.ClusterMetadata",
    fields: &[many(1, "active_nodes", Uint64)],
};

pub(in crate::json) static BFT_OPTIONS: MessageType = MessageType {
    name: "orderer.smartbft.Options",
    fields: &[
        one(1, "request_batch_max_count", Uint64),
        one(2, "request_batch_max_bytes", Uint64),
        one(3, "request_batch_max_interval", Text),
        one(4, "incoming_message_buffer_size", Uint64),
        one(5, "request_pool_size", Uint64),
        one(6, "request_forward_timeout", Text),
        one(7, "request_complain_timeout", Text),
        one(8, "request_auto_remove_timeout", Text),
        one(9, "request_max_bytes", Uint64),
        one(10, "view_change_resend_interval", Text),
        one(11, "view_change_timeout", Text),
        one(12, "leader_heartbeat_timeout", Text),
        one(13, "leader_heartbeat_count", Uint64),
        one(14, "collect_timeout", Text),
        one(15, "sync_on_start", Bool),
        one(16, "speed_up_view_change", Bool),
        one(17, "leader_rotation", Enum(&BFT_OPTIONS_ROTATION)),
        one(18, "decisions_per_leader", Uint64),
    ],
};

static BFT_OPTIONS_ROTATION: EnumType = EnumType {
    values: &[
        (0, "ROTATION_UNSPECIFIED"),
        (1, "ROTATION_OFF"),
        (2, "ROTATION_ON"),
    ],
};
