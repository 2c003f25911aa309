//! The HTTP API, version 1: from requests to calls and reads, and from outcomes to answers.
//!
//! A write goes this way:
//!
//! ```text
//! request_id    names the request, and turns whatever goes wrong into a problem document
//! router        finds the handler
//! transactions, state    take path, headers and body apart into a chaincode call
//! submission    looks for the idempotency key's attempts, submits, awaits, tries again
//! answer        makes the answer from what stands in the blocks
//! ```
//!
//! Everything else reads: [`Backend`] hands out a channel's reader, a handler asks it and renders.
//! The gateway keeps nothing that a restart would lose but who waits for what; it decides no
//! verdict and writes no state.

mod accept;
mod answer;
pub mod backend;
mod block_json;
mod blocks;
mod body;
mod bookmark;
mod call;
mod channels;
mod conditions;
mod creator;
mod evaluate;
mod find;
mod flights;
mod gateway;
mod history;
pub mod idempotency;
mod indexes;
mod json;
mod limits;
mod local;
mod operations;
mod path;
mod prefer;
pub mod problem;
mod query;
mod reply;
mod request_id;
mod router;
mod state;
mod submission;
mod transactions;
mod value;

pub use backend::Backend;
pub use limits::Limits;
pub use request_id::X_REQUEST_ID;
pub use router::router;
