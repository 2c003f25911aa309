//! How orderers are reached.

use std::fmt;
use std::pin::Pin;

use quire_wire::common::Envelope;
use quire_wire::deliver::{BroadcastResponse, Response};
use quire_wire::hash::Hash;
use tokio::runtime::Handle;

use super::endpoint::Endpoint;

/// An answer that is waited for. Whoever waits no longer drops it.
pub type Wait<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The way to orderers, over whatever protocol.
pub trait Network: fmt::Debug + Send + Sync {
    /// SHA-256 of the certificate that this node shows, to which its requests are bound; `None` where it shows none.
    fn certificate(&self) -> Option<Hash>;

    /// Asks an orderer for blocks, each of so many bytes at most.
    fn deliver(
        &self,
        orderer: &Endpoint,
        request: Envelope,
        max_bytes: usize,
    ) -> Wait<'static, Result<Box<dyn Blocks>, String>>;

    /// Sends an envelope to an orderer.
    fn broadcast(
        &self,
        orderer: &Endpoint,
        envelope: Envelope,
    ) -> Wait<'static, Result<BroadcastResponse, NoAnswer>>;

    /// Where what waits for answers runs. It has a timer.
    fn runtime(&self) -> &Handle;
}

/// Blocks on their way.
pub trait Blocks: fmt::Debug + Send {
    /// The next message; `None` at the end. The text says why no other comes. Nothing is lost where this is dropped and
    /// asked for again.
    fn next(&mut self) -> Wait<'_, Result<Option<Response>, String>>;
}

/// Why an orderer gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It was not reached: it does not have the envelope.
    #[error("{0}")]
    NotSent(String),
    /// It may have the envelope.
    #[error("{0}")]
    Unknown(String),
}
