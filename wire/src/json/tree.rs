//! The groups of a configuration and the namespaces of a read-write set: messages whose place tells what their bytes
//! hold.

use super::error::Error;
use super::schema::Kind::{Bytes, Message, Text, Uint64};
use super::schema::{Found, MessageType, many, map, one};
use super::types::config::{CONFIG_GROUP, CONFIG_POLICY, CONFIG_VALUE};
use super::types::{config, orderer, peer, policies, rwset};

/// A `ConfigGroup` with rules for its groups and its values.
macro_rules! group {
    ($name:ident, $groups:expr, $values:expr) => {
        pub(super) static $name: MessageType = MessageType {
            name: "common.ConfigGroup",
            fields: &[
                one(1, "version", Uint64),
                map(2, "groups", Message(&CONFIG_GROUP)).by_key($groups),
                map(3, "values", Message(&CONFIG_VALUE)).by_key($values),
                map(4, "policies", Message(&CONFIG_POLICY)),
                one(5, "mod_policy", Text),
            ],
        };
    };
}

/// `ConfigValue`s, one for each type that their bytes can hold.
macro_rules! values {
    ($($name:ident: $held:expr;)*) => {
        $(static $name: MessageType = MessageType {
            name: "common.ConfigValue",
            fields: &[
                one(1, "version", Uint64),
                one(2, "value", Bytes).opaque(&$held),
                one(3, "mod_policy", Text),
            ],
        };)*
    };
}

group!(CHANNEL, channel_groups, channel_values);
group!(ORDERER, |_| Ok(Some(&ORDERER_ORGANIZATION)), orderer_values);
group!(
    APPLICATION,
    |_| Ok(Some(&APPLICATION_ORGANIZATION)),
    application_values
);
group!(CONSORTIUMS, |_| Ok(Some(&CONSORTIUM)), |name| Err(
    no_value("the consortiums", name)
));
group!(
    CONSORTIUM,
    |_| Ok(Some(&CONSORTIUM_ORGANIZATION)),
    consortium_values
);
group!(ORDERER_ORGANIZATION, no_group, orderer_organization_values);
group!(
    APPLICATION_ORGANIZATION,
    no_group,
    application_organization_values
);
group!(
    CONSORTIUM_ORGANIZATION,
    no_group,
    consortium_organization_values
);

values! {
    HASHING_ALGORITHM: config::HASHING_ALGORITHM;
    BLOCK_DATA_HASHING_STRUCTURE: config::BLOCK_DATA_HASHING_STRUCTURE;
    ORDERER_ADDRESSES: config::ORDERER_ADDRESSES;
    CONSORTIUM_NAME: config::CONSORTIUM;
    CAPABILITIES: config::CAPABILITIES;
    CONSENSUS_TYPE: orderer::CONSENSUS_TYPE;
    BATCH_SIZE: orderer::BATCH_SIZE;
    BATCH_TIMEOUT: orderer::BATCH_TIMEOUT;
    KAFKA_BROKERS: orderer::KAFKA_BROKERS;
    CHANNEL_RESTRICTIONS: orderer::CHANNEL_RESTRICTIONS;
    ORDERERS: config::ORDERERS;
    ACCESS_RULES: peer::ACLS;
    MSP: policies::MSP_CONFIG;
    ANCHOR_PEERS: peer::ANCHOR_PEERS;
    CREATION_POLICY: policies::POLICY;
}

fn channel_groups(name: &str) -> Found {
    match name {
        "Consortiums" => Ok(Some(&CONSORTIUMS)),
        "Orderer" => Ok(Some(&ORDERER)),
        "Application" => Ok(Some(&APPLICATION)),
        _ => Err(Error::unknown(format!("a channel has no group {name:?}"))),
    }
}

fn channel_values(name: &str) -> Found {
    match name {
        "HashingAlgorithm" => Ok(Some(&HASHING_ALGORITHM)),
        "BlockDataHashingStructure" => Ok(Some(&BLOCK_DATA_HASHING_STRUCTURE)),
        "OrdererAddresses" => Ok(Some(&ORDERER_ADDRESSES)),
        "Consortium" => Ok(Some(&CONSORTIUM_NAME)),
        "Capabilities" => Ok(Some(&CAPABILITIES)),
        _ => Err(no_value("a channel", name)),
    }
}

fn orderer_values(name: &str) -> Found {
    match name {
        "ConsensusType" => Ok(Some(&CONSENSUS_TYPE)),
        "BatchSize" => Ok(Some(&BATCH_SIZE)),
        "BatchTimeout" => Ok(Some(&BATCH_TIMEOUT)),
        "KafkaBrokers" => Ok(Some(&KAFKA_BROKERS)),
        "ChannelRestrictions" => Ok(Some(&CHANNEL_RESTRICTIONS)),
        "Capabilities" => Ok(Some(&CAPABILITIES)),
        "Orderers" => Ok(Some(&ORDERERS)),
        _ => Err(no_value("the orderer group", name)),
    }
}

fn application_values(name: &str) -> Found {
    match name {
        "Capabilities" => Ok(Some(&CAPABILITIES)),
        "ACLs" => Ok(Some(&ACCESS_RULES)),
        _ => Err(no_value("the application group", name)),
    }
}

fn consortium_values(name: &str) -> Found {
    match name {
        "ChannelCreationPolicy" => Ok(Some(&CREATION_POLICY)),
        _ => Err(no_value("a consortium", name)),
    }
}

fn orderer_organization_values(name: &str) -> Found {
    match name {
        "MSP" => Ok(Some(&MSP)),
        "Endpoints" => Ok(Some(&ORDERER_ADDRESSES)),
        _ => Err(no_value("an organisation that orders", name)),
    }
}

fn application_organization_values(name: &str) -> Found {
    match name {
        "MSP" => Ok(Some(&MSP)),
        "AnchorPeers" => Ok(Some(&ANCHOR_PEERS)),
        _ => Err(no_value("an organisation of applications", name)),
    }
}

fn consortium_organization_values(name: &str) -> Found {
    match name {
        "MSP" => Ok(Some(&MSP)),
        _ => Err(no_value("an organisation of a consortium", name)),
    }
}

fn no_group(name: &str) -> Found {
    Err(Error::unknown(format!(
        "an organisation has no group, and here is {name:?}"
    )))
}

fn no_value(whose: &str, name: &str) -> Error {
    Error::unknown(format!("{whose} has no value {name:?}"))
}

/// A `NsReadWriteSet` of keys and values.
pub(super) static NAMESPACE_SET: MessageType = MessageType {
    name: "rwset.NsReadWriteSet",
    fields: &[
        one(1, "namespace", Text),
        one(2, "rwset", Bytes).opaque(&rwset::KVRW_SET),
        // Fabric intends to look into these, but looks for a field that they do not have.
        many(
            3,
            "collection_hashed_rwset",
            Message(&rwset::COLLECTION_HASHED_READ_WRITE_SET),
        ),
    ],
};
