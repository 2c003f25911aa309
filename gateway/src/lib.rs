//! The HTTP API, version 1: from requests to calls and reads, and from outcomes to answers.
//!
//! A write goes this way:
//!
//! ```text
//! every_request names the request, and turns whatever goes wrong into a problem document
//! router        finds the handler
//! access        finds out who asks, and whether they may
//! resources     take path, headers and body apart into a chaincode call
//! write         looks for the idempotency key's attempts, submits, awaits, tries again, and makes the
//!               answer, all of which stands in the blocks
//! ```
//!
//! Everything else reads: [`Backend`] hands out a channel's reader, and a handler asks the reader and renders
//! the answer. A restart loses only who waits for what; the gateway decides no verdict and writes no state.

mod access;
pub mod backend;
pub mod backups;
pub mod chaincodes;
mod gateway;
pub mod joining;
mod limits;
mod memory;
pub mod metrics;
mod openapi;
mod place;
mod pools;
pub mod problem;
mod rate;
mod reply;
mod request;
mod resources;
mod router;
mod schema;
mod server;
mod write;

pub use access::caller::Caller;
pub use backend::Backend;
pub use limits::{Limits, PoolSizes};
pub use resources::block_json::decoded;
pub use router::router;
pub use server::Server;
pub use server::client_info::{ClientCertificate, ClientInfo, IssuedCertificate};
pub use server::cors::{Cors, NotAnOrigin};
pub use server::handshake::Handshake;
pub use server::request_id::X_REQUEST_ID;
pub use write::idempotency;
