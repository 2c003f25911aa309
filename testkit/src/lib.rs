//! What the tests of several crates share. Nothing that is deployed depends on it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    clippy::should_implement_trait,
    reason = "a test that meets what it did not expect panics"
)]

pub mod chain;
pub mod conformance;
pub mod image;
pub mod rng;
pub mod sim_disk;
pub mod transaction;

pub use transaction::Transaction;
