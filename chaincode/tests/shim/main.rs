//! The peer's side of the chaincode shim, held against what a real peer did and against what no chaincode should
//! do.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

mod bench;
mod kit;
mod malicious;
mod private;
mod stream;
mod transcripts;
