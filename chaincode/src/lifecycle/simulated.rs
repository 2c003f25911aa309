//! The state of `_lifecycle` in a transaction that is simulated.

use bytes::Bytes;
use quire_ledger::{ReadError, Simulator};

use super::state::{NAMESPACE, Place, State, implicit_collection};

/// The namespace of definitions before Fabric 2.
const LEGACY: &str = "lscc";

/// State as a simulator has it. Of private values it has what this node endorsed.
#[derive(Debug)]
pub struct SimulatedState<'a>(pub &'a mut Simulator);

impl State for SimulatedState<'_> {
    fn get(&mut self, place: Place<'_>, key: &str) -> Result<Option<Bytes>, ReadError> {
        let namespace = match place {
            Place::Public => NAMESPACE,
            Place::Legacy => LEGACY,
            Place::Of(organization) => {
                let collection = implicit_collection(organization);
                return self.0.get_private(NAMESPACE, &collection, key);
            }
        };
        Ok(self.0.get(namespace, key)?.map(|found| found.value))
    }

    fn range(
        &mut self,
        place: Place<'_>,
        start: &str,
        end: &str,
        limit: usize,
    ) -> Result<Vec<(String, Bytes)>, ReadError> {
        let namespace = match place {
            Place::Public => NAMESPACE,
            Place::Legacy => LEGACY,
            Place::Of(organization) => {
                let collection = implicit_collection(organization);
                return self.0.private_range(NAMESPACE, &collection, start, end);
            }
        };
        let rows = self.0.range(namespace, start, end, limit)?;
        Ok(rows
            .into_iter()
            .map(|(key, found)| (key, found.value))
            .collect())
    }

    fn hash(&mut self, organization: &str, key: &str) -> Result<Option<Bytes>, ReadError> {
        let collection = implicit_collection(organization);
        self.0.private_hash(NAMESPACE, &collection, key)
    }

    fn put(&mut self, place: Place<'_>, key: &str, value: Bytes) {
        match place {
            Place::Public => self.0.put(NAMESPACE, key, value),
            Place::Legacy => self.0.put(LEGACY, key, value),
            Place::Of(organization) => {
                let collection = implicit_collection(organization);
                self.0.put_private(NAMESPACE, &collection, key, value);
            }
        }
    }

    fn delete(&mut self, place: Place<'_>, key: &str) {
        match place {
            Place::Public => self.0.delete(NAMESPACE, key),
            Place::Legacy => self.0.delete(LEGACY, key),
            Place::Of(organization) => {
                let collection = implicit_collection(organization);
                self.0.delete_private(NAMESPACE, &collection, key);
            }
        }
    }
}
