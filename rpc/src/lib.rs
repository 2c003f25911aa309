//! Fabric's gRPC services and clients.
//!
//! * [`router`]: the services that clients of Fabric call.
//! * [`Client`]: calls such services, of a node or of a peer of Fabric; [`Application`] does with a key.
//! * [`Orderers`]: the way to orderers that are elsewhere.
//! * [`Peers`]: other peers, as they are asked for endorsements.
//! * [`chaincode`]: the stream between a peer and a chaincode, in both directions of connection.
//! * [`deliver`], [`broadcast`], [`discovery`]: what applications ask of peers and orderers, without a
//!   connection: messages in, messages out. [`Workers`] does what blocks, and a [`stream_observer`] counts.
//!
//! Connections and TLS of the services are those of the HTTP API, which takes routes beside its own. Here is what is
//! said on them: [`Backend`] hands out channels, and each service asks a channel what REST asks it.

mod answers;
mod application;
mod backend;
pub mod broadcast;
mod call;
pub mod chaincode;
mod client;
pub mod deliver;
mod dial;
pub mod discovery;
mod endorser;
mod failure;
mod gateway;
mod health;
mod observer;
mod ordered;
mod orderers;
mod peers;
mod routes;
mod services;
pub mod stream_observer;
mod tls;
mod workers;

pub use application::{Application, NotAssembled, Proposing, SignedCall};
pub use backend::Backend;
pub use client::{Client, Delivered, Delivering};
pub use dial::{DialError, Target};
pub use observer::{CallKind, Observer};
pub use orderers::{OrdererSettings, Orderers, OrderersError};
pub use peers::{PeerObserver, PeerOverride, PeerSecurity, PeerSettings, Peers};
pub use routes::{orderer_router, router};
pub use services::{Limits, ShownCertificate};
pub use tls::{Tls, TlsError};
pub use tonic::{Code, Status};
pub use workers::Workers;
