//! Damaged blocks that reads have met. Each is logged once, and reported to everybody who asks.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::error::Corruption;

/// The most damaged blocks that are remembered; there is no need to count further.
const MAX_REMEMBERED: usize = 1000;

/// The damaged blocks of one channel.
#[derive(Debug, Default)]
pub(crate) struct DamageMet {
    blocks: Mutex<BTreeMap<u64, Corruption>>,
}

impl DamageMet {
    pub(crate) fn remember(&self, channel: &str, number: u64, corruption: &Corruption) {
        let mut blocks = self.blocks.lock();
        if blocks.len() >= MAX_REMEMBERED || blocks.contains_key(&number) {
            return;
        }
        tracing::error!(channel, %corruption, "a block is damaged; all others are served");
        blocks.insert(number, corruption.clone());
    }

    pub(crate) fn list(&self) -> Vec<Corruption> {
        self.blocks.lock().values().cloned().collect()
    }
}
