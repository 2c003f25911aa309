//! The stream of messages between a peer and a chaincode: package `protos` of Fabric.
//!
//! ```text
//! protos.Chaincode/Connect         the peer dials: chaincode as a service
//! protos.ChaincodeSupport/Register the chaincode dials: what a peer launched, and development
//! ```
//!
//! Both carry the same messages, the chaincode's register first.

mod client;
mod pump;
mod registration;
mod server;

pub use client::{ConnectError, Server, connect};
pub use server::{Accept, DoorLimits, serve};
