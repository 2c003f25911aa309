//! The CA of an organisation that this node made: the certificate, and the key that never leaves the data
//! directory.

use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use quire_disk::{Disk, create_folder, read_file};

use super::value::CONFIG_YAML;
use super::{MAX_FILE_BYTES, OrganizationError, file, read_certificate};
use crate::authority::{IssueError, Issued, certify, found_authority, issue};
use crate::certificate::Certificate;
use crate::identity::Role;
use crate::key::{Key, KeyError, Point};
use crate::signature::PublicKey;

/// The organisation's own CA.
pub struct OrganizationCa {
    msp_id: String,
    certificate: Certificate,
    certificate_pem: String,
    key: Key,
}

impl std::fmt::Debug for OrganizationCa {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("OrganizationCa")
            .field("name", &self.certificate.common_name)
            .finish_non_exhaustive()
    }
}

impl OrganizationCa {
    pub(super) fn open(
        disk: &dyn Disk,
        folder: &Path,
        msp_id: &str,
    ) -> Result<Self, OrganizationError> {
        let path = folder.join("ca/ca-cert.pem");
        let (certificate, certificate_pem) = match read_certificate(disk, &path)? {
            Ok(read) => read,
            Err(source) => return Err(OrganizationError::Certificate { path, source }),
        };
        let path = folder.join("ca/priv_sk");
        let key_pem = read_file(disk, &path, MAX_FILE_BYTES)?;
        let point = certificate.public_key().and_then(PublicKey::p256_point);
        let key = Key::from_pem(&key_pem)
            .and_then(|key| {
                let belongs = point == Some(key.public_point());
                belongs.then_some(key).ok_or(KeyError::OfAnotherCertificate)
            })
            .map_err(|source| OrganizationError::Key { path, source })?;
        if certificate.organization != msp_id {
            return Err(OrganizationError::OtherOrganization {
                path: folder.to_path_buf(),
                expected: msp_id.to_owned(),
                found: certificate.organization,
            });
        }
        Ok(Self {
            msp_id: msp_id.to_owned(),
            certificate,
            certificate_pem,
            key,
        })
    }

    /// Its certificate, in PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Its signature, for who writes its certificates and revocation lists: ECDSA with SHA-256, in DER with a
    /// low S.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Bytes {
        self.key.sign(message)
    }

    pub(super) fn issue(
        &self,
        name: &str,
        role: Role,
        now: SystemTime,
    ) -> Result<Issued, IssueError> {
        issue(&self.msp_id, self.signer(), name, role, now)
    }

    /// A certificate for a key that stays where it is, in PEM.
    pub(super) fn certify(
        &self,
        name: &str,
        role: Role,
        point: &[u8],
        now: SystemTime,
    ) -> Result<String, IssueError> {
        let key = Point::new(point).ok_or(IssueError::KeyKind)?;
        certify(&self.msp_id, self.signer(), name, role, &key, now)
    }

    /// Its key, and when its certificate begins.
    fn signer(&self) -> (&Key, i64) {
        (&self.key, self.certificate.not_before)
    }
}

/// Makes an organisation with a CA.
pub(super) fn create(
    disk: &dyn Disk,
    folder: &Path,
    msp_id: &str,
    now: SystemTime,
) -> Result<(), OrganizationError> {
    let issued = found_authority(msp_id, now)?;
    create_folder(
        disk,
        folder,
        &[
            file("msp/cacerts/ca-cert.pem", &issued.certificate_pem),
            file("msp/config.yaml", CONFIG_YAML),
            file("ca/ca-cert.pem", &issued.certificate_pem),
            file("ca/priv_sk", &issued.key_pem),
        ],
    )?;
    tracing::info!(msp_id, folder = %folder.display(), "made the organisation");
    Ok(())
}
