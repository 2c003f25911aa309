//! A small node: a real ledger, a real chaincode, and an orderer that can be held.

mod client;
mod node;

pub(crate) use client::{Answer, Client};
pub(crate) use node::Node;
