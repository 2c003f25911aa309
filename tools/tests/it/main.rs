//! Fabric's tools, from their arguments to what they write.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, where a panic is a failed test"
)]

mod configtxgen;
mod configtxlator;
mod cryptogen;
mod grpc;
mod kit;
mod osnadmin;
mod peer;
mod server;
