//! What the messages of a topic mean, one after the other: every orderer that reads them makes the same blocks.
//!
//! | a message arrives | what happens |
//! |---|---|
//! | an envelope, let in by the configuration in force | the [`Cutter`] takes it |
//! | an envelope, let in by an earlier configuration | it is checked again, and if it holds, put at the end of the log |
//! | such an envelope, seen before | nothing: the first one counts |
//! | a configuration | what is pending is cut, then the configuration alone |
//! | a configuration that is called an ordinary envelope | nothing |
//! | time to cut the next block | what is pending is cut |
//! | time to cut an earlier block, or an orderer that connects | nothing |
//!
//! These are the rules of the Kafka consenter of Fabric 1.4, so that a log of its orderers gives their blocks. Each
//! block says at which offset the log goes on after it ([`KafkaMetadata`]). Nothing here asks for the time.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use quire_wire::Message as _;
use quire_wire::common::Envelope;
use quire_wire::config::BatchSize;
use quire_wire::kafka::{
    KafkaMessage, KafkaMessageRegular, KafkaMessageTimeToCut, KafkaMetadata, Kind, class,
};
use quire_wire::tolerant;

use crate::batch::Cut;
use crate::cutter::{Cutter, envelope_size_bytes, exceeds};

/// What a replay asks of the channel.
pub trait Rules<T>: fmt::Debug {
    /// The sequence of the configuration in force.
    fn sequence(&self) -> u64;

    /// Whether orderers send an envelope again that an earlier configuration let in (capability `V1_1` of the
    /// orderers). Otherwise they check every envelope when it is cut.
    fn resubmits(&self) -> bool;

    /// How long an envelope waits for others to fill its block, before any orderer asks for the block.
    fn batch_timeout(&self) -> Duration;

    /// The [`class`] of an envelope, for a log that does not say it; `None` if it cannot be ordered.
    fn class(&self, envelope: &Bytes) -> Option<i32>;

    /// Checks an envelope by the configuration in force.
    ///
    /// # Errors
    /// Says why it does not let the envelope in.
    fn check(&self, envelope: &Bytes) -> Result<(), String>;

    /// Makes a configuration anew, out of the one in force and the update that led to this one.
    ///
    /// # Errors
    /// Says why the update does not fit any more.
    fn configure(&self, envelope: &Bytes) -> Result<Bytes, String>;

    /// What is known of an envelope.
    fn known(&self, envelope: &Bytes) -> T;

    /// Whether an envelope, of which this is known, is a configuration.
    fn is_configuration(&self, envelope: &Bytes, known: &T) -> bool;
}

/// The state of an orderer between two messages of a topic. Holds fewer envelopes than `max_message_count` and no more
/// bytes than `preferred_max_bytes`.
#[derive(Debug)]
pub struct Replay<T> {
    cutter: Cutter<(Bytes, T)>,
    last_block: u64,
    /// What the next block will say; its `last_offset_persisted` is that of the last block.
    metadata: KafkaMetadata,
    waits_for_configuration: bool,
    limits: BatchSize,
    /// The offset of the envelope that ended the newest block, and was too large to be in it.
    overflowed_at: Option<i64>,
}

/// What a message leads to.
#[derive(Debug, PartialEq, Eq)]
pub struct Step<T> {
    /// At most two batches that are complete. A configuration is the last of them, and must be in force before the
    /// next message is read.
    pub cuts: Vec<Cut<T>>,
    /// What must be put at the end of the log, with what is known of its envelope.
    pub again: Option<(KafkaMessage, T)>,
    /// An envelope that comes into no block, and why.
    pub dropped: Option<(T, String)>,
}

/// The log holds what no orderer writes. Nothing can be ordered after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disorder {
    /// A message cuts a block that cannot be the next one.
    #[error("a message at offset {offset} cuts block {number}, but the next one is block {next}")]
    Ahead {
        /// The message's offset.
        offset: i64,
        /// The block that it names.
        number: u64,
        /// The block that can be cut.
        next: u64,
    },
    /// A message cuts the next block, but nothing waits to be in it.
    #[error("a message at offset {offset} cuts block {number}, but no transaction waits for it")]
    Empty {
        /// The message's offset.
        offset: i64,
        /// The block that it names.
        number: u64,
    },
}

impl<T> Step<T> {
    fn nothing() -> Self {
        Self {
            cuts: Vec::new(),
            again: None,
            dropped: None,
        }
    }

    fn cuts(cuts: Vec<Cut<T>>) -> Self {
        Self {
            cuts,
            ..Self::nothing()
        }
    }

    fn dropped(known: T, reason: String) -> Self {
        Self {
            dropped: Some((known, reason)),
            ..Self::nothing()
        }
    }
}

impl<T> Replay<T> {
    /// Goes on after block `last_block`, which says `metadata`: the next message is the one after
    /// `last_offset_persisted`.
    #[must_use]
    pub fn after(last_block: u64, metadata: KafkaMetadata, limits: BatchSize) -> Self {
        Self {
            cutter: Cutter::new(limits),
            last_block,
            waits_for_configuration: metadata.last_resubmitted_config_offset
                > metadata.last_original_offset_processed,
            metadata,
            limits,
            overflowed_at: None,
        }
    }

    /// Says what the newest block holds, and the message at its `last_offset_persisted`. It must be called before the
    /// next message, by whoever begins again.
    ///
    /// An envelope that ends the block before it, because it is too large to be in that, leaves
    /// `last_original_offset_processed` as it is, which is Fabric's rule. A reader who begins behind that block meets the
    /// envelope as its first one, and must treat it alike: otherwise it would skip a second copy of it, which other
    /// readers put into a block.
    pub fn resumes(&mut self, newest: &[Bytes], last: &KafkaMessage) {
        let (by_itself, by_request) = match &last.kind {
            Some(Kind::TimeToCut(cut)) => (false, cut.block_number == self.last_block),
            Some(Kind::Regular(regular)) => {
                let ends_it = newest.last() == Some(&regular.payload);
                (ends_it && self.is_complete(newest, regular.class), false)
            }
            _ => (false, false),
        };
        let overflowed = !by_itself && !by_request;
        let next = self.metadata.last_offset_persisted.saturating_add(1);
        self.overflowed_at = overflowed.then_some(next);
    }

    /// Whether nothing fits into a block any more that ends with an envelope of this class.
    fn is_complete(&self, envelopes: &[Bytes], class: i32) -> bool {
        if class == class::CONFIG {
            return true;
        }
        let count = u32::try_from(envelopes.len()).unwrap_or(u32::MAX);
        let is_large = |envelope: &Bytes| {
            let read = tolerant::decode::<Envelope>(envelope.clone(), tolerant::ENVELOPE);
            read.is_ok_and(|read| {
                let size = envelope_size_bytes(&read.payload, &read.signature);
                exceeds(size, self.limits.preferred_max_bytes)
            })
        };
        count >= self.limits.max_message_count || envelopes.iter().any(is_large)
    }

    /// Changes the limits from the next message on, as a new configuration demands.
    pub fn set_limits(&mut self, limits: BatchSize) {
        self.limits = limits;
        self.cutter.set_limits(limits);
    }

    /// How many envelopes wait for their block to be cut.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.cutter.pending_count()
    }

    /// The number of the next block.
    #[must_use]
    pub fn next_block(&self) -> u64 {
        self.last_block.saturating_add(1)
    }

    /// Whether a configuration is on its way again: until it is there, nothing new is let in, because it would be
    /// checked by a configuration that is about to end.
    #[must_use]
    pub fn waits_for_configuration(&self) -> bool {
        self.waits_for_configuration
    }

    /// What the next block will say of original offsets. Its `last_offset_persisted` is that of the last block.
    #[must_use]
    pub fn metadata(&self) -> KafkaMetadata {
        self.metadata
    }

    /// The message that cuts the next block.
    #[must_use]
    pub fn time_to_cut(&self) -> KafkaMessage {
        let block_number = self.next_block();
        KafkaMessage {
            kind: Some(Kind::TimeToCut(KafkaMessageTimeToCut { block_number })),
        }
    }

    /// Takes the message at `offset`. Offsets rise from message to message.
    ///
    /// # Errors
    /// See [`Disorder`].
    pub fn message(
        &mut self,
        offset: i64,
        message: KafkaMessage,
        rules: &dyn Rules<T>,
    ) -> Result<Step<T>, Disorder> {
        match message.kind {
            Some(Kind::Regular(regular)) => Ok(self.regular(offset, &regular, rules)),
            Some(Kind::TimeToCut(cut)) => self.cut_block(offset, cut.block_number),
            Some(Kind::Connect(_)) | None => Ok(Step::nothing()),
        }
    }

    fn cut_block(&mut self, offset: i64, number: u64) -> Result<Step<T>, Disorder> {
        let next = self.next_block();
        if number > next {
            return Err(Disorder::Ahead {
                offset,
                number,
                next,
            });
        }
        if number < next {
            return Ok(Step::nothing());
        }
        let pending = self.cutter.cut();
        if pending.is_empty() {
            return Err(Disorder::Empty { offset, number });
        }
        // Fabric leaves the third member out of these blocks.
        let metadata = KafkaMetadata {
            last_resubmitted_config_offset: 0,
            ..self.written(offset)
        };
        Ok(Step::cuts(vec![with(Cut::normal(pending), metadata)]))
    }

    fn regular(
        &mut self,
        offset: i64,
        message: &KafkaMessageRegular,
        rules: &dyn Rules<T>,
    ) -> Step<T> {
        let envelope = message.payload.clone();
        let read = tolerant::decode::<Envelope>(envelope.clone(), tolerant::ENVELOPE);
        let Ok(read) = read else {
            return Step::dropped(rules.known(&envelope), "it is no envelope".to_owned());
        };
        let size_bytes = envelope_size_bytes(&read.payload, &read.signature);
        if message.class == class::UNKNOWN || !rules.resubmits() {
            return self.checked_now(offset, envelope, size_bytes, rules);
        }
        let is_config = message.class == class::CONFIG;
        let original = message.original_offset;
        if original != 0 {
            if original <= self.metadata.last_original_offset_processed {
                return Step::nothing();
            }
            if is_config {
                self.configuration_came_again(message, rules.sequence());
            }
        }
        if message.config_seq < rules.sequence() {
            return self.again(offset, is_config, &envelope, rules);
        }
        let known = rules.known(&envelope);
        // It would take effect while messages behind it are read, at some nodes before others.
        if !is_config && rules.is_configuration(&envelope, &known) {
            let reason = "it is a configuration, and was not sent as one".to_owned();
            return Step::dropped(known, reason);
        }
        let original = match original {
            0 => self.metadata.last_original_offset_processed,
            original => original,
        };
        let entry = (envelope, known);
        if is_config {
            self.config(offset, original, entry)
        } else {
            self.normal(offset, original, entry, size_bytes)
        }
    }

    /// Orders an envelope of a log whose orderers check when they cut.
    fn checked_now(
        &mut self,
        offset: i64,
        envelope: Bytes,
        size_bytes: usize,
        rules: &dyn Rules<T>,
    ) -> Step<T> {
        let original = self.metadata.last_original_offset_processed;
        let known = rules.known(&envelope);
        let (checked, is_config) = match rules.class(&envelope) {
            Some(class::CONFIG) => (rules.configure(&envelope).map(drop), true),
            Some(class::NORMAL) => (rules.check(&envelope), false),
            _ => return Step::dropped(known, "it is of a kind that is not ordered".to_owned()),
        };
        match checked {
            Err(reason) => Step::dropped(known, reason),
            Ok(()) if is_config => self.config(offset, original, (envelope, known)),
            Ok(()) => self.normal(offset, original, (envelope, known), size_bytes),
        }
    }

    fn configuration_came_again(&mut self, message: &KafkaMessageRegular, sequence: u64) {
        let last = &mut self.metadata.last_resubmitted_config_offset;
        if message.original_offset == *last && message.config_seq == sequence {
            self.waits_for_configuration = false;
        }
        // Another orderer sent it, and this one did not: it counts all the same.
        *last = message.original_offset.max(*last);
    }

    /// Sends an envelope again that an earlier configuration let in.
    fn again(
        &mut self,
        offset: i64,
        is_config: bool,
        envelope: &Bytes,
        rules: &dyn Rules<T>,
    ) -> Step<T> {
        let checked = if is_config {
            rules.configure(envelope)
        } else {
            rules.check(envelope).map(|()| envelope.clone())
        };
        let payload = match checked {
            Ok(payload) => payload,
            Err(reason) => return Step::dropped(rules.known(envelope), reason),
        };
        if is_config {
            self.metadata.last_resubmitted_config_offset = offset;
            self.waits_for_configuration = true;
        }
        let regular = KafkaMessageRegular {
            payload,
            config_seq: rules.sequence(),
            class: if is_config {
                class::CONFIG
            } else {
                class::NORMAL
            },
            original_offset: offset,
        };
        let message = KafkaMessage {
            kind: Some(Kind::Regular(regular)),
        };
        Step {
            again: Some((message, rules.known(envelope))),
            ..Step::nothing()
        }
    }

    fn normal(
        &mut self,
        offset: i64,
        original: i64,
        entry: (Bytes, T),
        size_bytes: usize,
    ) -> Step<T> {
        let original = if self.overflowed_at == Some(offset) {
            self.metadata.last_original_offset_processed
        } else {
            original
        };
        let (batches, pending) = self.cutter.ordered(entry, size_bytes);
        let last = batches.len().saturating_sub(1);
        let mut cuts = Vec::with_capacity(batches.len());
        for (place, batch) in batches.into_iter().enumerate() {
            // The block that ends with this envelope ends here; one before it ended with the message before.
            let holds_it = place == last && !pending;
            if holds_it {
                self.metadata.last_original_offset_processed = original;
            }
            let end = if holds_it {
                offset
            } else {
                offset.saturating_sub(1)
            };
            let metadata = self.written(end);
            cuts.push(with(Cut::normal(batch), metadata));
        }
        if cuts.is_empty() {
            self.metadata.last_original_offset_processed = original;
        }
        Step::cuts(cuts)
    }

    fn config(&mut self, offset: i64, original: i64, entry: (Bytes, T)) -> Step<T> {
        let mut cuts = Vec::with_capacity(2);
        let pending = self.cutter.cut();
        if !pending.is_empty() {
            let metadata = self.written(offset.saturating_sub(1));
            cuts.push(with(Cut::normal(pending), metadata));
        }
        self.metadata.last_original_offset_processed = original;
        let metadata = self.written(offset);
        cuts.push(with(Cut::config(vec![entry]), metadata));
        Step::cuts(cuts)
    }

    /// A block ends with the message at `offset`.
    fn written(&mut self, offset: i64) -> KafkaMetadata {
        self.last_block = self.next_block();
        self.metadata.last_offset_persisted = offset;
        self.metadata
    }
}

fn with<T>(mut cut: Cut<T>, metadata: KafkaMetadata) -> Cut<T> {
    cut.batch.consenter_metadata = metadata.encode_to_vec().into();
    cut
}
