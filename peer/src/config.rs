//! What a channel's configuration means for this node. It is read again when it changes.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use quire_identity::config::{BundleError, SuccessionError};
use quire_identity::{Bundle, Policy, PolicyError};
use quire_ledger::{
    CONFIG_KEY, CONFIG_NAMESPACE, Content, ENDORSEMENT_POLICY, Examined, ReadError, Reader,
};
use quire_ordering::{Admission, last_config};
use quire_wire::common::metadata_slot;
use quire_wire::config::{BatchSize, Config, ConfigEnvelope};
use quire_wire::{Code, DecodeError, Message as _};

use crate::others::{RemotePeer, remote_peers};

/// The policy that the creator of an envelope must satisfy.
const WRITERS_POLICY: &str = "/Channel/Writers";
/// The function whose policy guards proposals, and the policy if the configuration names none.
const PROPOSE: &str = "peer/Propose";
const PROPOSERS_POLICY: &str = "/Channel/Application/Writers";

/// Why a channel's configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A block, or state, cannot be read. The operator looks at the disk.
    #[error("a block cannot be read")]
    Read(#[from] ReadError),
    /// There is no configuration where one should be.
    #[error("block {0} holds no configuration")]
    Missing(u64),
    /// The bytes are not a configuration.
    #[error("it does not parse")]
    Decode(#[from] DecodeError),
    /// It lacks something, or says something impossible.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// It asks for something that this release does not know. A newer release may.
    #[error(transparent)]
    Capability(#[from] SuccessionError),
    /// It does not say how blocks are cut.
    #[error("it has no orderer group")]
    NoOrderer,
    /// Its endorsement policy cannot be evaluated.
    #[error("the endorsement policy is not sound")]
    Policy(#[from] PolicyError),
}

/// The configuration that a channel has, and what it means for this node.
#[derive(Debug)]
pub struct InForce {
    /// The block that holds it.
    pub number: u64,
    /// The configuration itself, ready to judge by.
    pub bundle: Arc<Bundle>,
    /// How large blocks may be.
    pub batch_size: BatchSize,
    /// What is let into the order.
    pub admission: Arc<Admission>,
    /// Who may ask for an endorsement; if the policy cannot be evaluated, nobody may.
    pub proposers: Result<Policy, PolicyError>,
    /// The anchor peers of its organisations.
    pub(crate) remote_peers: Arc<[RemotePeer]>,
}

impl InForce {
    /// Reads a chain's configuration. If its block is damaged, it is read from state: a damaged old block
    /// does not keep a channel from its work.
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
            // It did not take effect: the configuration before it is in force.
            let missing = ConfigError::Missing(number);
            let before = number.checked_sub(1).ok_or(missing)?;
            let before = reader.block(before)?.ok_or(ConfigError::Missing(before))?;
            number = last_config(&before.metadata)?;
        }
    }

    /// The configuration of block `number`, from a serialized [`ConfigEnvelope`].
    fn new(channel: &str, number: u64, config: Bytes) -> Result<Self, ConfigError> {
        Self::of_bundle(number, bundle(channel, number, config)?)
    }

    pub(crate) fn of_bundle(number: u64, bundle: Bundle) -> Result<Self, ConfigError> {
        bundle.check_capabilities()?;
        // An error is told now rather than with the first block.
        bundle.policy(ENDORSEMENT_POLICY)?;
        let orderer = bundle.orderer().ok_or(ConfigError::NoOrderer)?;
        let batch_size = orderer.batch_size;
        let admission = Admission::new(
            bundle.channel().into(),
            bundle.sequence(),
            batch_size,
            bundle.msps().clone(),
            bundle.policy(WRITERS_POLICY),
        );
        let acls = bundle.application().map(|application| &application.acls);
        let proposers = acls.and_then(|acls| acls.get(PROPOSE));
        let proposers = proposers.map_or(PROPOSERS_POLICY, String::as_str);
        Ok(Self {
            number,
            batch_size,
            admission: Arc::new(admission),
            proposers: bundle.policy(proposers),
            remote_peers: remote_peers(&bundle).into(),
            bundle: Arc::new(bundle),
        })
    }
}

/// The configuration of block `number`, from a serialized [`ConfigEnvelope`].
pub(crate) fn bundle(channel: &str, number: u64, config: Bytes) -> Result<Bundle, ConfigError> {
    let config = ConfigEnvelope::decode(config)?.config;
    let config = config.ok_or(ConfigError::Missing(number))?;
    Ok(Bundle::new(channel, config)?)
}

/// A channel's configuration in force, shared by all who act on it.
#[derive(Clone, Debug)]
pub(crate) struct Current(Arc<RwLock<Arc<InForce>>>);

impl Current {
    pub(crate) fn new(in_force: InForce) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(in_force))))
    }

    pub(crate) fn get(&self) -> Arc<InForce> {
        Arc::clone(&self.0.read())
    }

    /// Reads the configuration that the newest blocks have put in force; `None` if it is unchanged.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub(crate) fn read_again(&self, reader: &Reader) -> Result<Option<Arc<InForce>>, ConfigError> {
        // State has only a configuration that took effect.
        let Some((number, config)) = config_in_state(reader)? else {
            return Ok(None);
        };
        if number == self.get().number {
            return Ok(None);
        }
        let in_force = Arc::new(InForce::new(reader.channel(), number, config)?);
        *self.0.write() = Arc::clone(&in_force);
        Ok(Some(in_force))
    }
}

/// The configuration of a block; `None` if it did not take effect.
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

/// The configuration that a channel has.
#[derive(Clone, Debug, PartialEq)]
pub struct InState {
    /// The block that holds it.
    pub number: u64,
    /// The configuration.
    pub config: Config,
}

/// The configuration that state keeps; `None` if a ledger was imported without one.
///
/// # Errors
/// State cannot be read.
pub fn in_state(reader: &Reader) -> Result<Option<InState>, ReadError> {
    let Some((number, envelope)) = config_in_state(reader)? else {
        return Ok(None);
    };
    let unusable = |error: DecodeError| ReadError::Config(error.to_string());
    let envelope = ConfigEnvelope::decode(envelope).map_err(unusable)?;
    let config = envelope.config;
    Ok(config.map(|config| InState { number, config }))
}

/// The configuration that state keeps, serialized, and the number of its block.
fn config_in_state(reader: &Reader) -> Result<Option<(u64, Bytes)>, ReadError> {
    let value = reader.snapshot().get(CONFIG_NAMESPACE, CONFIG_KEY)?;
    Ok(value.map(|value| (value.version.block, value.value)))
}
