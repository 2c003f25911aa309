//! What can go wrong with tokens.

use std::path::PathBuf;

use quire_disk::FileError;

#[cfg(doc)]
use super::MAX_TOKENS;

/// Why the tokens of a node cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenTokensError {
    /// The file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not what this release writes: restore it from a copy.
    #[error("{} holds no tokens", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: TokenFileError,
    },
    /// There was a file, and callers had to show what is in it: restore it from a copy, or make tokens
    /// anew.
    #[error("{} is missing, though {reason}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What tells that it was there.
        reason: String,
    },
}

/// What is wrong with a file of tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It does not parse.
    #[error("it does not parse")]
    Json(#[from] serde_json::Error),
    /// A newer release wrote it.
    #[error("it has version {0}, and this release knows version 1 only")]
    Version(u64),
    /// A token in it cannot be one.
    #[error("the token {id:?} has an impossible {member}")]
    Member {
        /// The token's id as it stands there.
        id: String,
        /// Which of its members.
        member: &'static str,
    },
    /// Two tokens with one id.
    #[error("the token {0:?} stands twice")]
    Twice(String),
}

/// Why a token was not made, rotated or revoked.
#[derive(Debug, thiserror::Error)]
pub enum ChangeTokenError {
    /// There is none of that id; `quire token list` tells those there are.
    #[error("there is no token {0:?}")]
    NoSuchToken(String),
    /// Its holder shows a certificate: rotate that with whoever issues it.
    #[error("the token {0:?} has no secret: its holder shows a client certificate")]
    NoSecret(String),
    /// The identity has one for its certificate already: revoke that first.
    #[error("client certificates of {0:?} have a token already")]
    CertificateTaken(String),
    /// There are [`MAX_TOKENS`]: revoke those that are no longer needed.
    #[error("there are too many tokens")]
    TooMany,
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    NoRandomness,
    /// The tokens cannot be written as text.
    #[error("the tokens cannot be written down")]
    Render(#[from] serde_json::Error),
    /// The file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Why a credential is not good. The holder gets another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAuthenticated {
    /// No such token: never made, rotated or revoked.
    #[error("The token is unknown, or was rotated or revoked.")]
    Unknown,
    /// Its time is over.
    #[error("The token has expired.")]
    Expired,
}
