//! Tests the ledger as other crates see it; each promise has a file.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        reason = "a test that panics is a test that fails"
    )
)]

mod ahead;
mod base;
mod conformance;
mod contract;
mod couchdb;
mod crash;
mod docs;
mod faults;
mod flips;
mod kit;
mod life;
mod link;
mod mango;
mod migrations;
mod model;
mod operator;
mod private;
mod query_model;
mod rich;
mod signatures;
mod simulated;
mod tail;
mod texts;
mod two_orgs;
