//! Identities on their way from one node of an organisation to another: with their keys, because transaction ids
//! depend on their certificates, and idempotency keys on transaction ids.

use std::fmt;

use quire_disk::{FileError, read_file};
use serde::{Deserialize, Serialize};

use super::{
    CreateIdentityError, LoadIdentityError, MAX_FILE_BYTES, Organization, is_identity_name,
};
use crate::certificate::{Certificate, CertificateError};
use crate::identity::Role;
use crate::key::{Key, KeyError};
use crate::msp::IdentityError;
use crate::sealed::{self, Passphrase, SealError, UnsealError};
use crate::signing::{SigningIdentity, serialize};

/// Those that never move: every node endorses and orders as itself.
pub const NOT_MOVED: [&str; 2] = ["node", "orderer"];

/// Those that move only where they are named: whoever has one changes configurations for the organisation.
pub const MOVED_BY_NAME: [&str; 1] = [super::ADMINISTRATOR];

/// Identities with their keys. `Debug` tells no key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MovedIdentities {
    /// Their organisation.
    pub msp_id: String,
    /// In the order of their names.
    pub identities: Vec<MovedIdentity>,
}

/// One of them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MovedIdentity {
    /// What nodes call it.
    pub name: String,
    /// Its certificate, PEM.
    pub certificate: String,
    /// The key, PEM.
    pub key: String,
}

impl fmt::Debug for MovedIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MovedIdentity")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl MovedIdentities {
    /// The text in which they go from one node to another.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn seal(&self, passphrase: &Passphrase) -> Result<String, SealError> {
        let content = serde_json::to_vec(self).map_err(|_| SealError::System)?;
        sealed::seal(&content, passphrase)
    }

    /// Reads such a text.
    ///
    /// # Errors
    /// See [`UnsealError`].
    pub fn unseal(text: &[u8], passphrase: &Passphrase) -> Result<Self, UnsealError> {
        let content = sealed::unseal(text, passphrase)?;
        // Who sealed it knew the passphrase.
        serde_json::from_slice(&content).map_err(|_| UnsealError::Content)
    }
}

/// What became of identities that were brought in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Arrived {
    /// Those that were not there before.
    pub new: Vec<String>,
    /// Those that were, with the same certificate.
    pub known: Vec<String>,
}

/// Why identities were not put together.
#[derive(Debug, thiserror::Error)]
pub enum ExportIdentityError {
    /// Nobody has that name.
    #[error("there is no identity {0:?}")]
    None(String),
    /// It is the node's alone, perhaps by another name: the node signs for callers too where it was given no client.
    #[error("the identity {0} is this node's own: every node endorses and orders as itself")]
    OfNode(String),
    /// Its files cannot be read, or do not fit together.
    #[error(transparent)]
    Load(#[from] LoadIdentityError),
}

impl From<FileError> for ExportIdentityError {
    fn from(error: FileError) -> Self {
        Self::Load(error.into())
    }
}

/// Why identities were not brought in. All are looked at before the first is kept.
#[derive(Debug, thiserror::Error)]
pub enum MoveIdentityError {
    /// They are of an organisation of another name.
    #[error("these are identities of {found}, and this node's organisation is {expected}")]
    OtherMspId {
        /// Theirs.
        found: String,
        /// This node's.
        expected: String,
    },
    /// The organisation of this name did not make it.
    #[error(
        "the certificate of {name:?} is none of this node's organisation: another one has the same MSP id"
    )]
    OtherOrganization {
        /// Whose.
        name: String,
        /// What is wrong with it here.
        source: IdentityError,
    },
    /// There is no certificate, or it cannot be read.
    #[error("the certificate of {name:?} cannot be read")]
    Certificate {
        /// Whose.
        name: String,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// The key is none, or another's.
    #[error("the key of {name:?} cannot be used")]
    Key {
        /// Whose.
        name: String,
        /// What is wrong with it.
        source: KeyError,
    },
    /// A name is there twice.
    #[error("{0:?} is there twice")]
    Twice(String),
    /// It is a node's alone, by its name or by its role.
    #[error("the identity {0} is a node's own, and goes to no other")]
    OfNode(String),
    /// This node has others of these names, and an identity keeps its certificate.
    #[error(
        "this node has other identities of these names, which it keeps: {}; leave them out of the file",
        .0.join(", ")
    )]
    Others(Vec<String>),
    /// An organisation that was made here calls its identities by their certificates' names.
    #[error("the certificate of {name:?} is for {found:?}")]
    OtherName {
        /// What it is called.
        name: String,
        /// The certificate's common name.
        found: String,
    },
    /// It could not be kept. Those before it are there whole; to bring all in again adds the rest.
    #[error(transparent)]
    Create(#[from] CreateIdentityError),
}

impl From<LoadIdentityError> for MoveIdentityError {
    fn from(error: LoadIdentityError) -> Self {
        Self::Create(error.into())
    }
}

/// An identity that was found to be one of this organisation.
struct Sound<'m> {
    moved: &'m MovedIdentity,
    certificate_pem: String,
}

/// Whether somebody of this role endorses or orders, by whatever name.
fn is_of_a_node(role: Role) -> bool {
    matches!(role, Role::Peer | Role::Orderer)
}

impl Organization {
    /// Puts identities together with their keys: those that are named, or all but the node's own and the
    /// administrator. Changes nothing.
    ///
    /// # Errors
    /// See [`ExportIdentityError`].
    pub fn export_identities(
        &self,
        names: &[String],
    ) -> Result<MovedIdentities, ExportIdentityError> {
        let stays = |name: &str| NOT_MOVED.contains(&name) || MOVED_BY_NAME.contains(&name);
        let mut wanted = names.to_vec();
        if wanted.is_empty() {
            for name in self.identities()? {
                if let Some(identity) = self.identity(&name)?
                    && !stays(&name)
                    && !self.is_this_node(&identity)?
                {
                    wanted.push(name);
                }
            }
        }
        wanted.sort();
        wanted.dedup();
        let moved = wanted.into_iter().map(|name| self.export_identity(name));
        Ok(MovedIdentities {
            msp_id: self.msp_id.clone(),
            identities: moved.collect::<Result<_, _>>()?,
        })
    }

    /// Whether somebody is the node itself: its client is, where a given organisation named nobody else.
    fn is_this_node(&self, identity: &SigningIdentity) -> Result<bool, LoadIdentityError> {
        for name in NOT_MOVED {
            let own = self.identity(name)?;
            if own.is_some_and(|own| own.serialized() == identity.serialized()) {
                return Ok(true);
            }
        }
        Ok(is_of_a_node(identity.role()))
    }

    fn export_identity(&self, name: String) -> Result<MovedIdentity, ExportIdentityError> {
        if NOT_MOVED.contains(&&*name) {
            return Err(ExportIdentityError::OfNode(name));
        }
        let Some(identity) = self.identity(&name)? else {
            return Err(ExportIdentityError::None(name));
        };
        if self.is_this_node(&identity)? {
            return Err(ExportIdentityError::OfNode(name));
        }
        let path = self.identities_folder.join(&name);
        let key = read_file(
            self.disk.as_ref(),
            &path.join("msp/keystore/priv_sk"),
            MAX_FILE_BYTES,
        )?;
        Ok(MovedIdentity {
            certificate: identity.certificate_pem().to_owned(),
            key: String::from_utf8_lossy(&key).into_owned(),
            name,
        })
    }

    /// Brings in identities of other nodes of the organisation, each durable on return. All are looked at before the
    /// first is kept; those that are there with the same certificate are left as they are, so that a call that was
    /// interrupted is made again.
    ///
    /// # Errors
    /// See [`MoveIdentityError`].
    pub fn take_identities(&self, moved: &MovedIdentities) -> Result<Arrived, MoveIdentityError> {
        if moved.msp_id != self.msp_id {
            return Err(MoveIdentityError::OtherMspId {
                found: moved.msp_id.clone(),
                expected: self.msp_id.clone(),
            });
        }
        let sound = moved.identities.iter().map(|one| self.sound(one));
        let sound: Vec<Sound<'_>> = sound.collect::<Result<_, _>>()?;
        let mut names: Vec<&str> = sound.iter().map(|one| &*one.moved.name).collect();
        names.sort_unstable();
        for pair in names.windows(2) {
            if let [one, next] = pair
                && one == next
            {
                return Err(MoveIdentityError::Twice((*one).to_owned()));
            }
        }
        let (mut arrived, mut others, mut missing) = (Arrived::default(), Vec::new(), Vec::new());
        for one in &sound {
            let name = one.moved.name.clone();
            match self.identity(&name)? {
                Some(known) if known.certificate_pem() == one.certificate_pem => {
                    arrived.known.push(name);
                }
                Some(_) => others.push(name),
                None => missing.push(one),
            }
        }
        if !others.is_empty() {
            return Err(MoveIdentityError::Others(others));
        }
        for one in missing {
            self.keep(&one.moved.name, &one.certificate_pem, &one.moved.key)?;
            arrived.new.push(one.moved.name.clone());
        }
        Ok(arrived)
    }

    /// Makes sure that somebody is one of this organisation, with the key to its certificate.
    fn sound<'m>(&self, moved: &'m MovedIdentity) -> Result<Sound<'m>, MoveIdentityError> {
        let name = || moved.name.clone();
        if !is_identity_name(&moved.name) {
            return Err(CreateIdentityError::Name(name()).into());
        }
        if NOT_MOVED.contains(&&*moved.name) {
            return Err(MoveIdentityError::OfNode(name()));
        }
        let certificate = Certificate::from_pem(moved.certificate.as_bytes());
        let certificate = certificate.map_err(|source| MoveIdentityError::Certificate {
            name: name(),
            source,
        })?;
        if self.ca.is_some() && certificate.common_name != moved.name {
            return Err(MoveIdentityError::OtherName {
                name: name(),
                found: certificate.common_name,
            });
        }
        let certificate_pem = certificate.to_pem();
        let valid = self
            .msp
            .validate(&serialize(&self.msp_id, &certificate_pem));
        let valid = valid.map_err(|source| MoveIdentityError::OtherOrganization {
            name: name(),
            source,
        })?;
        if is_of_a_node(valid.role_or_client()) {
            return Err(MoveIdentityError::OfNode(name()));
        }
        let key = Key::from_pem(moved.key.as_bytes()).and_then(|key| {
            let (role, pem) = (valid.role_or_client(), certificate_pem.clone());
            SigningIdentity::new(&self.msp_id, role, &certificate, pem, key)
        });
        key.map_err(|source| MoveIdentityError::Key {
            name: name(),
            source,
        })?;
        Ok(Sound {
            moved,
            certificate_pem,
        })
    }
}
