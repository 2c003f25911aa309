//! Who governs which namespace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::{Call, Chaincode, Documents, Hints, Weight};

/// The chaincodes of a channel by the namespaces that they govern. The built-in one governs every namespace
/// that nobody else does.
#[derive(Debug)]
pub struct Chaincodes {
    built_in: Arc<dyn Chaincode>,
    deployed: RwLock<BTreeMap<String, Arc<dyn Chaincode>>>,
    changes: AtomicU64,
}

impl Chaincodes {
    /// Only the built-in one.
    #[must_use]
    pub fn new(documents: Documents) -> Self {
        Self {
            built_in: Arc::new(documents),
            deployed: RwLock::default(),
            changes: AtomicU64::new(0),
        }
    }

    /// Lets a chaincode govern a namespace from now on; calls that have begun are not concerned.
    pub fn deploy(&self, namespace: &str, chaincode: Arc<dyn Chaincode>) {
        let mut deployed = self.deployed.write();
        deployed.insert(namespace.to_owned(), chaincode);
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Gives a namespace back to the built-in chaincode.
    pub fn remove(&self, namespace: &str) {
        let mut deployed = self.deployed.write();
        deployed.remove(namespace);
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// How often who governs what has changed. What was concluded before the last change may be wrong.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The chaincode that governs a namespace.
    #[must_use]
    pub fn of(&self, namespace: &str) -> Arc<dyn Chaincode> {
        let deployed = self.deployed.read();
        let found = deployed.get(namespace).unwrap_or(&self.built_in);
        Arc::clone(found)
    }

    /// Whether a namespace is governed by a chaincode that is not the built-in one.
    #[must_use]
    pub fn is_deployed(&self, namespace: &str) -> bool {
        self.deployed.read().contains_key(namespace)
    }

    /// Whether the arguments of calls in a namespace are JSON texts.
    #[must_use]
    pub fn takes_json(&self, namespace: &str) -> bool {
        self.of(namespace).takes_json()
    }

    /// What it costs to begin a call.
    #[must_use]
    pub fn weight(&self, call: &Call) -> Weight {
        self.of(&call.chaincode).weight(call)
    }

    /// What is told of a call before it runs.
    #[must_use]
    pub fn hints(&self, call: &Call) -> Hints {
        self.of(&call.chaincode).hints(call)
    }
}

impl Default for Chaincodes {
    fn default() -> Self {
        Self::new(Documents::default())
    }
}

#[cfg(test)]
mod tests {
    use quire_ledger::Simulator;

    use super::*;
    use crate::{Answer, Invocation, Proposed, Simulated};

    #[derive(Debug)]
    struct Echo;

    impl Chaincode for Echo {
        fn invoke(
            &self,
            call: &Call,
            _: &dyn Proposed,
            simulator: Simulator,
        ) -> Invocation<Simulated> {
            let answer = Ok(Answer::of(call.function.clone().into()));
            Invocation::Done(Simulated { simulator, answer })
        }
    }

    #[test]
    fn a_namespace_is_governed_by_its_chaincode_and_else_by_the_built_in_one() {
        let chaincodes = Chaincodes::default();
        let who = |namespace| format!("{:?}", chaincodes.of(namespace));
        assert!(who("echo").starts_with("Documents"));
        chaincodes.deploy("echo", Arc::new(Echo));
        assert_eq!(who("echo"), "Echo");
        assert!(who("orders").starts_with("Documents"));
        chaincodes.remove("echo");
        assert!(who("echo").starts_with("Documents"));
    }

    #[test]
    fn of_a_deployed_chaincode_nothing_is_guessed_from_the_names_of_functions() {
        let chaincodes = Chaincodes::default();
        let call = Call {
            chaincode: "echo".to_owned(),
            function: "create".to_owned(),
            args: vec![r#""k""#.into(), "1".into()],
        };
        let hints = chaincodes.hints(&call);
        assert_eq!(hints.known_keys(), [("echo".to_owned(), "k".to_owned())]);
        assert_eq!(hints.conditions.len(), 1);
        assert_eq!(chaincodes.weight(&call), Weight::Brief);
        chaincodes.deploy("echo", Arc::new(Echo));
        assert_eq!(chaincodes.hints(&call), Hints::default());
        assert_eq!(chaincodes.weight(&call), Weight::Scan);
    }
}
