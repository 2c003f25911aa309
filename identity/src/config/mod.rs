//! A channel's configuration: who its organisations are, who may do what, and how its blocks are cut.
//!
//! ```text
//! Channel                   HashingAlgorithm, BlockDataHashingStructure, Capabilities
//! ├── Application           Capabilities, ACLs
//! │   └── <organisation>    MSP, AnchorPeers
//! └── Orderer               ConsensusType, BatchSize, BatchTimeout, ChannelRestrictions, Capabilities
//!     └── <organisation>    MSP, Endpoints
//! ```
//!
//! Every group has policies, `Readers`, `Writers` and `Admins` by convention, and every element names
//! the policy that says who may change it.
//!
//! * [`Bundle`]: one configuration, checked and ready to judge by.
//! * [`SignedUpdate`]: a change, and who signed it.
//! * [`compute_update`]: the change that leads from one configuration to another.
//! * [`genesis_group`]: a new channel's configuration.
//! * [`edit`], [`words`]: what a configuration says in people's words, and changing it so.

mod bundle;
mod capabilities;
mod compute;
mod duration;
pub mod edit;
mod elements;
mod genesis;
mod known;
mod signing;
mod update;
mod values;
mod words;

pub use bundle::{
    Bundle, BundleError, DOCUMENTS, MAX_CONFIG_BYTES, SuccessionError, is_channel_name,
};
pub use capabilities::{ApplicationCapabilities, ChannelCapabilities, OrdererCapabilities};
pub use compute::{ComputeError, compute_update};
pub use duration::parse_duration;
pub use elements::{Kind, Place};
pub use genesis::{genesis_group, organization_group};
pub use known::{check_configuration_fields, check_update_fields};
pub use signing::{sign_update, update_envelope};
pub use update::{SignedUpdate, UpdateError, check_succession};
pub use values::{Application, Channel, Orderer, Organization, ValueError};
pub use words::{difference, words};

const APPLICATION: &str = "Application";
const ORDERER: &str = "Orderer";
const CONSORTIUMS: &str = "Consortiums";

const MSP: &str = "MSP";
const BATCH_SIZE: &str = "BatchSize";
const BATCH_TIMEOUT: &str = "BatchTimeout";
const CONSENSUS_TYPE: &str = "ConsensusType";
const CAPABILITIES: &str = "Capabilities";

const ADMINS: &str = "Admins";

/// The kind of MSP that has X.509 certificates.
const X509_MSP: i32 = 0;

#[cfg(test)]
mod tests;
