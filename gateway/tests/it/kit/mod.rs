//! A node in miniature: a real ledger and a real chaincode, an orderer that can be held.

mod client;
mod node;

pub(crate) use client::{Answer, Client};
pub(crate) use node::Node;
