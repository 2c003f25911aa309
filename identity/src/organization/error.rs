//! What can go wrong with the organisation and its identities.

use std::path::PathBuf;

use quire_disk::FileError;

use super::{MAX_MSP_ID_CHARS, MAX_NAME_CHARS};
use crate::authority::IssueError;
use crate::certificate::CertificateError;
use crate::key::KeyError;
use crate::msp::folder::{FolderError, SignerError, WriteError};
use crate::msp::{IdentityError, MspError};

/// Why the organisation could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OrganizationError {
    /// A file or folder failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The MSP id is not 1 to [`MAX_MSP_ID_CHARS`] of `a-z A-Z 0-9 . -`, a letter or digit first.
    #[error(
        "{0:?} cannot be an MSP id: that has 1 to {MAX_MSP_ID_CHARS} of a-z A-Z 0-9 . - and begins with \
         a letter or digit"
    )]
    MspId(String),
    /// The data directory belongs to an organisation with another MSP id; that of an organisation
    /// never changes.
    #[error("{} belongs to the organisation {found:?}, not {expected:?}", path.display())]
    OtherOrganization {
        /// The organisation's folder.
        path: PathBuf,
        /// The MSP id that was asked for.
        expected: String,
        /// The MSP id in the CA's certificate.
        found: String,
    },
    /// Part of an organisation that was at work is gone: restore it. A new one could not stand for
    /// it.
    #[error("{} is missing: what was made before it was lost depends on it", path.display())]
    Missing {
        /// What is missing.
        path: PathBuf,
    },
    /// The CA's certificate cannot be read.
    #[error("{} cannot be used", path.display())]
    Certificate {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// The CA's key cannot be read, or is not the one of its certificate.
    #[error("{} cannot be used", path.display())]
    Key {
        /// The key's file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// The CA's certificate makes no organisation.
    #[error("{} makes no organisation", path.display())]
    Msp {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong with it.
        source: MspError,
    },
    /// A folder holds no organisation that could be taken.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Nobody can sign with what is in a folder.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The organisation could not be kept here.
    #[error("the organisation could not be copied")]
    Write(#[from] WriteError),
    /// An organisation was given, and this one was made here.
    #[error("{} is an organisation that was made here: another cannot take its place", path.display())]
    MadeHere {
        /// The organisation's folder.
        path: PathBuf,
    },
    /// Another organisation was given than the one that is there.
    #[error(
        "{} is not the organisation that was given when the data directory was made, or not as it was then",
        path.display()
    )]
    OtherGiven {
        /// The folder that was given.
        path: PathBuf,
    },
    /// Somebody else was given than who is there.
    #[error(
        "the certificate in {} is not the one that was given for {name:?} when the data directory was made",
        path.display()
    )]
    OtherMember {
        /// The identity.
        name: String,
        /// The folder that was given.
        path: PathBuf,
    },
    /// A node began to join an organisation there, and was interrupted.
    #[error("{} is of a node that has not yet joined its organisation as a whole", path.display())]
    Joining {
        /// The data directory.
        path: PathBuf,
    },
    /// A certificate could not be made.
    #[error("the organisation could not be made")]
    Issue(#[from] IssueError),
    /// One of the node's own identities could not be made.
    #[error("the node's own identity could not be made")]
    Create(#[from] CreateIdentityError),
    /// One of the node's own identities could not be read.
    #[error("the node's own identity could not be read")]
    Load(#[from] LoadIdentityError),
}

/// Why an identity could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadIdentityError {
    /// A file or folder failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The certificate cannot be read.
    #[error("{} cannot be used", path.display())]
    Certificate {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// The key cannot be read, or is not the one of the certificate.
    #[error("{} cannot be used", path.display())]
    Key {
        /// The key's file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// The certificate is not one of the node's organisation.
    #[error("{} is no certificate of this organisation", path.display())]
    Invalid {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong with it.
        source: IdentityError,
    },
    /// The folder was renamed, or files were moved into it.
    #[error("{} is the certificate of {found:?}", path.display())]
    OtherName {
        /// The certificate's file.
        path: PathBuf,
        /// The common name in it.
        found: String,
    },
}

/// Why an identity could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateIdentityError {
    /// A file or folder failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not 1 to [`MAX_NAME_CHARS`] of `a-z A-Z 0-9 . _ - @`, a letter or digit first.
    #[error(
        "{0:?} cannot be the name of an identity: that has 1 to {MAX_NAME_CHARS} of a-z A-Z 0-9 . _ - @ \
         and begins with a letter or digit"
    )]
    Name(String),
    /// There is one of that name, and it keeps its certificate.
    #[error("there is an identity {0:?} already")]
    Exists(String),
    /// The organisation was made elsewhere, and so are its members.
    #[error(
        "this node cannot make {0:?}: its organisation was made elsewhere, and so was the CA; what another \
         tool made is brought in with `quire identity import`"
    )]
    NoCa(String),
    /// A certificate could not be made.
    #[error("the certificate of {name:?} could not be made")]
    Issue {
        /// The identity.
        name: String,
        /// What failed.
        source: IssueError,
    },
    /// What was made cannot be read back.
    #[error(transparent)]
    Load(#[from] LoadIdentityError),
}

/// Why an identity could not be brought in.
#[derive(Debug, thiserror::Error)]
pub enum ImportIdentityError {
    /// The name cannot be one, or is another's, or files failed.
    #[error(transparent)]
    Create(#[from] CreateIdentityError),
    /// Nobody of this organisation can sign with what is in the folder.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The organisation makes its members itself.
    #[error("the organisation was made here, and makes its identities itself")]
    MadeHere,
}

impl From<LoadIdentityError> for ImportIdentityError {
    fn from(error: LoadIdentityError) -> Self {
        Self::Create(error.into())
    }
}

impl From<FileError> for ImportIdentityError {
    fn from(error: FileError) -> Self {
        Self::Create(error.into())
    }
}
