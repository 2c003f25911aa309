//! A state and a configuration in memory, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use bytes::Bytes;
use quire_ledger::ReadError;
use quire_wire::hash::sha256;

use super::config::ChannelConfig;
use super::state::{Place, State};

/// The organisation by its MSP id, none for public state, and the key.
pub(super) type Name = (Option<String>, String);

/// State that takes in at once what is written, and remembers it in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub(super) values: BTreeMap<Name, Bytes>,
    written: Vec<(Name, Option<Bytes>)>,
    /// What was read, whether for its value or for its hash.
    pub(super) read: BTreeSet<Name>,
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
        Ok(self.values.get(&name(place, key)).cloned())
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
        let value = self.get(Place::Of(organization), key)?;
        Ok(value.map(|value| sha256([&*value]).to_vec().into()))
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
