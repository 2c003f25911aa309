//! Whose folder it is: a certificate and the key to it.

use std::path::PathBuf;
use std::time::SystemTime;

use super::files::Files;
use super::{FolderError, MspFolder, read_list};
use crate::certificate::Certificate;
use crate::key::{Key, KeyError};
use crate::msp::{IdentityError, Msp};
use crate::signature::PublicKey;
use crate::signing::{SigningIdentity, serialize};

/// Why nobody can sign with what is in a folder.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// Files cannot be read, or there is no certificate.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The certificate is not one of the organisation.
    #[error("the certificate in {} is none of the organisation", path.display())]
    Identity {
        /// The folder of the certificate.
        path: PathBuf,
        /// What is wrong with it.
        source: IdentityError,
    },
    /// The certificate's time is over.
    #[error("the certificate in {} has expired", path.display())]
    Expired {
        /// The folder of the certificate.
        path: PathBuf,
    },
    /// The certificate's key is of a kind that this node cannot sign with.
    #[error("the certificate in {} has a key that is not ECDSA's on P-256", path.display())]
    KeyKind {
        /// The folder of the certificate.
        path: PathBuf,
    },
    /// No file holds the certificate's key.
    #[error("{} has no key that belongs to the certificate", path.display())]
    NoKey {
        /// The folder of keys.
        path: PathBuf,
    },
}

impl MspFolder {
    /// Whoever's folder it is, ready to sign. It need not be valid by the organisation's rules, as in
    /// Fabric: others judge that. One that is neither of a kind nor an administrator counts as a client.
    ///
    /// # Errors
    /// If Fabric could not sign with it either, or its key is not on P-256.
    pub fn signer(&self, msp: &Msp, now: SystemTime) -> Result<SigningIdentity, SignerError> {
        self.signer_with_key(msp, now).map(|(signer, _)| signer)
    }

    /// The same with the file that holds its key.
    pub(crate) fn signer_with_key(
        &self,
        msp: &Msp,
        now: SystemTime,
    ) -> Result<(SigningIdentity, Vec<u8>), SignerError> {
        let path = self.path.join("signcerts");
        let found = read_list(Files::Given, &path, &mut Vec::new())?;
        let Some(pem) = found.into_iter().flatten().next() else {
            return Err(FolderError::NoCertificate { path }.into());
        };
        let identity = Certificate::from_pem(&pem)
            .map_err(IdentityError::from)
            .and_then(|certificate| msp.deserialize(&serialize(msp.id(), &certificate.to_pem())));
        let identity = match identity {
            Ok(identity) => identity,
            Err(source) => return Err(SignerError::Identity { path, source }),
        };
        let certificate = &identity.certificate;
        let public_key = certificate.public_key().and_then(PublicKey::p256_point);
        let Some(public_key) = public_key else {
            return Err(SignerError::KeyKind { path });
        };
        let (key, key_pem) = self.key_of(public_key)?;
        if identity.has_expired_at(now) {
            return Err(SignerError::Expired { path });
        }
        let role = identity.role_or_client();
        let pem = certificate.to_pem();
        let signer = SigningIdentity::new(msp.id(), role, certificate, pem, key);
        signer
            .map(|signer| (signer, key_pem))
            .map_err(|_| self.no_key())
    }

    /// The key in the folder of keys that belongs to this point, whatever its file is called; and that file.
    fn key_of(&self, public_key: &[u8]) -> Result<(Key, Vec<u8>), SignerError> {
        let folder = self.path.join("keystore");
        for name in Files::Given.names_in(&folder)?.into_iter().flatten() {
            let Ok(Some(content)) = Files::Given.read(&folder.join(name)) else {
                continue;
            };
            let key: Result<Key, KeyError> = Key::from_pem(&content);
            match key {
                Ok(key) if key.public_point() == public_key => return Ok((key, content)),
                _ => {}
            }
        }
        Err(self.no_key())
    }

    fn no_key(&self) -> SignerError {
        SignerError::NoKey {
            path: self.path.join("keystore"),
        }
    }
}
