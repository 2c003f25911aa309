//! Fabric's tools, with Fabric's flags, input files and outputs.
//!
//! * [`configtxlator`]: messages to JSON and back, and the update between two configurations.
//! * [`cryptogen`]: keys and certificates for the organisations of a test network.
//!
//! Each takes its arguments and the [`Streams`] of its process, and answers with the status to exit with.

pub mod configtxlator;
pub mod cryptogen;

mod arguments;
mod der;
mod files;
mod pem;
mod streams;
mod version;

pub use streams::Streams;
