//! What a channel's configuration makes of this node, read again when it changes.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use quire_identity::channel_config::ChannelConfigError;
use quire_identity::{ChannelConfig, MspError, Msps, Policy, PolicyError};
use quire_ledger::{
    CONFIG_KEY, CONFIG_NAMESPACE, Content, ENDORSEMENT_POLICY, Examined, ReadError, Reader,
};
use quire_ordering::{Admission, last_config};
use quire_wire::common::metadata_slot;
use quire_wire::config::{BatchSize, ConfigEnvelope};
use quire_wire::{Code, DecodeError, Message as _};

/// The policy that the creator of an envelope must satisfy.
const WRITERS_POLICY: &str = "/Channel/Writers";
/// The policy that the creator of a proposal must satisfy: Fabric's default for `peer/Propose`.
const PROPOSERS_POLICY: &str = "/Channel/Application/Writers";

/// Why a channel's configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A block, or state, cannot be read. The operator looks at the disk.
    #[error("a block cannot be read")]
    Read(#[from] ReadError),
    /// There is no configuration where it should be.
    #[error("block {0} holds no configuration")]
    Missing(u64),
    /// The bytes are no configuration.
    #[error("it does not parse")]
    Decode(#[from] DecodeError),
    /// It lacks something, or says something impossible.
    #[error(transparent)]
    Config(#[from] ChannelConfigError),
    /// One of its organisations cannot be used.
    #[error("an organisation is not sound")]
    Msp(#[from] MspError),
    /// Its endorsement policy cannot be evaluated.
    #[error("the endorsement policy is not sound")]
    Policy(#[from] PolicyError),
}

/// One configuration of a channel, as far as a node acts on it.
#[derive(Debug)]
pub struct Bundle {
    /// The block that holds it.
    pub number: u64,
    /// How large blocks may be.
    pub batch_size: BatchSize,
    /// What is let into the order.
    pub admission: Arc<Admission>,
    /// Who may ask for an endorsement; where that cannot be evaluated, nobody may.
    pub proposers: Result<Policy, PolicyError>,
    /// The organisations.
    pub msps: Msps,
}

impl Bundle {
    /// The configuration in force. Where its block is damaged, state has the configuration too: a damaged
    /// old block keeps no channel from its work.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn of_chain(reader: &Reader) -> Result<Self, ConfigError> {
        let tip = reader
            .height()
            .checked_sub(1)
            .ok_or(ConfigError::Missing(0))?;
        let tip = reader.block(tip)?.ok_or(ConfigError::Missing(tip))?;
        let mut number = last_config(&tip.metadata)?;
        loop {
            let config = match config_in_block(reader, number) {
                Err(ConfigError::Read(ReadError::Corrupt(_))) => {
                    let in_state = config_in_state(reader)?.filter(|(block, _)| *block == number);
                    Some(in_state.ok_or(ConfigError::Missing(number))?.1)
                }
                other => other?,
            };
            if let Some(config) = config {
                return Self::new(reader.channel(), number, config);
            }
            // It did not take effect: the one before is in force.
            let missing = ConfigError::Missing(number);
            let before = number.checked_sub(1).ok_or(missing)?;
            let before = reader.block(before)?.ok_or(ConfigError::Missing(before))?;
            number = last_config(&before.metadata)?;
        }
    }

    /// The configuration of block `number`, from a serialized [`ConfigEnvelope`].
    fn new(channel: &str, number: u64, config: Bytes) -> Result<Self, ConfigError> {
        let config = ConfigEnvelope::decode(config)?.config;
        let config = config.ok_or(ConfigError::Missing(number))?;
        let root = config.channel_group.ok_or(ConfigError::Missing(number))?;
        let parsed = ChannelConfig::from_group(&root)?;
        let msps = parsed.msps()?;
        // Told now rather than with the first block.
        Policy::at(&root, ENDORSEMENT_POLICY)?;
        let admission = Admission::new(
            channel.into(),
            config.sequence,
            parsed.batch_size,
            msps.clone(),
            Policy::at(&root, WRITERS_POLICY),
        );
        Ok(Self {
            number,
            batch_size: parsed.batch_size,
            admission: Arc::new(admission),
            proposers: Policy::at(&root, PROPOSERS_POLICY),
            msps,
        })
    }
}

/// A channel's configuration in force, shared by all who act on it.
#[derive(Clone, Debug)]
pub(crate) struct Current(Arc<RwLock<Arc<Bundle>>>);

impl Current {
    pub(crate) fn new(bundle: Bundle) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(bundle))))
    }

    pub(crate) fn get(&self) -> Arc<Bundle> {
        Arc::clone(&self.0.read())
    }

    /// Reads the configuration that the newest blocks have put in force; none where it is still the same.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub(crate) fn read_again(&self, reader: &Reader) -> Result<Option<Arc<Bundle>>, ConfigError> {
        // State has a configuration that took effect, and none that did not.
        let Some((number, config)) = config_in_state(reader)? else {
            return Ok(None);
        };
        if number == self.get().number {
            return Ok(None);
        }
        let bundle = Arc::new(Bundle::new(reader.channel(), number, config)?);
        *self.0.write() = Arc::clone(&bundle);
        Ok(Some(bundle))
    }
}

/// The configuration of a block; none where it did not take effect.
fn config_in_block(reader: &Reader, number: u64) -> Result<Option<Bytes>, ConfigError> {
    let missing = ConfigError::Missing;
    let block = reader.block(number)?.ok_or(missing(number))?;
    let codes = block.metadata.get(metadata_slot::TRANSACTIONS_FILTER);
    let code = codes.and_then(|codes| codes.first());
    // Fabric's own block 0 has no codes.
    if code.is_some_and(|code| !Code(*code).is_valid()) {
        return Ok(None);
    }
    let envelope = block.envelopes.first().ok_or(missing(number))?;
    match Examined::read(envelope).content {
        Content::Config(config) => Ok(Some(config)),
        Content::Endorsed(_) | Content::Other => Err(missing(number)),
    }
}

/// The configuration that state keeps, and the number of its block.
fn config_in_state(reader: &Reader) -> Result<Option<(u64, Bytes)>, ReadError> {
    let value = reader.snapshot().get(CONFIG_NAMESPACE, CONFIG_KEY)?;
    Ok(value.map(|value| (value.version.block, value.value)))
}
