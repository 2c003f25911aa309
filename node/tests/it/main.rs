//! The real binary, from outside: started, written to over HTTP, killed, restarted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test's helpers fail like a test"
)]

mod backup;
mod bad_input;
mod ca;
mod chaos;
mod closed;
mod command_line;
mod couchdb;
mod errors;
mod fabric_tools;
mod faults;
mod functions;
mod hot_key;
mod imported;
mod joined;
mod joining;
mod kill;
mod kit;
mod life;
mod logspec;
mod lost;
mod mango;
mod metrics;
mod migrations;
mod modes;
mod moving;
mod openapi;
mod operator;
mod organisations;
mod remote;
mod security;
mod sse;
mod stored;
mod texts;
mod two_orgs;
mod walk;
mod whole;
