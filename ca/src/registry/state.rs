//! All that the registry holds, in memory, and what changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::certificate::{CertificateRecord, Revoked};
use super::identity::IdentityRecord;

/// One change. Those of one request are written together, and hold together.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// An identity is there, in place of one of that name.
    Identity(IdentityRecord),
    /// An identity is gone.
    RemoveIdentity(String),
    /// An affiliation is there.
    Affiliation(String),
    /// An affiliation is gone.
    RemoveAffiliation(String),
    /// A certificate was issued.
    Certificate(CertificateRecord),
    /// A certificate, by its serial number, was revoked.
    Revoke(String, Revoked),
    /// An expired certificate, by its serial number, is no longer remembered.
    ForgetCertificate(String),
}

impl Change {
    /// Whether less is remembered after it.
    pub(super) fn forgets(&self) -> bool {
        matches!(self, Self::ForgetCertificate(_) | Self::RemoveIdentity(_))
    }
}

/// Identities, affiliations and certificates.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// By name.
    pub identities: BTreeMap<String, Arc<IdentityRecord>>,
    /// Whole paths.
    pub affiliations: BTreeSet<String>,
    /// By serial number.
    pub certificates: BTreeMap<String, Arc<CertificateRecord>>,
    /// Serial numbers of an identity's certificates, oldest first.
    owned: BTreeMap<String, Vec<String>>,
}

impl State {
    /// Takes a change in. One of something that is not there changes nothing.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Identity(identity) => {
                self.identities
                    .insert(identity.name.clone(), Arc::new(identity));
            }
            Change::RemoveIdentity(name) => {
                self.identities.remove(&name);
            }
            Change::Affiliation(name) => {
                self.affiliations.insert(name);
            }
            Change::RemoveAffiliation(name) => {
                self.affiliations.remove(&name);
            }
            Change::Certificate(certificate) => {
                let (serial, owner) = (certificate.serial.clone(), certificate.owner.clone());
                let old = self
                    .certificates
                    .insert(serial.clone(), Arc::new(certificate));
                if old.is_none() {
                    self.owned.entry(owner).or_default().push(serial);
                }
            }
            Change::Revoke(serial, revoked) => {
                if let Some(certificate) = self.certificates.get_mut(&serial) {
                    Arc::make_mut(certificate).revoked = Some(revoked);
                }
            }
            Change::ForgetCertificate(serial) => self.forget(&serial),
        }
    }

    fn forget(&mut self, serial: &str) {
        let Some(certificate) = self.certificates.remove(serial) else {
            return;
        };
        if let Some(owned) = self.owned.get_mut(&certificate.owner) {
            owned.retain(|other| other != serial);
            if owned.is_empty() {
                self.owned.remove(&certificate.owner);
            }
        }
    }

    /// How many certificates of an identity are remembered.
    #[must_use]
    pub fn certificate_count(&self, name: &str) -> usize {
        self.owned.get(name).map_or(0, Vec::len)
    }

    /// The certificates of an identity, oldest first.
    pub fn certificates_of(&self, name: &str) -> impl Iterator<Item = &Arc<CertificateRecord>> {
        let serials = self.owned.get(name).into_iter().flatten();
        serials.filter_map(|serial| self.certificates.get(serial))
    }

    /// Everything as changes of nothing.
    pub fn changes(&self) -> impl Iterator<Item = Change> {
        let affiliations = self.affiliations.iter().cloned().map(Change::Affiliation);
        let identities = self.identities.values();
        let identities =
            identities.map(|identity| Change::Identity(IdentityRecord::clone(identity)));
        let certificates = self.owned.values().flatten();
        let certificates = certificates
            .filter_map(|serial| self.certificates.get(serial))
            .map(|certificate| Change::Certificate(CertificateRecord::clone(certificate)));
        affiliations.chain(identities).chain(certificates)
    }
}
