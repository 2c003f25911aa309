//! Fabric's gRPC services and clients.
//!
//! * [`router`]: the services that clients of Fabric call.
//! * [`chaincode`]: the stream between a peer and a chaincode, in both directions of connection.
//!
//! Connections and TLS of the services are those of the HTTP API, which takes routes beside its own. Here is what is
//! said on them: [`Backend`] hands out channels, and each service asks a channel what REST asks it.

mod backend;
mod call;
pub mod chaincode;
mod endorser;
mod gateway;
mod health;
mod observer;
mod ordered;
mod services;
mod tls;

pub use backend::Backend;
pub use observer::{CallKind, Observer};
pub use services::{Limits, router};
pub use tls::{Tls, TlsError};
pub use tonic::Code;
