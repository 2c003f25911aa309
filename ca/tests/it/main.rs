//! The CA from outside: as its clients meet it, and as a crash leaves it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, where a panic is a failed test"
)]

mod admitting;
mod affiliations;
mod certificates;
mod crash;
mod enrolling;
mod hostile;
mod identities;
mod kit;
mod revoking;
