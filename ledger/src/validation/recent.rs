//! The public keys that blocks before the judged block wrote, as far back as a query may have been asked, and
//! the steps that judging queries may still take.
//!
//! A key counts as written if a valid transaction names it among its writes or metadata writes, whatever
//! their effect. This follows from a block and its codes alone, so that a block's file gives the same keys as
//! were noted when the block was judged.

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

/// The most blocks that may come between a query and its judgement.
pub(crate) const MAX_LAG: u64 = 256;
/// The most keys of a namespace that may be written meanwhile.
const MAX_KEYS: usize = 100_000;
/// The most steps that the queries of a transaction may take.
const STEPS_OF_TRANSACTION: u64 = 50_000_000;
/// The most steps that the queries of a block may take.
const STEPS_OF_BLOCK: u64 = 500_000_000;

/// The steps for a block between query and judgement, whatever is in it.
const BLOCK_STEPS: u64 = 1_000;
/// This many bytes of such a block's envelopes take one more step.
const BYTES_A_STEP: u64 = 16;
/// The steps for the name of a key that such a block wrote in the namespace. Each byte of the name takes one
/// more.
const NAME_STEPS: u64 = 20;

/// The most bytes of kept blocks that could also be read again.
const MAX_BYTES: usize = 16 << 20;
/// Roughly the memory of a key besides its bytes.
const KEY_BYTES: usize = 48;

/// What the newest blocks wrote, kept from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    blocks: BTreeMap<u64, Arc<Written>>,
    /// The memory of `blocks`.
    bytes: usize,
    /// Reads blocks that are not kept here. `None` if all are kept here.
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
    /// The keys by namespace.
    keys: BTreeMap<String, BTreeSet<Box<str>>>,
    /// Roughly the memory of this.
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

/// Why the written keys are not known.
#[derive(Debug)]
pub(crate) enum Unknown {
    /// There are more than a query may be judged by.
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
    /// Makes it for a channel whose blocks `reader` reads.
    pub(crate) fn of(reader: Reader) -> Self {
        Self {
            reader: Some(reader),
            ..Self::default()
        }
    }

    /// Begins a batch after the chain that ends at `end`, of which reads see the blocks below `readable`.
    /// What an abandoned batch left here is dropped.
    pub(crate) fn begin_batch(&mut self, end: u64, readable: u64) {
        self.readable = readable;
        self.number = end;
        self.written = Written::default();
        for (_, lost) in self.blocks.split_off(&end) {
            self.bytes -= lost.bytes;
        }
    }

    /// Begins a block: the block before is now an earlier one.
    pub(crate) fn begin_block(&mut self, block: &Block) {
        let before = std::mem::replace(&mut self.written, Written::in_block(block));
        let number = std::mem::replace(&mut self.number, block.number);
        if number < block.number {
            self.keep(number, Arc::new(before));
        }
        self.steps = STEPS_OF_BLOCK;
    }

    /// Ends the batch: its last block is now an earlier one too.
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

    /// The number of the judged block.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    #[cfg(test)]
    pub(crate) fn has(&self, number: u64) -> bool {
        self.blocks.contains_key(&number)
    }

    /// A meter for the steps of a transaction's queries.
    pub(crate) fn meter(&self) -> Meter {
        Meter::fixed(STEPS_OF_TRANSACTION.min(self.steps))
    }

    /// Subtracts what a transaction's queries spent from the steps of the block.
    pub(crate) fn spend(&mut self, meter: &Meter) {
        self.steps = self.steps.saturating_sub(meter.spent().total());
    }

    /// The keys of a namespace that blocks from `height` on wrote, and that earlier transactions of this
    /// block wrote.
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

    /// Keeps what a block wrote, and drops what is not needed any more or can be read again.
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
        // The judged block counts too, but nothing of a batch that was abandoned.
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
        // Block 401 comes next.
        assert_eq!(kept, (145..=400).collect::<Vec<_>>());
        assert_eq!(recent.bytes, 256 * (KEY_BYTES + 1));
    }
}
