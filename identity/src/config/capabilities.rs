//! What the members of a channel agreed to know. A capability that this node does not know stops the channel
//! here: others would judge by rules that are not in this code.

use std::collections::BTreeSet;

use quire_wire::config::Capabilities;

use crate::msp::MspVersion;

const CHANNEL: [&str; 6] = ["V1_1", "V1_3", "V1_4_2", "V1_4_3", "V2_0", "V3_0"];
const ORDERER: [&str; 3] = ["V1_1", "V1_4_2", "V2_0"];
const APPLICATION: [&str; 8] = [
    "V1_1",
    "V1_2",
    "V1_3",
    "V1_4_2",
    "V2_0",
    "V2_5",
    "V1_1_PVTDATA_EXPERIMENTAL",
    "V1_1_RESOURCETREE_EXPERIMENTAL",
];

/// Names of capabilities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names(BTreeSet<String>);

impl Names {
    fn of(capabilities: Capabilities) -> Self {
        let names = capabilities.capabilities.into_iter();
        Self(names.map(|capability| capability.name).collect())
    }

    fn has_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.0.contains(*name))
    }

    fn unknown(&self, known: &[&str]) -> Option<&str> {
        let mut names = self.0.iter().map(String::as_str);
        names.find(|name| !known.contains(name))
    }
}

/// Those of the root group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelCapabilities(Names);

impl ChannelCapabilities {
    pub(super) fn of(capabilities: Capabilities) -> Self {
        Self(Names::of(capabilities))
    }

    /// One that this code does not know.
    #[must_use]
    pub fn unknown(&self) -> Option<&str> {
        self.0.unknown(&CHANNEL)
    }

    /// By which rules identities are judged.
    #[must_use]
    pub fn msp_version(&self) -> MspVersion {
        MspVersion::of_capabilities(self.0.0.iter().map(String::as_str))
    }

    /// Whether the type of consensus can change.
    #[must_use]
    pub fn consensus_type_migration(&self) -> bool {
        self.0.has_any(&["V1_4_2", "V1_4_3", "V2_0", "V3_0"])
    }

    /// Whether organisations that order have addresses of their own.
    #[must_use]
    pub fn org_specific_orderer_endpoints(&self) -> bool {
        self.consensus_type_migration()
    }

    /// Whether blocks can be ordered by BFT, and addresses are the organisations' only.
    #[must_use]
    pub fn consensus_type_bft(&self) -> bool {
        self.0.has_any(&["V3_0"])
    }
}

/// Those of the orderer group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrdererCapabilities(Names);

impl OrdererCapabilities {
    pub(super) fn of(capabilities: Capabilities) -> Self {
        Self(Names::of(capabilities))
    }

    /// One that this code does not know.
    #[must_use]
    pub fn unknown(&self) -> Option<&str> {
        self.0.unknown(&ORDERER)
    }

    /// Whether an envelope that an earlier configuration let in is put into the order again.
    #[must_use]
    pub fn resubmission(&self) -> bool {
        self.0.has_any(&ORDERER)
    }

    /// Whether envelopes of an expired creator are refused. From `V1_1` on: so are groups of a new channel are made predictably.
    #[must_use]
    pub fn expiration_check(&self) -> bool {
        self.0.has_any(&ORDERER)
    }

    /// Whether the type of consensus can change.
    #[must_use]
    pub fn consensus_type_migration(&self) -> bool {
        self.0.has_any(&["V1_4_2", "V2_0"])
    }

    /// Whether the consortium's policy of creation is that of a new channel's administrators.
    #[must_use]
    pub fn use_channel_creation_policy_as_admins(&self) -> bool {
        self.0.has_any(&["V2_0"])
    }
}

/// Those of the application group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationCapabilities(Names);

impl ApplicationCapabilities {
    pub(super) fn of(capabilities: Capabilities) -> Self {
        Self(Names::of(capabilities))
    }

    /// One that this code does not know.
    #[must_use]
    pub fn unknown(&self) -> Option<&str> {
        self.0.unknown(&APPLICATION)
    }

    fn since_2_0(&self) -> bool {
        self.0.has_any(&["V2_0", "V2_5"])
    }

    fn since_1_4_2(&self) -> bool {
        self.since_2_0() || self.0.has_any(&["V1_4_2"])
    }

    fn since_1_3(&self) -> bool {
        self.since_1_4_2() || self.0.has_any(&["V1_3"])
    }

    fn since_1_2(&self) -> bool {
        self.since_1_3() || self.0.has_any(&["V1_2"])
    }

    fn since_1_1(&self) -> bool {
        self.since_1_2() || self.0.has_any(&["V1_1"])
    }

    /// Whether the configuration can say which policies guard which functions. From then on collections
    /// can be upgraded, and Fabric's validation is that of 1.2.
    #[must_use]
    pub fn acls(&self) -> bool {
        self.since_1_2()
    }

    /// Whether a transaction id counts once in a block too. From then on Fabric's validation is that of
    /// 1.1.
    #[must_use]
    pub fn forbid_duplicate_tx_id_in_block(&self) -> bool {
        self.since_1_1()
    }

    /// Whether there are collections of private data.
    #[must_use]
    pub fn private_channel_data(&self) -> bool {
        self.since_1_2() || self.0.has_any(&["V1_1_PVTDATA_EXPERIMENTAL"])
    }

    /// Whether single keys can have policies. From then on Fabric's validation is that of 1.3.
    #[must_use]
    pub fn key_level_endorsement(&self) -> bool {
        self.since_1_3()
    }

    /// Whether private data of invalid transactions is kept.
    #[must_use]
    pub fn store_pvt_data_of_invalid_tx(&self) -> bool {
        self.since_1_4_2()
    }

    /// Whether chaincodes are defined in `_lifecycle`. From then on Fabric's validation is that of 2.0.
    #[must_use]
    pub fn lifecycle_v20(&self) -> bool {
        self.since_2_0()
    }

    /// Whether private data can be purged.
    #[must_use]
    pub fn purge_pvt_data(&self) -> bool {
        self.0.has_any(&["V2_5"])
    }
}
