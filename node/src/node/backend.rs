//! What the gateway asks of the node.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use quire_chaincode::lifecycle::LifecycleError;
use quire_chaincode::name::check_channel as check_name;
use quire_gateway::backend::{
    AuthenticateError, Backend, BuildInfo, CreateChannelError, Credential, FailedCheck,
    InvalidLogSpec,
};
use quire_gateway::backups::Backups;
use quire_gateway::chaincodes::{
    DefinedChaincode, DeployChaincodeError, DeployedChaincode, Deployment,
};
use quire_gateway::joining::{AdmitNodeError, GrantedAdmission, WantedAdmission};
use quire_gateway::metrics::BlockStreams;
use quire_gateway::{Caller, ClientCertificate};
use quire_identity::token::NotAuthenticated;
use quire_identity::{SigningIdentity, Token};
use quire_ledger::{CommitError, Corruption, OpenError, ReadError};
use quire_peer::Channel;
use quire_wire::tx_id::NONCE_BYTES;
use tokio::sync::watch;

use super::error::NodeError;
use super::{Node, Wanted, build_info};
use crate::clock;
use crate::random::random_nonce;

/// Damaged blocks of a channel that are told one by one.
const TOLD_DAMAGE: usize = 10;

impl Backend for Node {
    fn build(&self) -> BuildInfo {
        build_info()
    }

    fn registry(&self) -> prometheus::Registry {
        self.metrics.registry.clone()
    }

    fn block_streams(&self) -> Option<BlockStreams> {
        Some(self.metrics.streams.blocks.clone())
    }

    fn counts(&self) -> bool {
        self.counts
    }

    fn channels(&self) -> Vec<String> {
        self.channels.read().keys().cloned().collect()
    }

    fn channel(&self, name: &str) -> Option<Channel> {
        self.channels
            .read()
            .get(name)
            .map(|open| open.channel.clone())
    }

    fn create_channel(&self, name: &str) -> Result<(), CreateChannelError> {
        check_name(name).map_err(|error| CreateChannelError::InvalidName(error.to_string()))?;
        self.create(name).map_err(|error| match error {
            NodeError::Open(OpenError::Exists(name)) => CreateChannelError::Exists(name),
            error @ NodeError::NotOrderedHere(_) => CreateChannelError::NotHere(error.to_string()),
            // Not its disk: the operator has to look elsewhere.
            NodeError::Open(
                OpenError::Follow { source, .. }
                | OpenError::Create {
                    source: CommitError::Waiting(source) | CommitError::Judge(source),
                    ..
                },
            ) if source.is_unavailable() || matches!(source, ReadError::StateForeign(_)) => {
                CreateChannelError::State {
                    name: name.to_owned(),
                    source,
                }
            }
            other => CreateChannelError::StorageFailed {
                name: name.to_owned(),
                source: Box::new(other),
            },
        })
    }

    fn chaincodes(&self, channel: &Channel) -> Result<Vec<DefinedChaincode>, LifecycleError> {
        self.defined(channel)
    }

    fn deploy(
        &self,
        channel: &Channel,
        wanted: Deployment,
    ) -> Result<DeployedChaincode, DeployChaincodeError> {
        Ok(Self::deploy(self, &Wanted::of(&channel.name, wanted))?)
    }

    fn backups(&self) -> std::io::Result<Option<Backups>> {
        let told = self.backups().map(crate::backup::Backups::told);
        told.transpose().map_err(std::io::Error::other)
    }

    fn want_backup(&self) -> bool {
        let backups = self.backups();
        backups.is_some_and(|backups| {
            backups.wanted.notify_one();
            true
        })
    }

    fn closed_channels(&self) -> Vec<FailedCheck> {
        let closed = self.closed.read();
        let closed = closed.iter().map(|(name, reason)| FailedCheck {
            component: name.clone(),
            reason: reason.clone(),
        });
        closed.collect()
    }

    fn failed_checks(&self) -> Vec<FailedCheck> {
        let channels = self.channels.read();
        let failed = channels.iter().filter_map(|(name, open)| {
            let stopped = open.failure();
            // Known once is enough.
            let away = || open.channel.reader.state_trouble();
            let away =
                || away().map(|reason| format!("the state database cannot be used: {reason}"));
            stopped.or_else(away).map(|reason| FailedCheck {
                component: format!("channel {name}"),
                reason,
            })
        });
        failed.collect()
    }

    fn damaged_blocks(&self) -> Vec<FailedCheck> {
        let channels = self.channels.read();
        let met = channels.iter().filter_map(|(name, open)| {
            Some(FailedCheck {
                component: format!("channel {name}"),
                reason: told_damage(name, &open.channel.reader.damage(), &self.data)?,
            })
        });
        met.collect()
    }

    fn ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    fn log_spec(&self) -> String {
        self.logging.spec()
    }

    fn set_log_spec(&self, spec: &str) -> Result<(), InvalidLogSpec> {
        self.logging.set(spec)
    }

    fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    fn default_identity(&self) -> Arc<SigningIdentity> {
        Arc::clone(&self.client)
    }

    fn authentication_required(&self) -> bool {
        self.tokens.are_required()
    }

    fn authenticate(&self, credential: Credential<'_>) -> Result<Caller, AuthenticateError> {
        let now = clock::now();
        let token = match credential {
            Credential::Token(token) => self.tokens.authenticate(token, now)?,
            Credential::Certificate(name) => match self.tokens.of_certificate(name, now) {
                Err(NotAuthenticated::Unknown) => {
                    return Err(AuthenticateError::NoRights(name.to_owned()));
                }
                found => found?,
            },
        };
        let failed = |error| AuthenticateError::Failed(Box::new(error));
        let identity = self.organization.identity(&token.identity);
        let identity = identity.map_err(|error| failed(NodeError::Identity(error)))?;
        let missing = || failed(NodeError::NoIdentity(token.identity.clone()));
        Ok(Caller {
            identity: identity.ok_or_else(missing)?,
            token: Some(token),
            certificate: None,
        })
    }

    fn has_revoked(&self, certificate: &ClientCertificate) -> bool {
        self.authority.as_ref().is_some_and(|authority| {
            let mut chain = certificate.chain.iter();
            chain.any(|one| authority.has_revoked(&one.serial, &one.authority_key_id))
        })
    }

    fn still_holds(&self, token: &Arc<Token>) -> bool {
        self.tokens.still_hold(token, clock::now())
    }

    fn is_invited(&self, token: &str) -> bool {
        self.knows_invitation(token)
    }

    fn admit(
        &self,
        token: &str,
        wanted: &WantedAdmission,
    ) -> Result<GrantedAdmission, AdmitNodeError> {
        self.admit_node(token, wanted)
    }

    fn now(&self) -> SystemTime {
        clock::now()
    }

    fn random_nonce(&self) -> [u8; NONCE_BYTES] {
        random_nonce()
    }
}

/// What is told of damaged blocks that reads of a channel have met, and what to do about them; none where
/// there are none.
fn told_damage(channel: &str, damage: &[Corruption], data: &Path) -> Option<String> {
    let told = damage.iter().take(TOLD_DAMAGE).map(Corruption::to_string);
    let mut told: Vec<String> = told.collect();
    let more = damage.len().saturating_sub(told.len());
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    let is = match damage.len() {
        0 => return None,
        1 => "a block is damaged".to_owned(),
        count => format!("{count} blocks are damaged"),
    };
    let (told, data) = (told.join("; "), data.display());
    Some(format!(
        "{is}, all others are served: {told}. Next: `quire check --channel \
         {channel} --data {data}`; then, with the node stopped, `quire repair --channel {channel} --from \
         COPY --data {data}`"
    ))
}
