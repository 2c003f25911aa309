//! Chaincode whose code runs beside the node: packages, processes, and how it is deployed.

mod build;
mod child;
mod host;
mod kind;
mod processes;

pub(crate) use host::Chaincodes;
