//! A bounded map of identities that were found valid, by their serialized bytes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;

/// Replaces by second chance: an entry that was used since the hand last came by stays.
#[derive(Debug)]
pub(crate) struct Cache<V> {
    capacity: usize,
    inner: RwLock<Inner<V>>,
}

#[derive(Debug)]
struct Inner<V> {
    positions: HashMap<Bytes, usize>,
    slots: Vec<Slot<V>>,
    hand: usize,
}

#[derive(Debug)]
struct Slot<V> {
    key: Bytes,
    value: Arc<V>,
    used: AtomicBool,
}

impl<V> Cache<V> {
    pub(crate) fn new(capacity: usize) -> Self {
        assert!(capacity > 0, "a cache without room");
        let inner = Inner {
            positions: HashMap::new(),
            slots: Vec::new(),
            hand: 0,
        };
        Self {
            capacity,
            inner: RwLock::new(inner),
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Arc<V>> {
        let inner = self.inner.read();
        let slot = inner.slots.get(*inner.positions.get(key)?)?;
        slot.used.store(true, Ordering::Relaxed);
        Some(slot.value.clone())
    }

    pub(crate) fn insert(&self, key: Bytes, value: Arc<V>) {
        let mut inner = self.inner.write();
        if inner.positions.contains_key(&key) {
            return;
        }
        let slot = Slot {
            key: key.clone(),
            value,
            used: AtomicBool::new(false),
        };
        let position = if inner.slots.len() < self.capacity {
            inner.slots.push(slot);
            inner.slots.len() - 1
        } else {
            inner.replace(slot)
        };
        inner.positions.insert(key, position);
    }
}

impl<V> Inner<V> {
    /// Puts `new` in the place of the first slot that was not used; at the second round none is.
    fn replace(&mut self, new: Slot<V>) -> usize {
        loop {
            let position = self.hand % self.slots.len();
            self.hand = position + 1;
            let Some(slot) = self.slots.get_mut(position) else {
                continue;
            };
            if !std::mem::take(slot.used.get_mut()) {
                self.positions.remove(&slot.key);
                *slot = new;
                return position;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> Bytes {
        Bytes::copy_from_slice(&number.to_be_bytes())
    }

    #[test]
    fn it_never_grows_beyond_its_capacity_and_keeps_what_is_used() {
        let cache = Cache::new(10);
        for number in 0..1_000 {
            cache.insert(key(number), Arc::new(number));
            assert_eq!(cache.get(&key(0)).as_deref(), Some(&0), "after {number}");
        }
        assert_eq!(cache.get(&key(999)).as_deref(), Some(&999));
        let inner = cache.inner.read();
        assert_eq!((inner.slots.len(), inner.positions.len()), (10, 10));
    }
}
