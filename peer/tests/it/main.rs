//! A channel's peer over a real ledger: what it endorses, what it orders, and the outcomes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that panics has failed"
)]

mod committer;
mod config;
mod delivered;
mod kit;
mod outside;
mod proposals;
mod proposed;
mod waiting;
