//! What the values of a configuration's groups say.
//!
//! A group has values of known names only, each a message of the kind that its name promises. A value
//! that is not there says what an empty message says.

use std::collections::BTreeMap;
use std::time::Duration;

use quire_wire::config::{
    Acls, AnchorPeers, BatchSize, BatchTimeout, BlockDataHashingStructure, Capabilities,
    ChannelRestrictions, ConfigGroup, ConsensusType, Consortium, HashingAlgorithm, KafkaBrokers,
    OrdererAddresses, Orderers, Policy,
};
use quire_wire::msp::MspConfig;
use quire_wire::{DecodeError, Message};

use super::capabilities::{ApplicationCapabilities, ChannelCapabilities, OrdererCapabilities};
use super::duration::parse_duration;
use super::{BATCH_SIZE, BATCH_TIMEOUT, CAPABILITIES, CONSENSUS_TYPE, MSP};

/// Why the values of a group are none that a channel can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// A name that such a group's values do not have.
    #[error("the group {group} has a value {value:?}, which there is not")]
    Unknown {
        /// The group's path.
        group: String,
        /// The value's name.
        value: String,
    },
    /// A value is not the message that its name promises.
    #[error("the value {value} of the group {group} cannot be read")]
    Decode {
        /// The group's path.
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
    /// Neither `SHA256` nor `SHA3_256`.
    #[error("the hashing algorithm {0:?} is not known")]
    HashingAlgorithm(String),
    /// Blocks are hashed flat, which a width of 4294967295 says.
    #[error("the width {0} of the hashing structure is not supported; only 4294967295 is")]
    HashingWidth(u32),
    /// Before `V1_4_2` the root group must have addresses of orderers.
    #[error("the channel has no addresses of orderers")]
    NoOrdererAddresses,
    /// From `V3_0` on the root group has no addresses of orderers; organisations have.
    #[error("the channel has addresses of orderers, which belong to organisations from V3_0 on")]
    GlobalOrdererAddresses,
    /// From `V3_0` on every organisation that orders has addresses.
    #[error("the organisation {0} orders and has no endpoints")]
    NoEndpoints(String),
    /// Endpoints of an organisation before `V1_4_2`.
    #[error("the organisation {0} has endpoints, which there are from V1_4_2 on")]
    EndpointsTooEarly(String),
    /// ACLs before `V1_2`.
    #[error("the application group has ACLs, which there are from V1_2 on")]
    AclsTooEarly,
    /// A group where none can be.
    #[error("there cannot be a group {0}")]
    Group(String),
}

/// Reads the values of one group.
pub(super) struct Values<'c> {
    path: String,
    group: &'c ConfigGroup,
}

impl<'c> Values<'c> {
    /// # Errors
    /// If there is a value beside these.
    pub(super) fn of(
        path: &str,
        group: &'c ConfigGroup,
        known: &[&str],
    ) -> Result<Self, ValueError> {
        let unknown = group
            .values
            .keys()
            .find(|name| !known.contains(&name.as_str()));
        match unknown {
            Some(value) => Err(ValueError::Unknown {
                group: path.to_owned(),
                value: value.clone(),
            }),
            None => Ok(Self {
                path: path.to_owned(),
                group,
            }),
        }
    }

    pub(super) fn get<M: Message + Default>(&self, value: &'static str) -> Result<M, ValueError> {
        let bytes = self
            .group
            .values
            .get(value)
            .map(|found| found.value.clone());
        M::decode(bytes.unwrap_or_default()).map_err(|source| ValueError::Decode {
            group: self.path.clone(),
            value,
            source,
        })
    }

    /// Whether it has no groups below.
    pub(super) fn is_lowest(&self) -> Result<(), ValueError> {
        match self.group.groups.keys().next() {
            Some(below) => Err(ValueError::Group(format!("{}/{below}", self.path))),
            None => Ok(()),
        }
    }
}

/// Values of the root group.
#[derive(Clone, Debug)]
pub struct Channel {
    /// What every member knows.
    pub capabilities: ChannelCapabilities,
    /// `host:port` of each orderer, of old channels.
    pub orderer_addresses: Vec<String>,
    /// The consortium that the channel was made for; empty in channels without a system channel.
    pub consortium: String,
}

impl Channel {
    pub(super) fn read(root: &ConfigGroup) -> Result<Self, ValueError> {
        let known = [
            "HashingAlgorithm",
            "BlockDataHashingStructure",
            "OrdererAddresses",
            "Orderers",
            "Consortium",
            CAPABILITIES,
        ];
        let values = Values::of("/Channel", root, &known)?;
        values.get::<Orderers>("Orderers")?;
        let hashing: HashingAlgorithm = values.get("HashingAlgorithm")?;
        if !matches!(&*hashing.name, "SHA256" | "SHA3_256") {
            return Err(ValueError::HashingAlgorithm(hashing.name));
        }
        let structure: BlockDataHashingStructure = values.get("BlockDataHashingStructure")?;
        if structure.width != u32::MAX {
            return Err(ValueError::HashingWidth(structure.width));
        }
        let capabilities: Capabilities = values.get(CAPABILITIES)?;
        let capabilities = ChannelCapabilities::of(capabilities);
        let addresses: OrdererAddresses = values.get("OrdererAddresses")?;
        let has_addresses = !addresses.addresses.is_empty();
        if !capabilities.org_specific_orderer_endpoints() && !has_addresses {
            return Err(ValueError::NoOrdererAddresses);
        }
        if capabilities.consensus_type_bft() && has_addresses {
            return Err(ValueError::GlobalOrdererAddresses);
        }
        Ok(Self {
            capabilities,
            orderer_addresses: addresses.addresses,
            consortium: values.get::<Consortium>("Consortium")?.name,
        })
    }
}

/// Values of the application group.
#[derive(Clone, Debug, Default)]
pub struct Application {
    /// What every peer knows.
    pub capabilities: ApplicationCapabilities,
    /// Paths of the policies that guard functions, by the functions' names.
    pub acls: BTreeMap<String, String>,
    /// The organisations, by the names of their groups.
    pub organizations: BTreeMap<String, Organization>,
}

impl Application {
    pub(super) fn read(group: &ConfigGroup) -> Result<Self, ValueError> {
        let values = Values::of("/Channel/Application", group, &["ACLs", CAPABILITIES])?;
        let capabilities = ApplicationCapabilities::of(values.get(CAPABILITIES)?);
        let acls: Acls = values.get("ACLs")?;
        if group.values.contains_key("ACLs") && !capabilities.acls() {
            return Err(ValueError::AclsTooEarly);
        }
        let acls = acls.acls.into_iter();
        // Without a policy, Fabric's own default counts.
        let acls = acls.filter(|(_, acl)| !acl.policy_ref.is_empty());
        let organizations = group.groups.iter().map(|(name, group)| {
            let path = format!("/Channel/Application/{name}");
            let values = Values::of(&path, group, &[MSP, "AnchorPeers"])?;
            values.is_lowest()?;
            let anchors: AnchorPeers = values.get("AnchorPeers")?;
            let anchors = anchors.anchor_peers.into_iter();
            Ok((
                name.clone(),
                Organization {
                    msp: values.get(MSP)?,
                    anchor_peers: anchors.map(|peer| (peer.host, peer.port)).collect(),
                    endpoints: Vec::new(),
                },
            ))
        });
        Ok(Self {
            capabilities,
            acls: acls
                .map(|(name, acl)| (name, absolute(acl.policy_ref)))
                .collect(),
            organizations: organizations.collect::<Result<_, ValueError>>()?,
        })
    }
}

fn absolute(policy: String) -> String {
    if policy.starts_with('/') {
        policy
    } else {
        format!("/Channel/Application/{policy}")
    }
}

/// Values of the orderer group.
#[derive(Clone, Debug)]
pub struct Orderer {
    /// What every orderer knows.
    pub capabilities: OrdererCapabilities,
    /// `solo`, `kafka`, `etcdraft`, `BFT`, with what the consenter needs.
    pub consensus_type: ConsensusType,
    /// How large blocks may be.
    pub batch_size: BatchSize,
    /// How long a transaction may wait for others to fill its block.
    pub batch_timeout: Duration,
    /// Addresses of Kafka, of old channels.
    pub kafka_brokers: Vec<String>,
    /// Who takes part in BFT.
    pub consenters: Orderers,
    /// The organisations, by the names of their groups.
    pub organizations: BTreeMap<String, Organization>,
}

impl Orderer {
    pub(super) fn read(
        group: &ConfigGroup,
        channel: &ChannelCapabilities,
    ) -> Result<Self, ValueError> {
        let known = [
            CONSENSUS_TYPE,
            BATCH_SIZE,
            BATCH_TIMEOUT,
            "KafkaBrokers",
            "ChannelRestrictions",
            "Orderers",
            CAPABILITIES,
        ];
        let values = Values::of("/Channel/Orderer", group, &known)?;
        values.get::<ChannelRestrictions>("ChannelRestrictions")?;
        let batch_size: BatchSize = values.get(BATCH_SIZE)?;
        if batch_size.max_message_count == 0
            || batch_size.preferred_max_bytes == 0
            || batch_size.preferred_max_bytes > batch_size.absolute_max_bytes
        {
            return Err(ValueError::BatchSize(batch_size));
        }
        let timeout: BatchTimeout = values.get(BATCH_TIMEOUT)?;
        let batch_timeout = parse_duration(&timeout.timeout)
            .filter(|timeout| !timeout.is_zero())
            .ok_or(ValueError::BatchTimeout(timeout.timeout))?;
        let organizations = group.groups.iter().map(|(name, group)| {
            let organization = ordering_organization(name, group, channel)?;
            Ok((name.clone(), organization))
        });
        Ok(Self {
            capabilities: OrdererCapabilities::of(values.get(CAPABILITIES)?),
            consensus_type: values.get(CONSENSUS_TYPE)?,
            batch_size,
            batch_timeout,
            kafka_brokers: values.get::<KafkaBrokers>("KafkaBrokers")?.brokers,
            consenters: values.get("Orderers")?,
            organizations: organizations.collect::<Result<_, ValueError>>()?,
        })
    }
}

fn ordering_organization(
    name: &str,
    group: &ConfigGroup,
    channel: &ChannelCapabilities,
) -> Result<Organization, ValueError> {
    let path = format!("/Channel/Orderer/{name}");
    let values = Values::of(&path, group, &[MSP, "Endpoints"])?;
    values.is_lowest()?;
    if group.values.contains_key("Endpoints") && !channel.org_specific_orderer_endpoints() {
        return Err(ValueError::EndpointsTooEarly(name.to_owned()));
    }
    let endpoints: OrdererAddresses = values.get("Endpoints")?;
    if channel.consensus_type_bft() && endpoints.addresses.is_empty() {
        return Err(ValueError::NoEndpoints(name.to_owned()));
    }
    Ok(Organization {
        msp: values.get(MSP)?,
        anchor_peers: Vec::new(),
        endpoints: endpoints.addresses,
    })
}

/// The organisations of the consortiums of a system channel.
pub(super) fn consortiums(
    group: &ConfigGroup,
) -> Result<BTreeMap<String, Organization>, ValueError> {
    let mut organizations = BTreeMap::new();
    for (consortium, group) in &group.groups {
        let path = format!("/Channel/Consortiums/{consortium}");
        let values = Values::of(&path, group, &["ChannelCreationPolicy"])?;
        values.get::<Policy>("ChannelCreationPolicy")?;
        for (name, group) in &group.groups {
            let path = format!("{path}/{name}");
            let values = Values::of(&path, group, &[MSP])?;
            values.is_lowest()?;
            let organization = Organization {
                msp: values.get(MSP)?,
                anchor_peers: Vec::new(),
                endpoints: Vec::new(),
            };
            organizations.insert(format!("{consortium}/{name}"), organization);
        }
    }
    Ok(organizations)
}

/// Values of an organisation's group.
#[derive(Clone, Debug, PartialEq)]
pub struct Organization {
    /// Who belongs to it.
    pub msp: MspConfig,
    /// Host and port of peers that others may get to know it by; of one that submits.
    pub anchor_peers: Vec<(String, i32)>,
    /// `host:port` of its orderers; of one that orders.
    pub endpoints: Vec<String>,
}
