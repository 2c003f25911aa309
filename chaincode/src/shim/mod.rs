//! The peer's side of Fabric's chaincode shim, without any transport.

mod error;

pub use error::ShimError;
