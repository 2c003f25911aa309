//! An organisation whose CA is at another node: this one makes keys, the other one certificates for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quire_disk::{Disk, FileError, NewFile, create_folder, read_file, remove_leftover};
use quire_wire::msp::FabricMspConfig;
use rcgen::CertificateParams;

use super::given::keep;
use super::{
    CreateIdentityError, MAX_FILE_BYTES, MoveIdentityError, MovedIdentities, OWN_IDENTITIES,
    Organization, OrganizationError, check_msp_id,
};
use crate::certificate::{Certificate, CertificateError};
use crate::files::exists;
use crate::identity::Role;
use crate::key::{Key, KeyError};
use crate::msp::{IdentityError, Msp, MspVersion};
use crate::signing::{SigningIdentity, serialize};

/// Where the keys are until the organisation is there.
pub(super) const FOLDER: &str = "joining";
/// Where they are while they are removed, one by one: nobody takes some of them for all. A start removes what a
/// crash left there.
const ENDED: &str = ".joining.new";

/// The keys for which certificates are asked. They are kept before anybody is asked, so that who was interrupted asks
/// for the same ones again.
pub struct Joiner {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    /// In the order of [`OWN_IDENTITIES`].
    keys: Vec<(&'static str, Key, String)>,
}

impl std::fmt::Debug for Joiner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Joiner")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// What the node with the CA answers.
#[derive(Clone, Debug)]
pub struct Admission {
    /// What others know the organisation by.
    pub organization: FabricMspConfig,
    /// The certificates, PEM, by the names in [`OWN_IDENTITIES`].
    pub certificates: BTreeMap<String, String>,
}

/// Why an organisation was not joined.
#[derive(Debug, thiserror::Error)]
pub enum JoinOrganizationError {
    /// Files failed, or there is another organisation.
    #[error(transparent)]
    Organization(#[from] OrganizationError),
    /// The keys could not be made.
    #[error("the keys of this node could not be made")]
    Keys(#[source] rcgen::Error),
    /// A key that was kept cannot be read. Nobody has a certificate for it: what is there may be removed.
    #[error("{} cannot be used", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// The organisation that was answered makes none.
    #[error("what was answered is no organisation")]
    Msp(#[source] crate::MspError),
    /// A certificate is missing in the answer.
    #[error("the answer has no certificate for {0}")]
    NoCertificate(&'static str),
    /// A certificate in the answer is no certificate.
    #[error("the certificate for {name} cannot be read")]
    Certificate {
        /// Whose.
        name: &'static str,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// The organisation in the answer does not stand for a certificate in it.
    #[error("the certificate for {name} is none of the organisation")]
    Identity {
        /// Whose.
        name: &'static str,
        /// What is wrong with it.
        source: IdentityError,
    },
    /// A certificate is for another kind of member.
    #[error("the certificate for {0} is for another kind of member")]
    Role(&'static str),
    /// A certificate is for another key.
    #[error("the certificate for {name} is for another key")]
    OtherKey {
        /// Whose.
        name: &'static str,
        /// What is wrong with it.
        source: KeyError,
    },
    /// The identities that were to be brought in are not.
    #[error(transparent)]
    Moved(#[from] MoveIdentityError),
    /// An identity could not be kept.
    #[error(transparent)]
    Create(#[from] CreateIdentityError),
}

impl From<FileError> for JoinOrganizationError {
    fn from(error: FileError) -> Self {
        Self::Organization(error.into())
    }
}

impl Joiner {
    /// The keys in `data_dir`; made, and durable on return, where there are none.
    ///
    /// # Errors
    /// If they cannot be read or made.
    pub fn begin(disk: &Arc<dyn Disk>, data_dir: &Path) -> Result<Self, JoinOrganizationError> {
        let folder = data_dir.join(FOLDER);
        if !exists(disk.as_ref(), &folder)? {
            let mut made = Vec::new();
            for (name, _) in OWN_IDENTITIES {
                let (_, pem) = Key::generate().map_err(JoinOrganizationError::Keys)?;
                made.push((name, pem));
            }
            let files = made.iter().map(|(path, content)| NewFile { path, content });
            create_folder(disk.as_ref(), &folder, &files.collect::<Vec<_>>())?;
        }
        // A process that was killed may have left a name that no sync has covered yet.
        disk.sync_dir(data_dir)
            .map_err(FileError::of("sync", data_dir))?;
        let mut keys = Vec::new();
        for (name, _) in OWN_IDENTITIES {
            let path = folder.join(name);
            let pem = read_file(disk.as_ref(), &path, MAX_FILE_BYTES)?;
            let key = Key::from_pem(&pem);
            let key = key.map_err(|source| JoinOrganizationError::Key { path, source })?;
            keys.push((name, key, String::from_utf8_lossy(&pem).into_owned()));
        }
        Ok(Self {
            disk: Arc::clone(disk),
            folder,
            keys,
        })
    }

    /// Whether somebody has begun to join in `data_dir` and was interrupted.
    ///
    /// # Errors
    /// If that cannot be found out.
    pub fn has_begun(disk: &dyn Disk, data_dir: &Path) -> Result<bool, FileError> {
        exists(disk, &data_dir.join(FOLDER))
    }

    /// A signing request (PKCS#10) for each key, in PEM, by the names in [`OWN_IDENTITIES`].
    ///
    /// # Errors
    /// If one cannot be made.
    pub fn requests(&self) -> Result<BTreeMap<String, String>, JoinOrganizationError> {
        let requests = self.keys.iter().map(|(name, key, _)| {
            let mut params = CertificateParams::default();
            let subject = &mut params.distinguished_name;
            subject.push(rcgen::DnType::CommonName, *name);
            let request = params.serialize_request(&key)?;
            Ok(((*name).to_owned(), request.pem()?))
        });
        let requests: Result<_, rcgen::Error> = requests.collect();
        requests.map_err(JoinOrganizationError::Keys)
    }

    /// Keeps the organisation with this node's identities, and perhaps others of another node, whose `client` is
    /// then this node's too. Everything is looked at before anything is kept; what is there already stays as it is, so that
    /// whoever was interrupted goes on. Durable on return.
    ///
    /// # Errors
    /// See [`JoinOrganizationError`].
    pub fn join(
        &self,
        data_dir: &Path,
        admission: &Admission,
        moved: Option<&MovedIdentities>,
    ) -> Result<Organization, JoinOrganizationError> {
        let config = &admission.organization;
        let msp_id = &config.name;
        check_msp_id(msp_id)?;
        let msp = Msp::from_config(config, MspVersion::V3_0).map_err(JoinOrganizationError::Msp)?;
        let mut own = Vec::new();
        for (place, (name, role)) in OWN_IDENTITIES.into_iter().enumerate() {
            let (_, _, key_pem) = self
                .keys
                .get(place)
                .ok_or(JoinOrganizationError::NoCertificate(name))?;
            let certificate = admission.certificates.get(name);
            let certificate = certificate.ok_or(JoinOrganizationError::NoCertificate(name))?;
            own.push((
                name,
                sound(&msp, (name, role), certificate, key_pem)?,
                key_pem,
            ));
        }
        let organization = Organization::begin(&self.disk, data_dir, msp_id, |folder| {
            keep(self.disk.as_ref(), folder, config)
        })?;
        if organization.ca.is_some() {
            let path = data_dir.join("organization");
            return Err(OrganizationError::MadeHere { path }.into());
        }
        if organization.msp_config != *config {
            let path = data_dir.join("organization");
            return Err(OrganizationError::OtherGiven { path }.into());
        }
        if let Some(moved) = moved {
            organization.take_identities(moved)?;
        }
        for (name, certificate_pem, key_pem) in own {
            if organization
                .identity(name)
                .map_err(OrganizationError::from)?
                .is_none()
            {
                organization.keep(name, &certificate_pem, key_pem)?;
            }
        }
        Ok(organization)
    }

    /// Forgets the keys: whoever is in the organisation has them.
    ///
    /// # Errors
    /// If the folder cannot be removed.
    pub fn end(self) -> Result<(), FileError> {
        let (disk, folder) = (self.disk.as_ref(), &self.folder);
        remove_leftover(disk, folder)?;
        let ended = folder.with_file_name(ENDED);
        disk.rename(folder, &ended)
            .map_err(FileError::of("rename to", &ended))?;
        if let Some(data_dir) = folder.parent() {
            disk.sync_dir(data_dir)
                .map_err(FileError::of("sync", data_dir))?;
        }
        remove_leftover(disk, folder)?;
        Ok(())
    }
}

/// Makes sure of one certificate of an answer; in its canonical form.
fn sound(
    msp: &Msp,
    (name, role): (&'static str, Role),
    certificate: &str,
    key_pem: &str,
) -> Result<String, JoinOrganizationError> {
    let certificate = Certificate::from_pem(certificate.as_bytes());
    let certificate =
        certificate.map_err(|source| JoinOrganizationError::Certificate { name, source })?;
    let pem = certificate.to_pem();
    let valid = msp.validate(&serialize(msp.id(), &pem));
    let valid = valid.map_err(|source| JoinOrganizationError::Identity { name, source })?;
    if valid.role() != Some(role) {
        return Err(JoinOrganizationError::Role(name));
    }
    let key = Key::from_pem(key_pem.as_bytes());
    let signer =
        key.and_then(|key| SigningIdentity::new(msp.id(), role, &certificate, pem.clone(), key));
    signer.map_err(|source| JoinOrganizationError::OtherKey { name, source })?;
    Ok(pem)
}
