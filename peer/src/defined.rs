//! A chaincode that a channel defines, as it is called: by its definition, which may ask that it be initialised first.

use std::sync::Arc;

use quire_chaincode::lifecycle::Deployment;
use quire_chaincode::shim::ShimChaincode;
use quire_chaincode::{Call, Chaincode, ChaincodeError, Invocation, Proposed, Simulated, Weight};
use quire_ledger::{LIFECYCLE, ReadError, Simulator};
use quire_wire::Message as _;
use quire_wire::lifecycle::{StateData, StateValue};

/// The key in a chaincode's namespace that says for which version it was initialised: Fabric's.
const INITIALIZED: &str = "\0\u{10ffff}initialized";

/// A chaincode that a channel defines.
#[derive(Debug)]
pub(crate) struct Defined {
    pub(crate) deployment: Deployment,
    pub(crate) process: Arc<ShimChaincode>,
}

impl Defined {
    /// Whether a call may begin, by Fabric's rules. The transaction becomes invalid if the definition changes.
    fn check(&self, is_init: bool, simulator: &mut Simulator) -> Result<(), ChaincodeError> {
        let name = &self.deployment.name;
        let sequence = self.deployment.definition.sequence;
        let current = current_sequence(name, simulator)?;
        if current != sequence {
            return Err(ChaincodeError::NotRun(format!(
                "the definition of chaincode {name:?} has changed from {sequence} to {current}: try again"
            )));
        }
        let info = &self.deployment.definition.parameters.endorsement;
        if !info.init_required {
            return if is_init {
                let text =
                    format!("chaincode {name:?} needs no initialisation, and was called with one");
                Err(ChaincodeError::NotRun(text))
            } else {
                Ok(())
            };
        }
        let initialized = simulator.get(name, INITIALIZED)?.map(|found| found.value);
        let is_initialized = initialized.as_deref() == Some(info.version.as_bytes());
        match (is_init, is_initialized) {
            (true, true) => Err(ChaincodeError::NotRun(format!(
                "chaincode {name:?} is initialised already"
            ))),
            (true, false) => {
                let version = info.version.clone().into_bytes().into();
                simulator.put(name, INITIALIZED, version);
                Ok(())
            }
            (false, true) => Ok(()),
            (false, false) => Err(ChaincodeError::NotRun(format!(
                "chaincode {name:?} has not been initialised for this version: its first call must be an \
                 initialisation"
            ))),
        }
    }
}

/// The number of a chaincode's definition as the simulator sees it.
fn current_sequence(name: &str, simulator: &mut Simulator) -> Result<i64, ReadError> {
    let key = format!("namespaces/fields/{name}/Sequence");
    let found = simulator.get(LIFECYCLE, &key)?;
    let data = found.and_then(|found| StateData::decode(found.value).ok());
    Ok(match data.and_then(|data| data.r#type) {
        Some(StateValue::Int64(sequence)) => sequence,
        _ => 0,
    })
}

impl Chaincode for Defined {
    fn invoke(
        &self,
        call: &Call,
        proposed: &dyn Proposed,
        mut simulator: Simulator,
    ) -> Invocation<Simulated> {
        let transaction = proposed.transaction();
        match self.check(transaction.input.is_init, &mut simulator) {
            Ok(()) => self.process.invoke(call, &transaction, simulator),
            Err(error) => Invocation::Done(Simulated {
                simulator,
                answer: Err(error),
            }),
        }
    }

    fn version(&self) -> String {
        self.process.version()
    }

    fn weight(&self, call: &Call) -> Weight {
        self.process.weight(call)
    }

    fn has_package(&self) -> bool {
        self.deployment.package_id.is_some()
    }
}
