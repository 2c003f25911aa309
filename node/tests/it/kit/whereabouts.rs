//! Where the node is, for clients that outlive it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// What a restart may take before the node counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// The address of a node that is restarted now and then. A cheap clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whereabouts(Arc<(Mutex<Option<String>>, Condvar)>);

impl Whereabouts {
    /// Waits until the node is up.
    pub(crate) fn address(&self) -> String {
        let (address, came_up) = &*self.0;
        let mut address = address.lock();
        loop {
            if let Some(address) = &*address {
                return address.clone();
            }
            let waited = came_up.wait_for(&mut address, PATIENCE);
            assert!(!waited.timed_out(), "the node did not come back");
        }
    }

    pub(crate) fn up(&self, at: &str) {
        let (address, came_up) = &*self.0;
        *address.lock() = Some(at.to_owned());
        came_up.notify_all();
    }

    pub(crate) fn down(&self) {
        *self.0.0.lock() = None;
    }
}
