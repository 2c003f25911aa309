//! What the tests of several crates share. Nothing that is deployed depends on it.

pub mod conformance;
