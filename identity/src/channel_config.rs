//! A channel's configuration: who its organisations are and how its blocks are cut.
//!
//! ```text
//! Channel                   HashingAlgorithm, BlockDataHashingStructure, Capabilities
//! ├── Application           Capabilities
//! │   └── <organisation>    MSP
//! └── Orderer               ConsensusType, BatchSize, BatchTimeout, ChannelRestrictions, Capabilities
//!     └── <organisation>    MSP, Endpoints
//! ```
//!
//! Every group has policies `Readers`, `Writers` and `Admins`.

mod duration;
mod genesis;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quire_wire::config::{BatchSize, BatchTimeout, Capabilities, ConfigGroup, ConsensusType};
use quire_wire::msp::{FabricMspConfig, MspConfig};
use quire_wire::{DecodeError, Message};

pub use genesis::genesis_group;

use crate::msp::{Msp, MspError, MspVersion, Msps};
use duration::parse_duration;

const APPLICATION: &str = "Application";
const ORDERER: &str = "Orderer";

const MSP: &str = "MSP";
const CAPABILITIES: &str = "Capabilities";
const BATCH_SIZE: &str = "BatchSize";
const BATCH_TIMEOUT: &str = "BatchTimeout";
const CONSENSUS_TYPE: &str = "ConsensusType";

/// The kind of MSP that has X.509 certificates.
const X509_MSP: i32 = 0;

/// Why a group is no channel's configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelConfigError {
    /// A group that every channel has is not there.
    #[error("the channel configuration has no group {0}")]
    NoGroup(&'static str),
    /// A value is not there.
    #[error("the group {group} of the channel configuration has no value {value}")]
    NoValue {
        /// The group's name.
        group: String,
        /// The value's name.
        value: &'static str,
    },
    /// A value is not the message that its name promises.
    #[error("the value {value} of the group {group} of the channel configuration cannot be read")]
    Value {
        /// The group's name.
        group: String,
        /// The value's name.
        value: &'static str,
        /// What is wrong with its bytes.
        source: DecodeError,
    },
    /// A limit of the batch size is 0, or blocks should be larger than transactions may be.
    #[error("the batch size {} messages, {} to {} bytes is impossible", .0.max_message_count, .0.preferred_max_bytes, .0.absolute_max_bytes)]
    BatchSize(BatchSize),
    /// The batch timeout is not a positive duration in Go's notation.
    #[error("the batch timeout {0:?} is not a duration")]
    BatchTimeout(String),
    /// An organisation without X.509 certificates (Fabric's Idemix).
    #[error("the organisation {group} has an MSP of type {kind}, which is not supported")]
    MspKind {
        /// The group's name.
        group: String,
        /// The type.
        kind: i32,
    },
}

/// What a channel's configuration says, as far as a node acts on it.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelConfig {
    /// The organisations that submit and endorse, in the order of their groups' names.
    pub application: Vec<FabricMspConfig>,
    /// The organisations that order, in the order of their groups' names.
    pub orderer: Vec<FabricMspConfig>,
    /// How large blocks may be.
    pub batch_size: BatchSize,
    /// How long a transaction may wait for others to fill its block.
    pub batch_timeout: Duration,
    /// `solo`, `kafka`, `etcdraft`, `BFT`.
    pub consensus_type: String,
    /// The rules of its organisations, by the channel's capabilities.
    pub msp_version: MspVersion,
}

impl ChannelConfig {
    /// Reads the root group of a configuration.
    ///
    /// # Errors
    /// If a group or value is missing or cannot be read.
    pub fn from_group(root: &ConfigGroup) -> Result<Self, ChannelConfigError> {
        let group = |name| {
            root.groups
                .get(name)
                .ok_or(ChannelConfigError::NoGroup(name))
        };
        let orderer = group(ORDERER)?;
        let batch_size: BatchSize = value(ORDERER, orderer, BATCH_SIZE)?;
        if batch_size.max_message_count == 0
            || batch_size.preferred_max_bytes == 0
            || batch_size.preferred_max_bytes > batch_size.absolute_max_bytes
        {
            return Err(ChannelConfigError::BatchSize(batch_size));
        }
        let timeout: BatchTimeout = value(ORDERER, orderer, BATCH_TIMEOUT)?;
        let consensus_type: ConsensusType = value(ORDERER, orderer, CONSENSUS_TYPE)?;
        Ok(Self {
            application: organizations(group(APPLICATION)?)?,
            orderer: organizations(orderer)?,
            batch_size,
            batch_timeout: parse_duration(&timeout.timeout)
                .filter(|timeout| !timeout.is_zero())
                .ok_or(ChannelConfigError::BatchTimeout(timeout.timeout))?,
            consensus_type: consensus_type.r#type,
            msp_version: msp_version(root)?,
        })
    }

    /// The organisations, ready to judge identities. One that both orders and submits is there
    /// once.
    ///
    /// # Errors
    /// If one of them is not sound, or stands there in two versions.
    pub fn msps(&self) -> Result<Msps, MspError> {
        let mut distinct: BTreeMap<&str, &FabricMspConfig> = BTreeMap::new();
        for config in self.orderer.iter().chain(&self.application) {
            let known = *distinct.entry(&config.name).or_insert(config);
            if known != config {
                return Err(MspError::TwoVersions(config.name.clone()));
            }
        }
        distinct
            .into_values()
            .map(|config| Msp::from_config(config, self.msp_version).map(Arc::new))
            .collect()
    }
}

/// A channel without capabilities has the first rules.
fn msp_version(root: &ConfigGroup) -> Result<MspVersion, ChannelConfigError> {
    if !root.values.contains_key(CAPABILITIES) {
        return Ok(MspVersion::V1_0);
    }
    let found: Capabilities = value("Channel", root, CAPABILITIES)?;
    let names = found.capabilities.iter().map(|entry| &*entry.name);
    Ok(MspVersion::of_capabilities(names))
}

fn organizations(group: &ConfigGroup) -> Result<Vec<FabricMspConfig>, ChannelConfigError> {
    let organization = |(name, group): (&String, &ConfigGroup)| {
        let config: MspConfig = value(name, group, MSP)?;
        if config.r#type != X509_MSP {
            return Err(ChannelConfigError::MspKind {
                group: name.clone(),
                kind: config.r#type,
            });
        }
        FabricMspConfig::decode(config.config).map_err(|source| ChannelConfigError::Value {
            group: name.clone(),
            value: MSP,
            source,
        })
    };
    group.groups.iter().map(organization).collect()
}

fn value<M: Message + Default>(
    name: &str,
    group: &ConfigGroup,
    value: &'static str,
) -> Result<M, ChannelConfigError> {
    let found = group.values.get(value);
    let found = found.ok_or_else(|| ChannelConfigError::NoValue {
        group: name.to_owned(),
        value,
    })?;
    M::decode(found.value.clone()).map_err(|source| ChannelConfigError::Value {
        group: name.to_owned(),
        value,
        source,
    })
}

#[cfg(test)]
mod tests;
