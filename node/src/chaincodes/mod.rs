//! Chaincode whose code runs beside the node: packages, processes, and how it is deployed.

mod build;
mod child;
mod credentials;
mod host;
mod kind;
mod processes;
mod runner;

#[cfg(test)]
mod tests;

pub(crate) use host::Chaincodes;
