//! What the gateway asks of the node.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use quire_chaincode::lifecycle::LifecycleError;
use quire_identity::token::NotAuthenticated;
use quire_identity::{SigningIdentity, Token};
use quire_ledger::ReadError;
use quire_peer::Channel;
use quire_wire::tx_id::NONCE_BYTES;
use tokio::sync::watch;

use crate::access::caller::Caller;
use crate::backups::Backups;
use crate::chaincodes::{DefinedChaincode, DeployChaincodeError, DeployedChaincode, Deployment};
use crate::joining::{AdmitNodeError, GrantedAdmission, WantedAdmission};
use crate::metrics::BlockStreams;
use crate::server::client_info::ClientCertificate;

/// The node behind the gateway.
pub trait Backend: Send + Sync + 'static {
    /// What the node runs.
    fn build(&self) -> BuildInfo;

    /// The names of all channels, sorted.
    fn channels(&self) -> Vec<String>;

    /// A channel by its name. Never blocks.
    fn channel(&self, name: &str) -> Option<Channel>;

    /// The channels that did not open when the node started, each with its name and the reason. They are not
    /// among [`Self::channels`], which are served anyway.
    fn closed_channels(&self) -> Vec<FailedCheck> {
        Vec::new()
    }

    /// Creates a channel; it is durable and open when this returns. Blocks.
    ///
    /// # Errors
    /// See [`CreateChannelError`].
    fn create_channel(&self, name: &str) -> Result<(), CreateChannelError>;

    /// The chaincodes that a channel defines, by name. Blocks.
    ///
    /// # Errors
    /// The ledger could not be read, or holds what is no definition.
    fn chaincodes(&self, _channel: &Channel) -> Result<Vec<DefinedChaincode>, LifecycleError> {
        Ok(Vec::new())
    }

    /// Installs a chaincode, approves it for the node's organisation, and commits its definition if that suffices.
    /// Blocks until all of it is in force.
    ///
    /// # Errors
    /// See [`DeployChaincodeError`].
    fn deploy(
        &self,
        _channel: &Channel,
        _wanted: Deployment,
    ) -> Result<DeployedChaincode, DeployChaincodeError> {
        Err(DeployChaincodeError::NoHost)
    }

    /// The backups that the node makes by itself; `None` if it makes none. Blocks.
    ///
    /// # Errors
    /// Their folder cannot be listed.
    fn backups(&self) -> io::Result<Option<Backups>> {
        Ok(None)
    }

    /// Makes a backup begin, now or when the one that is under way has ended. Returns whether the node makes any.
    fn want_backup(&self) -> bool {
        false
    }

    /// What keeps the node from its work now; empty if nothing does.
    fn failed_checks(&self) -> Vec<FailedCheck>;

    /// The channels in which reads have met damaged blocks. Each names the blocks and says what to do. Those
    /// blocks are refused, and everything else is served.
    fn damaged_blocks(&self) -> Vec<FailedCheck> {
        Vec::new()
    }

    /// Whether the node takes requests: false while it starts and while it stops.
    fn ready(&self) -> bool;

    /// Becomes true when the node is asked to stop: then streams end, and nobody waits for long.
    fn stopping(&self) -> watch::Receiver<bool>;

    /// Which levels are logged, in Fabric's notation: `info`, `gateway=debug:warn`.
    fn log_spec(&self) -> String;

    /// Changes immediately which levels are logged.
    ///
    /// # Errors
    /// The text is not in that notation.
    fn set_log_spec(&self, spec: &str) -> Result<(), InvalidLogSpec>;

    /// The identity of callers that show no credential.
    fn default_identity(&self) -> Arc<SigningIdentity>;

    /// Whether callers must show a credential, which is so once a token was made.
    fn authentication_required(&self) -> bool;

    /// Finds out whose credential this is, and its rights. Reads a few files the first time an identity is
    /// met.
    ///
    /// # Errors
    /// See [`AuthenticateError`].
    fn authenticate(&self, credential: Credential<'_>) -> Result<Caller, AuthenticateError>;

    /// Whether a token that [`Self::authenticate`] gave is still valid: not revoked, rotated or expired
    /// since. Never blocks: an open stream asks before each piece.
    fn still_holds(&self, token: &Arc<Token>) -> bool;

    /// Whether a client certificate, or a certificate in its chain, was revoked. Never blocks.
    fn has_revoked(&self, _certificate: &ClientCertificate) -> bool {
        false
    }

    /// The registry for the gateway's metrics, which `/metrics` shows.
    fn registry(&self) -> prometheus::Registry {
        prometheus::Registry::new()
    }

    /// Counters of streams of blocks that the node shares with the gateway, if it has them.
    fn block_streams(&self) -> Option<BlockStreams> {
        None
    }

    /// Whether requests are counted; if not, `/metrics` is not found.
    fn counts(&self) -> bool {
        true
    }

    /// Whether a token is that of an invitation that can still be used. Never blocks.
    fn is_invited(&self, _token: &str) -> bool {
        false
    }

    /// Admits another node of the organisation, by its invitation. Blocks.
    ///
    /// # Errors
    /// See [`AdmitNodeError`].
    fn admit(
        &self,
        _token: &str,
        _wanted: &WantedAdmission,
    ) -> Result<GrantedAdmission, AdmitNodeError> {
        Err(AdmitNodeError::NotInvited)
    }

    /// The clock.
    fn now(&self) -> SystemTime;

    /// Fresh randomness, for nonces and request ids.
    fn random_nonce(&self) -> [u8; NONCE_BYTES];
}

/// What a caller shows to prove who it is.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// A token.
    Token(&'a str),
    /// The common name of a valid client certificate.
    Certificate(&'a str),
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token(..)"),
            Self::Certificate(name) => f.debug_tuple("Certificate").field(name).finish(),
        }
    }
}

/// Why a credential is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticateError {
    /// It is not valid, or not any more. The caller gets another one.
    #[error(transparent)]
    Not(#[from] NotAuthenticated),
    /// The certificate is valid, but nobody said what its identity may do. The operator makes a token for it.
    #[error("no token was made for certificates of {0}")]
    NoRights(String),
    /// The identity's files failed. The operator looks at them.
    #[error("the identity of a token cannot be used")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What `/version` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildInfo {
    /// The release, such as `1.2.3`.
    pub version: String,
    /// The commit it was built from.
    pub commit: String,
}

/// A reason why the node is not healthy, in Fabric's shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedCheck {
    /// What has failed, such as `channel main`.
    pub component: String,
    /// The reason.
    pub reason: String,
}

/// What is wrong with a log specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidLogSpec(pub String);

/// Why a channel was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateChannelError {
    /// A channel of that name exists. The caller picks another name.
    #[error("channel {0} exists")]
    Exists(String),
    /// The name breaks the rules for names. The caller picks another name.
    #[error("{0}")]
    InvalidName(String),
    /// The node makes no channels: its orderers are elsewhere. The caller joins one.
    #[error("{0}")]
    NotHere(String),
    /// The state database is unavailable, or cannot be used. The operator looks at it.
    #[error("channel {name} could not be begun")]
    State {
        /// The channel.
        name: String,
        /// What is wrong with it.
        #[source]
        source: ReadError,
    },
    /// The disk failed. The operator looks at the log.
    #[error("channel {name} could not be stored")]
    StorageFailed {
        /// The channel.
        name: String,
        /// What failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
