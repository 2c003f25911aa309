//! An organisation as its channel configuration describes it, and who belongs to it.
//!
//! ```text
//! bytes ──▶ deserialize ──▶ Identity ──▶ validity      is it one of ours?
//!           a CA stands     who it is    is_satisfied_by (Principal)   is it meant?
//!           for it
//! ```
//!
//! The two are apart, as in Fabric, whose policies ask identities that were only deserialized. An
//! identity is valid if one chain of CAs leads from it to a root, it is no CA itself, its issuer did
//! not take it back, and, where the organisation tells its members apart, it has the unit of exactly
//! one kind. Time plays no part but for the chain having held together when the certificate began.
//!
//! * `version`: the rules changed; a channel's capabilities say which hold.
//! * `chain`, `revocation`, `units`: the three things that are asked of a certificate.
//! * `setup`: from a configuration to `rules`, by which is judged; `limits` bounds it.
//! * `principal`: whom a policy means.
//! * `folder`: organisations in folders of Fabric's tools.

mod cache;
mod chain;
mod error;
pub mod folder;
pub mod limits;
pub mod principal;
mod revocation;
mod rules;
mod setup;
mod units;
mod version;

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message as _;
use quire_wire::msp::{FabricMspConfig, SerializedIdentity};

use crate::identity::Identity;
use cache::Cache;
pub use chain::ChainError;
pub use error::{IdentityError, MspError};
use limits::MAX_IDENTITY_BYTES;
pub use principal::{NotSatisfied, Principal};
pub(crate) use revocation::RevocationList;
pub(crate) use rules::Rules;
pub use version::MspVersion;

/// An organisation that judges identities. Cheap to ask again about the same identity; what it
/// remembers goes with it when a new configuration takes its place.
#[derive(Debug)]
pub struct Msp {
    rules: Arc<Rules>,
    cache: Cache,
}

impl Msp {
    /// An organisation from its value in a channel configuration, by the rules of a version.
    ///
    /// # Errors
    /// If the configuration is one that Fabric would refuse, or larger than [`limits`] allow.
    pub fn from_config(config: &FabricMspConfig, version: MspVersion) -> Result<Self, MspError> {
        Ok(Self {
            rules: Rules::from_config(config, version)?,
            cache: Cache::new(),
        })
    }

    /// The MSP id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.rules.id
    }

    /// The rules by which it judges.
    #[must_use]
    pub fn version(&self) -> MspVersion {
        self.rules.version
    }

    /// Reads a serialized [`SerializedIdentity`], for which a CA of the organisation must stand.
    ///
    /// # Errors
    /// If Fabric would not deserialize it.
    pub fn deserialize(&self, serialized: &[u8]) -> Result<Arc<Identity>, IdentityError> {
        if let Some(known) = self.cache.get(serialized) {
            return Ok(known);
        }
        if serialized.len() > MAX_IDENTITY_BYTES {
            return Err(IdentityError::Malformed);
        }
        let identity =
            SerializedIdentity::decode(serialized).map_err(|_| IdentityError::Malformed)?;
        if *identity.mspid != *self.rules.id {
            return Err(IdentityError::UnknownMsp(identity.mspid));
        }
        let identity = Arc::new(self.rules.deserialize(&identity.id_bytes)?);
        self.cache.insert(serialized, &identity);
        Ok(identity)
    }

    /// Judges a serialized [`SerializedIdentity`].
    ///
    /// # Errors
    /// What Fabric would refuse it for.
    pub fn validate(&self, serialized: &[u8]) -> Result<Arc<Identity>, IdentityError> {
        let identity = self.deserialize(serialized)?;
        identity.validity().map_err(Clone::clone)?;
        Ok(identity)
    }
}

/// The organisations of a channel by their MSP ids.
#[derive(Clone, Debug, Default)]
pub struct Msps {
    by_id: BTreeMap<String, Arc<Msp>>,
}

/// A [`SerializedIdentity`] of which only the organisation is read.
#[derive(Clone, PartialEq, prost::Message)]
struct OfMsp {
    #[prost(string, tag = "1")]
    mspid: String,
}

impl Msps {
    /// The organisation with this MSP id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Msp>> {
        self.by_id.get(id)
    }

    /// All of them, by their MSP ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Msp>> {
        self.by_id.values()
    }

    /// Lets the identity's own organisation read it; see [`Msp::deserialize`].
    ///
    /// # Errors
    /// If the organisation is unknown or no CA of it stands for the identity.
    pub fn deserialize(&self, serialized: &[u8]) -> Result<Arc<Identity>, IdentityError> {
        self.msp_of(serialized)?.deserialize(serialized)
    }

    /// Lets the identity's own organisation judge it; see [`Msp::validate`].
    ///
    /// # Errors
    /// If the organisation is unknown or refuses.
    pub fn validate(&self, serialized: &[u8]) -> Result<Arc<Identity>, IdentityError> {
        self.msp_of(serialized)?.validate(serialized)
    }

    fn msp_of(&self, serialized: &[u8]) -> Result<&Arc<Msp>, IdentityError> {
        if serialized.len() > MAX_IDENTITY_BYTES {
            return Err(IdentityError::Malformed);
        }
        let OfMsp { mspid } = OfMsp::decode(serialized).map_err(|_| IdentityError::Malformed)?;
        let msp = self.by_id.get(&mspid);
        msp.ok_or(IdentityError::UnknownMsp(mspid))
    }
}

impl FromIterator<Arc<Msp>> for Msps {
    /// The last of several with the same id counts.
    fn from_iter<T: IntoIterator<Item = Arc<Msp>>>(msps: T) -> Self {
        Self {
            by_id: msps
                .into_iter()
                .map(|msp| (msp.id().to_owned(), msp))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
