//! A state and a configuration in memory, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Weak;

use bytes::Bytes;
use quire_ledger::ReadError;
use quire_wire::hash::sha256;

use super::config::ChannelConfig;
use super::packages::{Installed, OnInstall, Packages, PackagesError};
use super::state::{NAMESPACE, Place, State, implicit_collection};

/// The organisation by its MSP id, none for public state, and the key.
pub(super) type Name = (Option<String>, String);

/// State that takes in at once what is written, and remembers it in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub(super) values: BTreeMap<Name, Bytes>,
    written: Vec<(Name, Option<Bytes>)>,
    /// What was read, whether for its value or for its hash.
    pub(super) read: BTreeSet<Name>,
    /// Whether private values are at another node, and here their hashes alone.
    pub(super) is_elsewhere: bool,
}

impl Memory {
    /// What was written since the last time.
    pub(super) fn take_written(&mut self) -> Vec<(Name, Option<Bytes>)> {
        mem::take(&mut self.written)
    }
}

fn name(place: Place<'_>, key: &str) -> Name {
    let organization = match place {
        Place::Public => None,
        Place::Legacy => Some("lscc".to_owned()),
        Place::Of(organization) => Some(organization.to_owned()),
    };
    (organization, key.to_owned())
}

impl State for Memory {
    fn get(&mut self, place: Place<'_>, key: &str) -> Result<Option<Bytes>, ReadError> {
        self.read.insert(name(place, key));
        let found = self.values.get(&name(place, key)).cloned();
        match place {
            Place::Of(organization) if self.is_elsewhere && found.is_some() => {
                Err(ReadError::PrivateMissing {
                    namespace: NAMESPACE.to_owned(),
                    collection: implicit_collection(organization),
                })
            }
            _ => Ok(found),
        }
    }

    fn range(
        &mut self,
        place: Place<'_>,
        start: &str,
        end: &str,
        limit: usize,
    ) -> Result<Vec<(String, Bytes)>, ReadError> {
        let rows = self.values.range(name(place, start)..name(place, end));
        Ok(rows
            .take(limit)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }

    fn hash(&mut self, organization: &str, key: &str) -> Result<Option<Bytes>, ReadError> {
        let name = name(Place::Of(organization), key);
        let value = self.values.get(&name);
        let hash = value.map(|value| sha256([&**value]).to_vec().into());
        self.read.insert(name);
        Ok(hash)
    }

    fn put(&mut self, place: Place<'_>, key: &str, value: Bytes) {
        self.values.insert(name(place, key), value.clone());
        self.written.push((name(place, key), Some(value)));
    }

    fn delete(&mut self, place: Place<'_>, key: &str) {
        self.values.remove(&name(place, key));
        self.written.push((name(place, key), None));
    }
}

/// A channel of two organisations.
#[derive(Debug)]
pub(super) struct TwoOrgs {
    pub(super) has_lifecycle: bool,
    pub(super) has_default_policy: bool,
}

impl Default for TwoOrgs {
    fn default() -> Self {
        Self {
            has_lifecycle: true,
            has_default_policy: true,
        }
    }
}

/// Their MSP ids.
pub(super) fn two_orgs() -> Vec<String> {
    ["Org1MSP", "Org2MSP"].map(str::to_owned).to_vec()
}

impl ChannelConfig for TwoOrgs {
    fn application_organizations(&self) -> Option<Vec<String>> {
        Some(two_orgs())
    }

    fn has_lifecycle(&self) -> bool {
        self.has_lifecycle
    }

    fn has_policy(&self, path: &str) -> bool {
        self.has_default_policy && path == "/Channel/Application/Endorsement"
    }

    fn has_organization(&self, msp_id: &str) -> bool {
        two_orgs().iter().any(|organization| organization == msp_id)
    }

    fn has_identity(&self, _serialized: &[u8]) -> bool {
        false
    }
}

/// Packages that are installed, by their ids.
#[derive(Debug)]
pub(super) struct Ids(pub(super) Vec<&'static str>);

impl Packages for Ids {
    fn install(&self, _: &[u8]) -> Result<Installed, PackagesError> {
        Err(PackagesError::Full(0))
    }

    fn installed(&self) -> Vec<Installed> {
        let ids = self.0.iter();
        ids.map(|id| Installed {
            package_id: (*id).to_owned(),
            label: String::new(),
        })
        .collect()
    }

    fn get(&self, _: &str) -> Result<Option<Bytes>, PackagesError> {
        Ok(None)
    }

    fn tell(&self, _: Weak<dyn OnInstall>) {}
}
