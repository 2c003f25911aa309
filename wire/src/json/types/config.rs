//! Package `common`: the tree of a configuration, and what stands in it for every channel.

use super::{common, policies};
use crate::json::schema::Kind::{Bytes, Message, Text, Uint32, Uint64};
use crate::json::schema::{MessageType, many, map, one};
use crate::json::{rules, tree};

pub(super) static ALL: &[&MessageType] = &[
    &CONFIG_ENVELOPE,
    &CONFIG,
    &CONFIG_UPDATE_ENVELOPE,
    &CONFIG_UPDATE,
    &CONFIG_GROUP,
    &CONFIG_VALUE,
    &CONFIG_POLICY,
    &CONFIG_SIGNATURE,
    &HASHING_ALGORITHM,
    &BLOCK_DATA_HASHING_STRUCTURE,
    &ORDERER_ADDRESSES,
    &CONSENTER,
    &ORDERERS,
    &CONSORTIUM,
    &CAPABILITIES,
    &CAPABILITY,
];

pub(in crate::json) static CONFIG_ENVELOPE: MessageType = MessageType {
    name: "common.ConfigEnvelope",
    fields: &[
        one(1, "config", Message(&CONFIG)),
        one(2, "last_update", Message(&common::ENVELOPE)),
    ],
};

pub(in crate::json) static CONFIG: MessageType = MessageType {
    name: "common.Config",
    fields: &[
        one(1, "sequence", Uint64),
        one(2, "channel_group", Message(&CONFIG_GROUP)).seen_as(&tree::CHANNEL),
    ],
};

pub(in crate::json) static CONFIG_UPDATE_ENVELOPE: MessageType = MessageType {
    name: "common.ConfigUpdateEnvelope",
    fields: &[
        one(1, "config_update", Bytes).opaque(&CONFIG_UPDATE),
        many(2, "signatures", Message(&CONFIG_SIGNATURE)),
    ],
};

pub(in crate::json) static CONFIG_UPDATE: MessageType = MessageType {
    name: "common.ConfigUpdate",
    fields: &[
        one(1, "channel_id", Text),
        one(2, "read_set", Message(&CONFIG_GROUP)).seen_as(&tree::CHANNEL),
        one(3, "write_set", Message(&CONFIG_GROUP)).seen_as(&tree::CHANNEL),
        map(5, "isolated_data", Bytes).by_key(rules::isolated_data),
    ],
};

pub(in crate::json) static CONFIG_GROUP: MessageType = MessageType {
    name: "common.ConfigGroup",
    fields: &[
        one(1, "version", Uint64),
        map(2, "groups", Message(&CONFIG_GROUP)),
        map(3, "values", Message(&CONFIG_VALUE)),
        map(4, "policies", Message(&CONFIG_POLICY)),
        one(5, "mod_policy", Text),
    ],
};

pub(in crate::json) static CONFIG_VALUE: MessageType = MessageType {
    name: "common.ConfigValue",
    fields: &[
        one(1, "version", Uint64),
        one(2, "value", Bytes),
        one(3, "mod_policy", Text),
    ],
};

pub(in crate::json) static CONFIG_POLICY: MessageType = MessageType {
    name: "common.ConfigPolicy",
    fields: &[
        one(1, "version", Uint64),
        one(2, "policy", Message(&policies::POLICY)),
        one(3, "mod_policy", Text),
    ],
};

pub(in crate::json) static CONFIG_SIGNATURE: MessageType = MessageType {
    name: "common.ConfigSignature",
    fields: &[
        one(1, "signature_header", Bytes).opaque(&common::SIGNATURE_HEADER),
        one(2, "signature", Bytes),
    ],
};

pub(in crate::json) static HASHING_ALGORITHM: MessageType = MessageType {
    name: "common.HashingAlgorithm",
    fields: &[one(1, "name", Text)],
};

pub(in crate::json) static BLOCK_DATA_HASHING_STRUCTURE: MessageType = MessageType {
    name: "common.BlockDataHashingStructure",
    fields: &[one(1, "width", Uint32)],
};

pub(in crate::json) static ORDERER_ADDRESSES: MessageType = MessageType {
    name: "common.OrdererAddresses",
    fields: &[many(1, "addresses", Text)],
};

pub(in crate::json) static CONSENTER: MessageType = MessageType {
    name: "common.Consenter",
    fields: &[
        one(1, "id", Uint32),
        one(2, "host", Text),
        one(3, "port", Uint32),
        one(4, "msp_id", Text),
        one(5, "identity", Bytes),
        one(6, "client_tls_cert", Bytes),
        one(7, "server_tls_cert", Bytes),
    ],
};

pub(in crate::json) static ORDERERS: MessageType = MessageType {
    name: "common.Orderers",
    fields: &[many(1, "consenter_mapping", Message(&CONSENTER))],
};

pub(in crate::json) static CONSORTIUM: MessageType = MessageType {
    name: "common.Consortium",
    fields: &[one(1, "name", Text)],
};

pub(in crate::json) static CAPABILITIES: MessageType = MessageType {
    name: "common.Capabilities",
    fields: &[map(1, "capabilities", Message(&CAPABILITY))],
};

pub(in crate::json) static CAPABILITY: MessageType = MessageType {
    name: "common.Capability",
    fields: &[],
};
