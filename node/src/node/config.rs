//! A channel's configuration: shown, signed for as the organisation's administrator, and changed.

use bytes::Bytes;
use quire_gateway::backend::Backend as _;
use quire_identity::CreateIdentityError;
use quire_identity::config::{sign_update, update_envelope};
use quire_ledger::ReadError;
use quire_peer::config::{InState, in_state};
use quire_peer::{Channel, SubmitError};
use quire_wire::config::ConfigUpdateEnvelope;

use super::Node;
use crate::clock;
use crate::random::random_nonce;

/// Why a configuration was not shown, signed for or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigurationError {
    #[error("there is no channel {0}, or it is not open")]
    NoChannel(String),
    #[error("the channel's state holds no configuration")]
    NoConfiguration,
    #[error("the configuration cannot be read")]
    Read(#[from] ReadError),
    #[error("the organisation has no administrator")]
    Administrator(#[from] CreateIdentityError),
    #[error("the update was refused")]
    Refused(#[from] SubmitError),
    #[error(
        "another configuration came before this one, or the channel stopped: compute the update again"
    )]
    Overtaken,
    #[error("the configuration is in block {0} and not in force: {1}")]
    Invalid(u64, quire_wire::Code),
}

impl Node {
    /// The configuration that a channel has.
    pub(crate) fn configuration(&self, channel: &str) -> Result<InState, ConfigurationError> {
        let channel = self.served_channel(channel)?;
        in_state(&channel.reader)?.ok_or(ConfigurationError::NoConfiguration)
    }

    /// Adds the signature of the organisation's administrator.
    pub(crate) fn sign_update(
        &self,
        update: &mut ConfigUpdateEnvelope,
    ) -> Result<(), ConfigurationError> {
        let administrator = self.organization.administrator(clock::now())?;
        sign_update(update, &administrator, &random_nonce());
        Ok(())
    }

    /// Hands an update in, and waits until its configuration is in force.
    pub(crate) fn submit_update(
        &self,
        channel: &str,
        update: &ConfigUpdateEnvelope,
    ) -> Result<InState, ConfigurationError> {
        let now = clock::now();
        let creator = self.organization.administrator(now)?;
        let envelope: Bytes = update_envelope(channel, update, &creator, &random_nonce(), now);
        self.order_update(channel, envelope)
    }

    /// Hands in an update in the envelope that somebody else signed, and waits until its configuration is in
    /// force.
    pub(crate) fn order_update(
        &self,
        channel: &str,
        envelope: Bytes,
    ) -> Result<InState, ConfigurationError> {
        let open = self.served_channel(channel)?;
        let outcome = open.submitter.order(envelope)?.blocking_recv();
        let outcome = outcome.map_err(|_| ConfigurationError::Overtaken)??;
        if !outcome.code.is_valid() {
            return Err(ConfigurationError::Invalid(outcome.block, outcome.code));
        }
        self.configuration(channel)
    }

    fn served_channel(&self, name: &str) -> Result<Channel, ConfigurationError> {
        let channel = self.channel(name);
        channel.ok_or_else(|| ConfigurationError::NoChannel(name.to_owned()))
    }
}
