//! Fabric's tools, with Fabric's flags, input files and outputs.
//!
//! * [`configtxlator`]: messages to JSON and back, and the update between two configurations.
//! * [`configtxgen`]: the first block of a channel, and first updates of it.
//! * [`cryptogen`]: keys and certificates for the organisations of a test network.
//! * [`osnadmin`]: the channels of an orderer, over its participation API.
//! * [`peer`]: the client of peers and orderers: calls, packages, definitions, channels.
//!
//! [`client`] is how `osnadmin`, and others, ask a node by HTTP.
//!
//! Each tool takes its arguments and the [`Streams`] of its process, and answers with the status to exit with.

pub mod client;
pub mod configtxgen;
pub mod configtxlator;
pub mod cryptogen;
pub mod osnadmin;
pub mod peer;

mod arguments;
mod der;
mod files;
mod pem;
mod streams;
mod version;

pub use streams::Streams;

/// The variables of the process's environment, by name.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;
