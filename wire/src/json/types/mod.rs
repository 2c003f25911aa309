//! The types of messages, a file for each of Fabric's packages or for a part of one.

pub(super) mod broadcast;
pub(super) mod chaincode;
pub(super) mod common;
pub(super) mod config;
pub(super) mod google;
pub(super) mod orderer;
pub(super) mod peer;
pub(super) mod policies;
pub(super) mod rwset;
pub(super) mod shim;
pub(super) mod transaction;

use super::schema::MessageType;

/// Every type that can be asked for by name.
pub(super) fn all() -> impl Iterator<Item = &'static MessageType> {
    let packages = [
        broadcast::ALL,
        chaincode::ALL,
        common::ALL,
        config::ALL,
        google::ALL,
        orderer::ALL,
        peer::ALL,
        policies::ALL,
        rwset::ALL,
        shim::ALL,
        transaction::ALL,
    ];
    packages.into_iter().flatten().copied()
}
