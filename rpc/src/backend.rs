//! What the services ask of the node.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::SystemTime;

use quire_ledger::Room;
use quire_peer::{Channel, LocalPeer};
use tokio::sync::watch;

use crate::stream_observer::{StreamObserver, Unobserved};

/// The node behind the services.
pub trait Backend: Debug + Send + Sync + 'static {
    /// A channel by its name. Never blocks.
    fn channel(&self, name: &str) -> Option<Channel>;

    /// Who answers proposals for no channel.
    fn local(&self) -> Arc<LocalPeer>;

    /// The names of all channels, sorted.
    fn channels(&self) -> Vec<String>;

    /// MSP id of the node's organisation.
    fn msp_id(&self) -> String;

    /// The clock.
    fn now(&self) -> SystemTime;

    /// Becomes true when the node is asked to stop: then streams end, and nobody waits for long.
    fn stopping(&self) -> watch::Receiver<bool>;

    /// Room in memory for what a caller makes the node hold, until it is dropped; `None` if there is not enough.
    fn room(&self, bytes: usize) -> Option<Room>;

    /// Whoever counts streams of blocks, and envelopes for the order; nobody, if the node does not say who.
    fn stream_observer(&self) -> Arc<dyn StreamObserver> {
        Arc::new(Unobserved)
    }
}
