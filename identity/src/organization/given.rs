//! An organisation that was made elsewhere, by Fabric's cryptogen or an enrolment at its CA: what this node has
//! of it is in folders that those tools make, and is copied at the first start. The CA's key stays where it is.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use quire_disk::{Disk, NewFile, create_folder, read_file};
use quire_wire::msp::FabricMspConfig;

use super::{
    CreateIdentityError, ImportIdentityError, MAX_FILE_BYTES, Organization, OrganizationError,
    is_identity_name,
};
use crate::files::exists;
use crate::msp::folder::{SignerError, files_of};
use crate::msp::{Msp, MspVersion};
use crate::signing::SigningIdentity;
use crate::{MspFolder, check_msp_id};

/// Where it is kept, in the organisation's folder.
pub(super) const GIVEN: &str = "given";
const MSP_ID: &str = "given/msp-id";
const MSP: &str = "given/msp";

/// The folders in which an organisation and its members are given.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The MSP folder of the node itself: it endorses and signs blocks.
    pub msp: &'a Path,
    /// That of whoever signs for callers without a token; the node does, where there is none.
    pub client_msp: Option<&'a Path>,
}

/// Somebody whose certificate and key are in a folder.
struct Member {
    identity: SigningIdentity,
    key_pem: String,
}

impl Member {
    /// Reads a folder of somebody for whom the organisation stands.
    fn read(folder: &Path, msp: &Msp, now: SystemTime) -> Result<Self, SignerError> {
        let read = MspFolder::read(folder, msp.id())?;
        let (identity, key_pem) = read.signer_with_key(msp, now)?;
        let valid = msp.validate(identity.serialized());
        valid.map_err(|source| SignerError::Identity {
            path: folder.join("signcerts"),
            source,
        })?;
        let key_pem = String::from_utf8_lossy(&key_pem).into_owned();
        Ok(Self { identity, key_pem })
    }
}

/// What was given, read.
struct Offer {
    config: FabricMspConfig,
    node: Member,
    client: Option<Member>,
}

impl Offer {
    fn read(given: Given<'_>, msp_id: &str, now: SystemTime) -> Result<Self, OrganizationError> {
        check_msp_id(msp_id)?;
        let folder = MspFolder::read(given.msp, msp_id)?;
        let msp = Msp::from_config(&folder.config, MspVersion::V3_0);
        let msp = msp.map_err(|source| OrganizationError::Msp {
            path: given.msp.to_path_buf(),
            source,
        })?;
        for ignored in &folder.ignored {
            let (path, reason) = (ignored.path.display(), &ignored.reason);
            tracing::warn!(%path, reason, "not read as a part of the organisation");
        }
        let client = given.client_msp;
        Ok(Self {
            node: Member::read(given.msp, &msp, now)?,
            client: client
                .map(|folder| Member::read(folder, &msp, now))
                .transpose()?,
            config: folder.config,
        })
    }

    /// Who the node's own identities are, each with the folder that it is from.
    fn members<'o>(&'o self, given: Given<'o>) -> [(&'static str, (&'o Member, &'o Path)); 3] {
        let node = (&self.node, given.msp);
        let client = self.client.as_ref().zip(given.client_msp);
        [
            ("node", node),
            ("orderer", node),
            ("client", client.unwrap_or(node)),
        ]
    }
}

/// Keeps what others know an organisation by.
pub(super) fn keep(
    disk: &dyn Disk,
    folder: &Path,
    config: &FabricMspConfig,
) -> Result<(), OrganizationError> {
    let msp_id = &config.name;
    let mut files = vec![(MSP_ID.to_owned(), format!("{msp_id}\n"))];
    let of_msp = files_of(config)?.into_iter();
    files.extend(of_msp.map(|(path, content)| (format!("{MSP}/{path}"), content)));
    let files: Vec<_> = files
        .iter()
        .map(|(path, content)| NewFile { path, content })
        .collect();
    create_folder(disk, folder, &files)?;
    tracing::info!(msp_id, folder = %folder.display(), "took the organisation over");
    Ok(())
}

/// What is kept of a given organisation.
pub(super) fn read(
    disk: &dyn Disk,
    folder: &Path,
    msp_id: &str,
) -> Result<FabricMspConfig, OrganizationError> {
    let found = read_file(disk, &folder.join(MSP_ID), MAX_FILE_BYTES)?;
    let found = String::from_utf8_lossy(&found).trim_end().to_owned();
    if found != msp_id {
        return Err(OrganizationError::OtherOrganization {
            path: folder.to_path_buf(),
            expected: msp_id.to_owned(),
            found,
        });
    }
    let kept = MspFolder::read_kept(disk, &folder.join(MSP), msp_id)?;
    Ok(kept.config)
}

impl Organization {
    /// Opens the organisation in `data_dir`, which must be the one that is given; the first time, it is copied
    /// from the folders, with the node's own identities. Durable on return.
    ///
    /// # Errors
    /// If the folders hold no such organisation, or another than the one that is there; or files cannot be read
    /// or written.
    pub fn open_or_take(
        disk: &Arc<dyn Disk>,
        data_dir: &Path,
        msp_id: &str,
        given: Given<'_>,
        now: SystemTime,
    ) -> Result<Self, OrganizationError> {
        let offer = Offer::read(given, msp_id, now)?;
        let organization = Self::begin(disk, data_dir, msp_id, |folder| {
            keep(disk.as_ref(), folder, &offer.config)
        })?;
        organization.check_is(&offer, given)?;
        for (name, (member, _)) in offer.members(given) {
            if organization.identity(name)?.is_none() {
                organization.take(name, member)?;
            }
        }
        Ok(organization)
    }

    /// Makes sure that [`Organization::open_or_take`] could take what is given. Changes nothing.
    ///
    /// # Errors
    /// If it could not.
    pub fn check_given(
        disk: &Arc<dyn Disk>,
        data_dir: &Path,
        msp_id: &str,
        given: Given<'_>,
        now: SystemTime,
    ) -> Result<(), OrganizationError> {
        let offer = Offer::read(given, msp_id, now)?;
        files_of(&offer.config)?;
        if exists(disk.as_ref(), &data_dir.join("organization"))? {
            Self::open_what_is_there(disk, data_dir, msp_id)?.check_is(&offer, given)?;
        }
        Ok(())
    }

    /// Whether it is the organisation that was read, with these members as far as they are there.
    fn check_is(&self, offer: &Offer, given: Given<'_>) -> Result<(), OrganizationError> {
        if self.ca.is_some() {
            let path = self.folder.clone();
            return Err(OrganizationError::MadeHere { path });
        }
        if self.msp_config != offer.config {
            let path = given.msp.to_path_buf();
            return Err(OrganizationError::OtherGiven { path });
        }
        for (name, (member, folder)) in offer.members(given) {
            let known = self.identity(name)?;
            // Whoever was the client stays, if none is named now.
            let is_named = name != "client" || offer.client.is_some();
            let is_other =
                known.is_some_and(|known| known.serialized() != member.identity.serialized());
            if is_named && is_other {
                return Err(OrganizationError::OtherMember {
                    name: name.to_owned(),
                    path: folder.to_path_buf(),
                });
            }
        }
        Ok(())
    }

    /// Brings in an identity that was made elsewhere, from its MSP folder, under a name of this node; durable on
    /// return. One that is there with the same certificate is left as it is.
    ///
    /// # Errors
    /// See [`ImportIdentityError`].
    pub fn import_identity(
        &self,
        name: &str,
        folder: &Path,
        now: SystemTime,
    ) -> Result<Arc<SigningIdentity>, ImportIdentityError> {
        if self.ca.is_some() {
            return Err(ImportIdentityError::MadeHere);
        }
        if !is_identity_name(name) {
            return Err(CreateIdentityError::Name(name.to_owned()).into());
        }
        let member = Member::read(folder, &self.msp, now)?;
        match self.identity(name)? {
            Some(known) if known.serialized() == member.identity.serialized() => Ok(known),
            Some(_) => Err(CreateIdentityError::Exists(name.to_owned()).into()),
            None => Ok(self.take(name, &member)?),
        }
    }

    /// Keeps an identity that is given.
    fn take(
        &self,
        name: &str,
        member: &Member,
    ) -> Result<Arc<SigningIdentity>, CreateIdentityError> {
        let certificate_pem = member.identity.certificate_pem();
        self.keep(name, certificate_pem, &member.key_pem)
    }
}
