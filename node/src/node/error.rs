//! Why the node does not start, or a channel is not made or taken over.

use quire_identity::token::OpenTokensError;
use quire_identity::{LoadIdentityError, OrganizationError};
use quire_ledger::{MigrateError, OpenError};
use quire_peer::channel::StartError;

/// Why a channel was not taken over, or not started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    #[error(transparent)]
    Import(#[from] quire_ledger::ImportError),
    #[error("the channel was imported, but does not start")]
    Start(#[from] NodeError),
}

impl From<OpenError> for ImportError {
    fn from(error: OpenError) -> Self {
        Self::Import(error.into())
    }
}

/// Why the node does not start, or a channel is not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NodeError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the organisation does not open")]
    Organization(#[from] OrganizationError),
    #[error("the tokens cannot be read")]
    Tokens(#[from] OpenTokensError),
    #[error("an identity does not open")]
    Identity(#[from] LoadIdentityError),
    #[error("the node has no identity {0}")]
    NoIdentity(String),
    #[error("channel {channel} does not get its query indexes")]
    Migrate {
        channel: String,
        source: MigrateError,
    },
    #[error(transparent)]
    Start(#[from] StartError),
}
