//! What a channel says of the envelopes in its order's log, by the configuration in force.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quire_ledger::{Block, Content, Examined, ReadError, Reader, Signatures};
use quire_ordering::kafka::{Rules, Tip};
use quire_ordering::{BlockSigner, consenter_metadata};
use quire_wire::common::header_type;
use quire_wire::config::ConfigEnvelope;
use quire_wire::kafka::{KafkaMetadata, class};
use quire_wire::transaction::Opened;
use quire_wire::{DecodeError, Message as _};

use crate::clock::Clock;
use crate::config::{ConfigError, Current, InForce};
use crate::cut_here::Known;
use crate::genesis::config_envelope;
use crate::update::configuration;

/// The type of consensus whose channels no topic orders.
pub(crate) const BFT: &str = "BFT";

/// A channel's rules for its log.
pub(crate) struct LogRules {
    pub(crate) channel: Arc<str>,
    pub(crate) config: Current,
    /// Signs configurations.
    pub(crate) signer: Arc<dyn BlockSigner + Send + Sync>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl fmt::Debug for LogRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogRules")
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

impl Rules<Known> for LogRules {
    fn sequence(&self) -> u64 {
        self.config.get().admission.sequence()
    }

    fn resubmits(&self) -> bool {
        let in_force = self.config.get();
        let orderer = in_force.bundle.orderer();
        orderer.is_some_and(|orderer| orderer.capabilities.resubmission())
    }

    fn batch_timeout(&self) -> Duration {
        let in_force = self.config.get();
        let orderer = in_force.bundle.orderer();
        orderer.map_or(Duration::from_secs(2), |orderer| orderer.batch_timeout)
    }

    fn class(&self, envelope: &Bytes) -> Option<i32> {
        let opened = Opened::read(envelope).ok()?;
        match opened.channel_header.r#type {
            header_type::CONFIG_UPDATE => None,
            header_type::CONFIG | header_type::ORDERER_TRANSACTION => Some(class::CONFIG),
            _ => Some(class::NORMAL),
        }
    }

    fn check(&self, envelope: &Bytes) -> Result<(), String> {
        let in_force = self.config.get();
        let admitted = in_force.admission.admit_again(envelope);
        admitted.map_err(|refused| refused.to_string())
    }

    fn configure(&self, envelope: &Bytes) -> Result<Bytes, String> {
        let Content::Config(config) = Examined::read(envelope).content else {
            return Err("it holds no configuration".to_owned());
        };
        let config = ConfigEnvelope::decode(config).map_err(|error| error.to_string())?;
        let update = config.last_update.ok_or("no update led to it")?;
        let update = Bytes::from(update.encode_to_vec());
        let in_force = self.config.get();
        let signer = &*self.signer;
        let config =
            configuration(&update, &in_force, signer).map_err(|error| error.to_string())?;
        let anew = config_envelope(&self.channel, &config, signer, self.clock.now());
        let admitted = in_force.admission.admit_configuration(&anew);
        admitted.map_err(|refused| refused.to_string())?;
        Ok(anew)
    }

    fn known(&self, envelope: &Bytes) -> Known {
        Known {
            examined: Examined::new(envelope, &self.channel),
            signatures: Signatures::OfOthers,
            sequence: self.sequence(),
        }
    }

    fn is_configuration(&self, _: &Bytes, known: &Known) -> bool {
        matches!(known.examined.content, Content::Config(_))
    }
}

/// The newest block of a chain and its place in the topic, and the hash of the newest block before the topic.
///
/// # Errors
/// A block cannot be read, or says of its place what cannot be read.
pub(crate) fn place(reader: &Reader, in_force: &InForce) -> Result<(Tip, Bytes), ConfigError> {
    let in_topic = |block: &Block| in_topic(block, in_force);
    let number = reader
        .height()
        .checked_sub(1)
        .ok_or(ConfigError::Missing(0))?;
    let tip = block(reader, number)?;
    let metadata = in_topic(&tip)?;
    let before = match number.checked_sub(1).filter(|_| metadata.is_some()) {
        Some(before) => in_topic(&*block(reader, before)?)?,
        None => None,
    };
    let base = match metadata {
        None => tip.hash(),
        Some(_) => base(reader, number, in_force)?,
    };
    let tip = Tip {
        number,
        envelopes: tip.envelopes.clone(),
        metadata,
        before: before.map(|metadata| metadata.last_offset_persisted),
    };
    Ok((tip, Bytes::copy_from_slice(&base)))
}

/// The hash of the newest block that was not made from the topic; block `made` was. All blocks after it were.
fn base(
    reader: &Reader,
    made: u64,
    in_force: &InForce,
) -> Result<quire_wire::hash::Hash, ConfigError> {
    let in_topic = |block: &Block| in_topic(block, in_force);
    // Most chains begin in the topic with block 1.
    let first = 1.min(made);
    let (mut low, mut high) = match in_topic(&*block(reader, first)?)? {
        Some(_) => (0, first),
        None => (first, made),
    };
    while high.saturating_sub(low) > 1 {
        let middle = low.midpoint(high);
        match in_topic(&*block(reader, middle)?)? {
            Some(_) => high = middle,
            None => low = middle,
        }
    }
    Ok(block(reader, low)?.hash())
}

fn block(reader: &Reader, number: u64) -> Result<Arc<Block>, ConfigError> {
    let block: Result<_, ReadError> = reader.block(number);
    block?.ok_or(ConfigError::Missing(number))
}

/// The place of a block in the topic, if it was made from one. Other consenters write other messages there: etcdraft's
/// cannot be read as one of Kafka's, BFT's could.
fn in_topic(block: &Block, in_force: &InForce) -> Result<Option<KafkaMetadata>, DecodeError> {
    let metadata = consenter_metadata(&block.metadata)?;
    if metadata.is_empty() || consensus(in_force) == BFT {
        return Ok(None);
    }
    Ok(KafkaMetadata::decode(metadata).ok())
}

/// The type of consensus that the configuration names; empty if it names none.
pub(crate) fn consensus(in_force: &InForce) -> &str {
    let orderer = in_force.bundle.orderer();
    orderer.map_or("", |orderer| orderer.consensus_type.r#type.as_str())
}
