//! The services of a peer and an orderer, without a connection.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets what it did not expect panics"
)]

mod broadcast;
mod calls;
mod chaincode;
mod deliver;
mod discovery;
mod elsewhere;
mod endorsers;
mod hostile;
mod kit;
mod network;
mod recorded;
