//! A channel's peer over a real ledger: what it endorses, what it orders, and the outcomes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

mod callees;
mod committer;
mod config;
mod delivered;
mod kit;
mod outside;
mod proposals;
mod proposed;
mod system;
mod waiting;
