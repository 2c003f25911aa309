//! Fabric's tools, from their arguments to what they write.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is a failed test"
)]

mod configtxlator;
mod cryptogen;
mod kit;
