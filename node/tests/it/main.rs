//! The real binary, from outside: started, written to over HTTP, killed, restarted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like a test"
)]

mod bad_input;
mod faults;
mod imported;
mod kill;
mod kit;
mod lost;
mod mango;
mod operator;
mod walk;
