//! Tests the gateway over a real ledger by the bytes that a client gets.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

mod access;
mod batch;
mod bookmarks;
mod chain;
mod endorsers;
mod errors;
mod events;
mod headers;
mod http2;
mod idempotency;
mod kit;
mod memory;
mod pools;
mod reads;
mod slow_readers;
mod socket;
mod waiting;
mod writes;
