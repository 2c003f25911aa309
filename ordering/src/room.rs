//! How many bytes may still wait in an order, and who is told of what waits.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Is told of what waits in an order, but decides nothing.
pub trait QueueObserver: fmt::Debug + Send + Sync {
    /// An envelope joins the queue.
    fn joined(&self) {}
    /// An envelope was taken out of the queue to be cut into a batch, after `time`.
    fn waited(&self, time: Duration) {
        let _ = time;
    }
    /// An envelope has left the queue, taken or not.
    fn left(&self) {}
}

/// An observer that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl QueueObserver for Unobserved {}

/// Bytes that may still wait.
#[derive(Debug)]
pub struct Room {
    free_bytes: AtomicUsize,
    observer: Arc<dyn QueueObserver>,
}

/// An envelope's bytes of the room. They are given back when this is dropped.
#[derive(Debug)]
pub struct Taken {
    room: Arc<Room>,
    bytes: usize,
    since: Instant,
}

impl Room {
    /// Room for that many bytes.
    #[must_use]
    pub fn new(bytes: usize, observer: Arc<dyn QueueObserver>) -> Self {
        Self {
            free_bytes: AtomicUsize::new(bytes),
            observer,
        }
    }

    /// Takes that many bytes; returns `None` if there are not so many.
    #[must_use]
    pub fn take(room: &Arc<Self>, bytes: usize) -> Option<Taken> {
        let enough = |free: usize| free.checked_sub(bytes);
        let taken = room
            .free_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, enough);
        taken.ok()?;
        room.observer.joined();
        Some(Taken {
            room: Arc::clone(room),
            bytes,
            since: Instant::now(),
        })
    }
}

impl Taken {
    /// The envelope was taken out of the queue.
    pub fn waited(self) {
        self.room.observer.waited(self.since.elapsed());
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room
            .free_bytes
            .fetch_add(self.bytes, Ordering::Relaxed);
        self.room.observer.left();
    }
}
