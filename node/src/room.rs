//! A bound in bytes: a queue of few large things is as full as one of many small ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes that may still wait in a queue.
#[derive(Debug)]
pub(crate) struct Room(AtomicUsize);

impl Room {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    /// Takes so many bytes; none where there are not so many.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Taken> {
        let left = |left: usize| left.checked_sub(bytes);
        let (order, failed) = (Ordering::AcqRel, Ordering::Relaxed);
        self.0.fetch_update(order, failed, left).ok()?;
        let room = Arc::clone(self);
        Some(Taken { room, bytes })
    }
}

/// Bytes of a queue, given back when this goes.
#[derive(Debug)]
pub(crate) struct Taken {
    room: Arc<Room>,
    bytes: usize,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.0.fetch_add(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_bounded_and_given_back() {
        let room = Arc::new(Room::new(10));
        let first = room.take(6).unwrap();
        assert!(room.take(5).is_none(), "four are left");
        let second = room.take(4).unwrap();
        assert!(room.take(1).is_none());
        drop(first);
        assert!(room.take(7).is_none());
        drop(room.take(6).unwrap());
        drop(second);
        assert!(room.take(10).is_some());
    }
}
