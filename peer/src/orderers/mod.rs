//! Orderers of a channel that are elsewhere: envelopes go to them, and blocks come from them.
//!
//! ```text
//! envelopes --> Broadcasting    to one orderer after the other, until one has taken it
//!           <-- DeliverClient   from one orderer at a time: verified, handed in, left for another where it lies,
//!                               stops, or holds back what another one has
//! ```
//!
//! * [`Endpoint`]: which orderers a configuration names.
//! * [`Network`]: how they are reached; whatever speaks with them implements it.
//! * `rota`: which one is next.
//! * `request`: what is asked for, signed by this node.
//! * `probe`: how many blocks an orderer has.
//! * `status`: how far this node is, and what is wrong.
//!
//! No orderer is believed: a block counts by the signatures that the channel's configuration asks for.

mod broadcasting;
mod deliver_client;
mod endpoint;
mod network;
mod observer;
mod probe;
mod request;
mod rota;
mod status;

pub(crate) use broadcasting::Broadcasting;
pub(crate) use deliver_client::DeliverClient;
pub use endpoint::Endpoint;
pub(crate) use endpoint::endpoints;
pub use network::{Blocks, Network, NoAnswer, Wait};
pub use observer::{OrderersObserver, Unobserved};
pub(crate) use request::Requests;
pub(crate) use rota::Rota;
pub(crate) use status::Status;
