//! Why the node does not start, or a channel is not made or taken over.

use quire_disk::FileError;
use quire_identity::token::OpenTokensError;
use quire_identity::{LoadIdentityError, OrganizationError};
use quire_ledger::{MigrateError, OpenError, ReadError};
use quire_peer::channel::StartError;

use super::OrderingError;

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
    #[error("the packages of chaincodes cannot be used")]
    Packages(#[from] FileError),
    #[error("the CA does not open")]
    Authority(#[from] quire_ca::OpenError),
    #[error(
        "the organisation was made elsewhere, and its CA's key is not here: --ca-listen cannot be served"
    )]
    NoCaKey,
    #[error("--client-msp needs --msp: both are of one organisation")]
    ClientMspAlone,
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
    #[error(
        "channel {0} is not made here: the orderers of this node's channels are elsewhere; make its block 0 with \
         configtxgen, and join it"
    )]
    NotOrderedHere(String),
    #[error(
        "the blocks of channel {0} were kept by an orderer alone, which judges nothing: there is no state here"
    )]
    OrderersOnly(String),
    #[error("orderers elsewhere make the blocks of channel {0}: this node adds none of its own")]
    FollowsOthers(String),
    #[error("channel {0} has state: an orderer alone keeps channels that it joined as one")]
    HasState(String),
    #[error(transparent)]
    Ordering(#[from] OrderingError),
}

impl NodeError {
    /// The part of it that an operator may have to act on.
    pub(crate) fn open(&self) -> Option<&OpenError> {
        if let Self::Open(open) = self {
            Some(open)
        } else {
            None
        }
    }

    /// Whether an error is one channel's alone: it stays closed, and the others are served. What concerns
    /// the disk, the embedded engine or the state database concerns all of them.
    pub(crate) fn is_of_one_channel(&self) -> bool {
        let Self::Open(open) = self else {
            return matches!(
                self,
                Self::OrderersOnly(_)
                    | Self::FollowsOthers(_)
                    | Self::HasState(_)
                    | Self::Start(
                        StartError::Config { .. }
                            | StartError::Definitions { .. }
                            | StartError::NoOrderers { .. }
                    )
            );
        };
        match open {
            OpenError::Corrupt { .. }
            | OpenError::Ahead { .. }
            | OpenError::IdStore { .. }
            | OpenError::Newer { .. } => true,
            OpenError::Io { source, .. } => !is_of_the_machine(source),
            OpenError::Follow {
                source, on_couchdb, ..
            } => match source {
                ReadError::StateForeign(_)
                | ReadError::StateObstructed { .. }
                | ReadError::StateDocument { .. } => true,
                ReadError::Io { source, .. } => !is_of_the_machine(source),
                ReadError::Corrupt(_)
                | ReadError::DerivedDamaged { .. }
                | ReadError::Missing(_)
                | ReadError::KeyTooLong(_) => !on_couchdb,
                _ => false,
            },
            _ => false,
        }
    }
}

/// Whether the machine lacks something, so that the next channel would fail too.
fn is_of_the_machine(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as E;
    /// Linux's numbers for too many open files, of the system and of the process.
    const TOO_MANY_FILES: [i32; 2] = [23, 24];
    let files = error.raw_os_error();
    files.is_some_and(|code| TOO_MANY_FILES.contains(&code))
        || matches!(
            error.kind(),
            E::StorageFull | E::QuotaExceeded | E::ReadOnlyFilesystem | E::OutOfMemory
        )
}
