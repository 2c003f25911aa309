//! The node's own organisation: its CA and its identities, in Fabric's folder layout.
//!
//! ```text
//! DATA/organization/msp/cacerts/ca-cert.pem     what others need to know the organisation by
//!                   msp/config.yaml             units tell clients, peers, admins, orderers apart
//!                   ca/ca-cert.pem              the same certificate
//!                   ca/priv_sk                  the CA's key, PKCS#8, for the owner's eyes only
//! DATA/identities/<name>/msp/cacerts/ca-cert.pem
//!                            signcerts/cert.pem
//!                            keystore/priv_sk
//!                            config.yaml
//! ```
//!
//! An organisation that was made elsewhere has in the place of `organization`
//!
//! ```text
//! DATA/organization/given/msp-id                its MSP id
//!                         msp/                  what others need to know it by
//! ```
//!
//! and in `identities` the certificates and keys that were given. While a node joins one there is also
//!
//! ```text
//! DATA/joining/<name>                           the keys for which it asks certificates
//! ```
//!
//! All these folders are made whole or not at all and never changed afterwards. An identity
//! never gets another certificate: transaction ids depend on it.

mod ca;
mod copies;
mod error;
mod given;
mod joining;
mod moved;
mod name;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::{Mutex, RwLock};
use quire_disk::{
    Disk, FileError, NewFile, create_folder, make_dir, read_file, remove_leftover, remove_leftovers,
};
use quire_wire::msp::FabricMspConfig;

pub use crate::authority::IssueError;
use crate::certificate::{Certificate, CertificateError};
use crate::files::{exists, names_in};
use crate::identity::Role;
use crate::key::Key;
use crate::msp::{IdentityError, Msp, MspVersion};
use crate::signing::{SigningIdentity, serialize};
pub use ca::OrganizationCa;
pub use error::{CreateIdentityError, ImportIdentityError, LoadIdentityError, OrganizationError};
use given::GIVEN;
pub use given::Given;
pub use joining::{Admission, JoinOrganizationError, Joiner};
pub use moved::{
    Arrived, ExportIdentityError, MOVED_BY_NAME, MoveIdentityError, MovedIdentities, MovedIdentity,
    NOT_MOVED,
};
pub use name::{MAX_MSP_ID_CHARS, MAX_NAME_CHARS, check_msp_id, is_identity_name};
use value::{CONFIG_YAML, msp_config};

/// The identities that every node has, made at the first start.
pub const OWN_IDENTITIES: [(&str, Role); 3] = [
    ("node", Role::Peer),
    ("orderer", Role::Orderer),
    ("client", Role::Client),
];

/// The identity that signs changes of configurations for the organisation; made when it is first needed.
pub const ADMINISTRATOR: &str = "org-admin";

/// Most bytes of a certificate or key file.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// The node's own organisation. One process at a time may have it open.
#[derive(Debug)]
pub struct Organization {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    identities_folder: PathBuf,
    msp_id: String,
    /// None where it was made elsewhere.
    ca: Option<Arc<OrganizationCa>>,
    msp_config: FabricMspConfig,
    msp: Arc<Msp>,
    loaded: RwLock<BTreeMap<String, Arc<SigningIdentity>>>,
    /// Held while an identity is made: two of one name must not overtake each other.
    creating: Mutex<()>,
}

impl Organization {
    /// Opens the organisation in `data_dir`, and makes what is missing of it and of
    /// [`OWN_IDENTITIES`]; durable on return. What a crash left half-made is removed.
    ///
    /// # Errors
    /// If files cannot be read or written, or do not fit together. Nothing that exists is changed.
    pub fn open_or_create(
        disk: &Arc<dyn Disk>,
        data_dir: &Path,
        msp_id: &str,
        now: SystemTime,
    ) -> Result<Self, OrganizationError> {
        let organization = Self::begin(disk, data_dir, msp_id, |folder| {
            ca::create(disk.as_ref(), folder, msp_id, now)
        })?;
        for (name, role) in OWN_IDENTITIES {
            if organization.identity(name)?.is_none() {
                organization.create_identity(name, role, now)?;
            }
        }
        Ok(organization)
    }

    /// Opens the organisation in `data_dir`, which is made where there is none; what a crash left half-made is
    /// removed first.
    fn begin(
        disk: &Arc<dyn Disk>,
        data_dir: &Path,
        msp_id: &str,
        make: impl FnOnce(&Path) -> Result<(), OrganizationError>,
    ) -> Result<Self, OrganizationError> {
        check_msp_id(msp_id)?;
        let folder = data_dir.join("organization");
        let identities_folder = data_dir.join("identities");
        make_dir(disk.as_ref(), &identities_folder)?;
        Self::remove_half_made(disk.as_ref(), data_dir)?;
        if !exists(disk.as_ref(), &folder)? {
            if names_in(disk.as_ref(), &identities_folder)?
                .iter()
                .any(|name| is_identity_name(name))
            {
                return Err(OrganizationError::Missing { path: folder });
            }
            make(&folder)?;
        }
        // A process that was killed may have left names that no sync has covered yet.
        for dir in [identities_folder.as_path(), data_dir] {
            disk.sync_dir(dir).map_err(FileError::of("sync", dir))?;
        }
        Self::open(disk, &folder, identities_folder, msp_id)
    }

    /// Removes what a crash left in `data_dir`: a half-made organisation, half-made identities, and keys by which this
    /// node has joined. Whoever calls it holds the directory's lock.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn remove_half_made(disk: &dyn Disk, data_dir: &Path) -> Result<(), FileError> {
        let folder = data_dir.join("organization");
        if remove_leftover(disk, &folder)? {
            tracing::warn!("removed a half-made organisation");
        }
        if remove_leftover(disk, &folder.with_file_name(joining::FOLDER))? {
            tracing::info!("removed the keys by which this node has joined");
        }
        let identities = data_dir.join("identities");
        if exists(disk, &identities)? {
            let removed = remove_leftovers(disk, &identities)?;
            if removed > 0 {
                tracing::warn!(removed, "removed half-made identities");
            }
        }
        Ok(())
    }

    /// Opens the organisation in `data_dir`, which must be there with all of [`OWN_IDENTITIES`]: for
    /// a data directory whose chains name them. One that was made anew would sign as somebody else,
    /// and make an old idempotency key name a new transaction.
    ///
    /// # Errors
    /// [`OrganizationError::Missing`] names the folder that is to be restored.
    pub fn open_existing(
        disk: &Arc<dyn Disk>,
        data_dir: &Path,
        msp_id: &str,
    ) -> Result<Self, OrganizationError> {
        match Self::missing(disk.as_ref(), data_dir)?.into_iter().next() {
            Some(path) => Err(OrganizationError::Missing { path }),
            None => Self::open_what_is_there(disk, data_dir, msp_id),
        }
    }

    /// The folders of the organisation and of [`OWN_IDENTITIES`] that are not in `data_dir`.
    ///
    /// # Errors
    /// If that cannot be found out.
    pub fn missing(disk: &dyn Disk, data_dir: &Path) -> Result<Vec<PathBuf>, FileError> {
        let identities_folder = data_dir.join("identities");
        let own = OWN_IDENTITIES
            .iter()
            .map(|(name, _)| identities_folder.join(name));
        let needed = std::iter::once(data_dir.join("organization")).chain(own);
        let mut missing = Vec::new();
        for path in needed {
            if !exists(disk, &path)? {
                missing.push(path);
            }
        }
        Ok(missing)
    }

    /// Opens the organisation in `data_dir` with whichever identities it has, to look at them. Changes
    /// nothing.
    ///
    /// # Errors
    /// If files cannot be read or do not fit together.
    pub fn open_what_is_there(
        disk: &Arc<dyn Disk>,
        data_dir: &Path,
        msp_id: &str,
    ) -> Result<Self, OrganizationError> {
        let folder = data_dir.join("organization");
        Self::open(disk, &folder, data_dir.join("identities"), msp_id)
    }

    fn open(
        disk: &Arc<dyn Disk>,
        folder: &Path,
        identities_folder: PathBuf,
        msp_id: &str,
    ) -> Result<Self, OrganizationError> {
        let (msp_config, ca) = if exists(disk.as_ref(), &folder.join(GIVEN))? {
            (given::read(disk.as_ref(), folder, msp_id)?, None)
        } else {
            let ca = OrganizationCa::open(disk.as_ref(), folder, msp_id)?;
            (msp_config(msp_id, ca.certificate_pem()), Some(Arc::new(ca)))
        };
        let msp = Msp::from_config(&msp_config, MspVersion::V3_0);
        let msp = msp.map_err(|source| OrganizationError::Msp {
            path: match ca {
                Some(_) => folder.join("ca/ca-cert.pem"),
                None => folder.join(GIVEN),
            },
            source,
        })?;
        Ok(Self {
            disk: Arc::clone(disk),
            folder: folder.to_path_buf(),
            identities_folder,
            msp_id: msp_id.to_owned(),
            ca,
            msp_config,
            msp: Arc::new(msp),
            loaded: RwLock::default(),
            creating: Mutex::default(),
        })
    }

    /// The MSP id.
    #[must_use]
    pub fn msp_id(&self) -> &str {
        &self.msp_id
    }

    /// The organisation's CA; none where the organisation was made elsewhere.
    #[must_use]
    pub fn ca(&self) -> Option<&Arc<OrganizationCa>> {
        self.ca.as_ref()
    }

    /// The organisation as others see it.
    #[must_use]
    pub fn msp(&self) -> &Arc<Msp> {
        &self.msp
    }

    /// The organisation's value in a channel configuration.
    #[must_use]
    pub fn msp_config(&self) -> FabricMspConfig {
        self.msp_config.clone()
    }

    /// The identity of that name; read from its files the first time. `None` if there is none,
    /// or there can be none of such a name.
    ///
    /// # Errors
    /// If its files cannot be read or do not fit together.
    pub fn identity(&self, name: &str) -> Result<Option<Arc<SigningIdentity>>, LoadIdentityError> {
        if let Some(known) = self.loaded.read().get(name) {
            return Ok(Some(known.clone()));
        }
        if !is_identity_name(name)
            || !exists(self.disk.as_ref(), &self.identities_folder.join(name))?
        {
            return Ok(None);
        }
        // One that is just being made has its name already, but may not be durable yet.
        let _creating = self.creating.lock();
        let identity = Arc::new(self.load(name)?);
        let mut loaded = self.loaded.write();
        Ok(Some(
            loaded.entry(name.to_owned()).or_insert(identity).clone(),
        ))
    }

    /// The organisation's administrator, [`ADMINISTRATOR`]; made, and durable on return, where there is none.
    ///
    /// # Errors
    /// If it cannot be read or made, or an identity of that name is no administrator.
    pub fn administrator(
        &self,
        now: SystemTime,
    ) -> Result<Arc<SigningIdentity>, CreateIdentityError> {
        match self.identity(ADMINISTRATOR)? {
            Some(known) if known.role() == Role::Admin => Ok(known),
            Some(_) => Err(CreateIdentityError::Exists(ADMINISTRATOR.to_owned())),
            None => self.create_identity(ADMINISTRATOR, Role::Admin, now),
        }
    }

    /// Makes an identity with a certificate for 30 years; durable on return.
    ///
    /// # Errors
    /// If the name cannot be one or is taken, files cannot be written, or the organisation was made elsewhere.
    pub fn create_identity(
        &self,
        name: &str,
        role: Role,
        now: SystemTime,
    ) -> Result<Arc<SigningIdentity>, CreateIdentityError> {
        if !is_identity_name(name) {
            return Err(CreateIdentityError::Name(name.to_owned()));
        }
        let _creating = self.creating.lock();
        let folder = self.identities_folder.join(name);
        if exists(self.disk.as_ref(), &folder)? {
            return Err(CreateIdentityError::Exists(name.to_owned()));
        }
        let Some(ca) = &self.ca else {
            return Err(CreateIdentityError::NoCa(name.to_owned()));
        };
        let issued = ca
            .issue(name, role, now)
            .map_err(|source| CreateIdentityError::Issue {
                name: name.to_owned(),
                source,
            })?;
        // Judged before it is written: what is on disk stays there for ever.
        self.msp
            .validate(&serialize(&self.msp_id, &issued.certificate_pem))
            .map_err(|source| LoadIdentityError::Invalid {
                path: folder.join("msp/signcerts/cert.pem"),
                source,
            })?;
        self.write(name, &issued.certificate_pem, &issued.key_pem)
    }

    /// A certificate, in PEM, for a key of another node of the organisation: an uncompressed point of P-256. Nothing
    /// is kept here.
    ///
    /// # Errors
    /// If the name cannot be one or is one of this node's identities, the organisation was made elsewhere, or the key
    /// is of another kind.
    pub fn certify(
        &self,
        name: &str,
        role: Role,
        point: &[u8],
        now: SystemTime,
    ) -> Result<String, CreateIdentityError> {
        if !is_identity_name(name) {
            return Err(CreateIdentityError::Name(name.to_owned()));
        }
        // Whoever shows a certificate of that name is taken for it.
        if exists(self.disk.as_ref(), &self.identities_folder.join(name))? {
            return Err(CreateIdentityError::Exists(name.to_owned()));
        }
        let no_ca = || CreateIdentityError::NoCa(name.to_owned());
        let ca = self.ca.as_ref().ok_or_else(no_ca)?;
        let certified = ca.certify(name, role, point, now);
        certified.map_err(|source| CreateIdentityError::Issue {
            name: name.to_owned(),
            source,
        })
    }

    /// Keeps an identity that is made or given; durable on return.
    fn keep(
        &self,
        name: &str,
        certificate_pem: &str,
        key_pem: &str,
    ) -> Result<Arc<SigningIdentity>, CreateIdentityError> {
        let _creating = self.creating.lock();
        let folder = self.identities_folder.join(name);
        if exists(self.disk.as_ref(), &folder)? {
            return Err(CreateIdentityError::Exists(name.to_owned()));
        }
        self.write(name, certificate_pem, key_pem)
    }

    /// The same by whoever has made sure that there is none of the name.
    fn write(
        &self,
        name: &str,
        certificate_pem: &str,
        key_pem: &str,
    ) -> Result<Arc<SigningIdentity>, CreateIdentityError> {
        let mut files = vec![
            file("msp/signcerts/cert.pem", certificate_pem),
            file("msp/keystore/priv_sk", key_pem),
        ];
        if let Some(ca) = &self.ca {
            files.push(file("msp/cacerts/ca-cert.pem", ca.certificate_pem()));
            files.push(file("msp/config.yaml", CONFIG_YAML));
        }
        create_folder(
            self.disk.as_ref(),
            &self.identities_folder.join(name),
            &files,
        )?;
        let identity = Arc::new(self.load(name)?);
        let mut loaded = self.loaded.write();
        loaded.insert(name.to_owned(), identity.clone());
        Ok(identity)
    }

    /// Names of all identities, sorted.
    ///
    /// # Errors
    /// If their folder cannot be listed.
    pub fn identities(&self) -> Result<Vec<String>, FileError> {
        let mut names = names_in(self.disk.as_ref(), &self.identities_folder)?;
        names.retain(|name| is_identity_name(name));
        Ok(names)
    }

    fn load(&self, name: &str) -> Result<SigningIdentity, LoadIdentityError> {
        let folder = self.identities_folder.join(name).join("msp");
        let disk = self.disk.as_ref();
        let path = folder.join("signcerts/cert.pem");
        let (certificate, certificate_pem) = match read_certificate(disk, &path)? {
            Ok(read) => read,
            Err(source) => return Err(LoadIdentityError::Certificate { path, source }),
        };
        // One that was made elsewhere is kept under any name.
        if self.ca.is_some() && certificate.common_name != name {
            let found = certificate.common_name;
            return Err(LoadIdentityError::OtherName { path, found });
        }
        let serialized = serialize(&self.msp_id, &certificate_pem);
        let valid = self.msp.validate(&serialized);
        let valid = valid.and_then(|valid| match (valid.role(), &self.ca) {
            (Some(role), _) => Ok(role),
            (None, None) => Ok(valid.role_or_client()),
            (None, Some(_)) => Err(IdentityError::NotOneRole),
        });
        let role = match valid {
            Ok(role) => role,
            Err(source) => return Err(LoadIdentityError::Invalid { path, source }),
        };
        let path = folder.join("keystore/priv_sk");
        let key_pem = read_file(disk, &path, MAX_FILE_BYTES)?;
        Key::from_pem(&key_pem)
            .and_then(|key| {
                SigningIdentity::new(&self.msp_id, role, &certificate, certificate_pem, key)
            })
            .map(|identity| identity.called(name))
            .map_err(|source| LoadIdentityError::Key { path, source })
    }
}

fn file<'a>(path: &'static str, content: &'a str) -> NewFile<'a> {
    NewFile { path, content }
}

/// The certificate in a file and its canonical PEM; the inner result says what is wrong with the
/// certificate, the outer one what is wrong with the file.
pub(crate) fn read_certificate(
    disk: &dyn Disk,
    path: &Path,
) -> Result<Result<(Certificate, String), CertificateError>, FileError> {
    let content = read_file(disk, path, MAX_FILE_BYTES)?;
    Ok(Certificate::from_pem(&content).map(|certificate| {
        let pem = certificate.to_pem();
        (certificate, pem)
    }))
}

#[cfg(test)]
mod tests;
