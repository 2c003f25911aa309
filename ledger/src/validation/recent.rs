//! Which public keys the blocks before the one being judged wrote, as far back as a query may have
//! been asked, and how many steps judging queries may still take.
//!
//! A key counts as written where a valid transaction names it among its writes or metadata writes,
//! whatever comes of that: this follows from a block and its codes alone, so that what was noted while
//! a block was judged is what is read from its file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::writes;
use crate::error::ReadError;
use crate::model::block::Block;
use crate::model::examined::{Content, Examined};
use crate::model::namespace::queried;
use crate::model::namespace::{CONFIG_KEY, CONFIG_NAMESPACE};
use crate::query::work::{Exceeded, Meter, Spend};
use crate::reader::Reader;

/// Most blocks that may have come between a query and its judgement.
pub(crate) const MAX_LAG: u64 = 256;
/// Most keys of a namespace that may have been written meanwhile.
const MAX_KEYS: usize = 100_000;
/// Most steps that the queries of a transaction may take.
const STEPS_OF_TRANSACTION: u64 = 50_000_000;
/// Most steps that the queries of a block may take.
const STEPS_OF_BLOCK: u64 = 500_000_000;

/// Steps that a block takes that came between, whatever is in it.
const BLOCK_STEPS: u64 = 1_000;
/// Bytes of such a block's envelopes that take a step more.
const BYTES_A_STEP: u64 = 16;
/// Steps that the name of a key takes which such a block wrote in the namespace. Each of its bytes takes
/// one more.
const NAME_STEPS: u64 = 20;

/// Bytes that the blocks take up which could be read again.
const MAX_BYTES: usize = 16 << 20;
/// What a key takes up beside its bytes, about.
const KEY_BYTES: usize = 48;

/// What the newest blocks wrote, kept from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    blocks: BTreeMap<u64, Arc<Written>>,
    /// What `blocks` take up.
    bytes: usize,
    /// Where a block can be read again that is not here. None where all are here.
    reader: Option<Reader>,
    /// Blocks below this can be read again.
    readable: u64,
    /// The block being judged, and what its transactions wrote so far.
    number: u64,
    written: Written,
    /// Steps that the queries of its further transactions may take.
    steps: u64,
}

/// Public keys that one block writes.
#[derive(Debug, Default)]
struct Written {
    /// Bytes of the block's envelopes.
    block_bytes: u64,
    /// By namespace.
    keys: BTreeMap<String, BTreeSet<Box<str>>>,
    /// What this takes up, about.
    bytes: usize,
}

impl Written {
    fn in_block(block: &Block) -> Self {
        let bytes = block.envelopes.iter().map(|envelope| envelope.len() as u64);
        Self {
            block_bytes: bytes.sum(),
            ..Self::default()
        }
    }

    /// What a stored block wrote, by the codes that are stored with it.
    fn read(block: &Block) -> Self {
        let mut written = Self::in_block(block);
        for (tx, envelope) in block.envelopes.iter().enumerate() {
            if block.code(tx).is_valid() {
                written.note(&Examined::read(envelope));
            }
        }
        written
    }

    /// Adds what a valid transaction writes.
    fn note(&mut self, transaction: &Examined) {
        match &transaction.content {
            Content::Other => {}
            Content::Config(_) => self.add(CONFIG_NAMESPACE, CONFIG_KEY),
            Content::Endorsed(endorsed) => {
                let keys = writes::public_keys(&endorsed.read_write_set);
                let in_state = keys.filter(|(namespace, _)| queried(namespace).is_none());
                in_state.for_each(|(namespace, key)| self.add(namespace, key));
            }
        }
    }

    fn add(&mut self, namespace: &str, key: &str) {
        let keys = match self.keys.get_mut(namespace) {
            Some(keys) => keys,
            None => self.keys.entry(namespace.to_owned()).or_default(),
        };
        if keys.insert(key.into()) {
            self.bytes += KEY_BYTES + key.len();
        }
    }

    /// Adds the keys of a namespace to others.
    fn list(
        &self,
        namespace: &str,
        keys: &mut BTreeSet<String>,
        meter: &mut Meter,
    ) -> Result<(), Exceeded> {
        for key in self.keys.get(namespace).into_iter().flatten() {
            meter.spend(Spend::Reading, NAME_STEPS + key.len() as u64)?;
            if !keys.contains(&**key) {
                keys.insert(key.to_string());
            }
            if keys.len() > MAX_KEYS {
                return Err(Exceeded);
            }
        }
        Ok(())
    }
}

/// Why it is not known what was written.
#[derive(Debug)]
pub(crate) enum Unknown {
    /// It is more than a query is judged by.
    Exceeded,
    /// A block cannot be read.
    Unreadable(ReadError),
}

impl From<Exceeded> for Unknown {
    fn from(_: Exceeded) -> Self {
        Self::Exceeded
    }
}

impl From<ReadError> for Unknown {
    fn from(error: ReadError) -> Self {
        Self::Unreadable(error)
    }
}

impl Recent {
    /// Of a channel whose blocks `reader` reads.
    pub(crate) fn of(reader: Reader) -> Self {
        Self {
            reader: Some(reader),
            ..Self::default()
        }
    }

    /// Begins a batch behind the chain that ends at `end`, of which reads see the blocks below
    /// `readable`. What a batch left here that did not become the end is forgotten.
    pub(crate) fn begin_batch(&mut self, end: u64, readable: u64) {
        self.readable = readable;
        self.number = end;
        self.written = Written::default();
        for (_, lost) in self.blocks.split_off(&end) {
            self.bytes -= lost.bytes;
        }
    }

    /// Begins a block: the one before is an earlier one now.
    pub(crate) fn begin_block(&mut self, block: &Block) {
        let before = std::mem::replace(&mut self.written, Written::in_block(block));
        let number = std::mem::replace(&mut self.number, block.number);
        if number < block.number {
            self.keep(number, Arc::new(before));
        }
        self.steps = STEPS_OF_BLOCK;
    }

    /// Ends the batch: its last block is an earlier one, too.
    pub(crate) fn end_batch(&mut self) {
        let last = std::mem::take(&mut self.written);
        let number = self.number;
        self.number += 1;
        self.keep(number, Arc::new(last));
    }

    /// Adds what a valid transaction of the block writes.
    pub(crate) fn note(&mut self, transaction: &Examined) {
        self.written.note(transaction);
    }

    /// The number of the block that is being judged.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    #[cfg(test)]
    pub(crate) fn has(&self, number: u64) -> bool {
        self.blocks.contains_key(&number)
    }

    /// For the steps of a transaction's queries.
    pub(crate) fn meter(&self) -> Meter {
        Meter::fixed(STEPS_OF_TRANSACTION.min(self.steps))
    }

    /// Takes what a transaction's queries spent from what those of the block may.
    pub(crate) fn spend(&mut self, meter: &Meter) {
        self.steps = self.steps.saturating_sub(meter.spent().total());
    }

    /// The keys of a namespace that blocks from `height` on wrote, and earlier transactions of this one.
    pub(crate) fn written_since(
        &mut self,
        height: u64,
        namespace: &str,
        meter: &mut Meter,
    ) -> Result<BTreeSet<String>, Unknown> {
        let mut keys = BTreeSet::new();
        for number in height..self.number {
            meter.spend(Spend::Reading, BLOCK_STEPS)?;
            let written = self.block(number)?;
            meter.spend(Spend::Reading, written.block_bytes / BYTES_A_STEP)?;
            written.list(namespace, &mut keys, meter)?;
        }
        self.written.list(namespace, &mut keys, meter)?;
        Ok(keys)
    }

    fn block(&mut self, number: u64) -> Result<Arc<Written>, ReadError> {
        if let Some(known) = self.blocks.get(&number) {
            return Ok(Arc::clone(known));
        }
        let missing = || ReadError::Missing(format!("block {number}"));
        let reader = self.reader.as_ref().ok_or_else(missing)?;
        let block = reader.block(number)?.ok_or_else(missing)?;
        let written = Arc::new(Written::read(&block));
        self.keep(number, Arc::clone(&written));
        Ok(written)
    }

    /// Keeps what a block wrote, and forgets what is of no use any more or can be read again.
    fn keep(&mut self, number: u64, written: Arc<Written>) {
        self.bytes += written.bytes;
        if let Some(before) = self.blocks.insert(number, written) {
            self.bytes -= before.bytes;
        }
        while let Some(first) = self.blocks.first_entry() {
            let is_old = first.key().saturating_add(MAX_LAG) < self.number;
            let can_be_read = self.reader.is_some() && *first.key() < self.readable;
            let must_go = is_old || (can_be_read && self.bytes > MAX_BYTES);
            if !must_go {
                break;
            }
            self.bytes -= first.remove().bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn block(number: u64) -> Block {
        Block {
            number,
            previous_hash: Bytes::new(),
            data_hash: Bytes::new(),
            envelopes: Vec::new(),
            metadata: Vec::new(),
        }
    }

    /// Judges blocks of one key each as a batch.
    fn judge(recent: &mut Recent, from: u64, keys: &[&str]) {
        recent.begin_batch(from, 0);
        for (number, key) in (from..).zip(keys) {
            recent.begin_block(&block(number));
            recent.written.add("ns", key);
        }
        recent.end_batch();
    }

    fn since(recent: &mut Recent, height: u64) -> Vec<String> {
        let mut meter = Meter::fixed(STEPS_OF_TRANSACTION);
        let keys = recent.written_since(height, "ns", &mut meter).unwrap();
        keys.into_iter().collect()
    }

    #[test]
    fn what_blocks_wrote_that_did_not_become_the_end_is_forgotten() {
        let mut recent = Recent::default();
        judge(&mut recent, 1, &["a", "b", "c"]);
        assert_eq!(since(&mut recent, 2), ["b", "c"]);
        judge(&mut recent, 3, &["d"]);
        assert_eq!(since(&mut recent, 1), ["a", "b", "d"]);
        // The block that is being judged counts, too, and nothing of a batch that ended in its middle.
        recent.begin_batch(4, 0);
        recent.begin_block(&block(4));
        recent.written.add("ns", "e");
        assert_eq!(since(&mut recent, 3), ["d", "e"]);
        recent.begin_batch(4, 0);
        recent.begin_block(&block(4));
        assert_eq!(since(&mut recent, 3), ["d"]);
        recent.begin_batch(2, 0);
        assert!(recent.has(1) && !recent.has(2) && !recent.has(3));
        assert_eq!(recent.bytes, KEY_BYTES + 1);
        assert_eq!(since(&mut recent, 1), ["a"]);
    }

    #[test]
    fn no_more_blocks_are_kept_than_a_question_may_lie_back() {
        let mut recent = Recent::default();
        judge(&mut recent, 1, &["k"; 400]);
        let kept: Vec<u64> = recent.blocks.keys().copied().collect();
        // Block 401 is next.
        assert_eq!(kept, (145..=400).collect::<Vec<_>>());
        assert_eq!(recent.bytes, 256 * (KEY_BYTES + 1));
    }
}
