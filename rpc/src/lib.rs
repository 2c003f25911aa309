//! Fabric's gRPC services and clients.
//!
//! * [`chaincode`]: the stream between a peer and a chaincode, in both directions of connection.
//!
//! What is said on a stream is decided elsewhere; here are connections, TLS, frames and their limits.

pub mod chaincode;
mod tls;

pub use tls::{Tls, TlsError};
