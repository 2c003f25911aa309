//! `lscc`: chaincodes, for clients from before Fabric 2. It only tells: what a channel has from before Fabric 2 as
//! it was recorded, and what `_lifecycle` defines in the shape of such a record.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use quire_ledger::Simulator;
use quire_wire::Message as _;
use quire_wire::collection::{ApplicationPolicy, PolicyKind};
use quire_wire::query::{ChaincodeData, ChaincodeInfo, ChaincodeQueryResponse};

use super::call::{SystemCall, no, yes};
use super::host::Host;
use crate::lifecycle::{
    Definition, Installed, LifecycleError, Packages, Place, SimulatedState, State, VERSION,
    definition, definitions,
};
use crate::{
    Answer, Call, Chaincode, ChaincodeError, Invocation, Proposed, Simulated, Transaction, Weight,
};

/// The end of the key of a chaincode's collections.
const COLLECTIONS: &str = "~collection";
/// Behind all keys of records.
const END: &str = "\u{10ffff}";
/// How many records are read at one go.
const PAGE: usize = 10;
/// Most chaincodes that are told of. A namespace `lscc` may hold anything, where Quire's rules were in force.
const MAX_CHAINCODES: usize = 10_000;

/// `lscc`.
#[derive(Debug)]
pub struct Lscc {
    host: Arc<dyn Host>,
    packages: Arc<dyn Packages>,
}

/// What the functions are, under whichever of their two names.
enum Function {
    Exists,
    DeploymentSpec,
    Data,
    All,
    Installed,
    Collections,
    Install,
    Deploy,
}

impl Function {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "getid" | "ChaincodeExists" => Self::Exists,
            "getdepspec" | "GetDeploymentSpec" => Self::DeploymentSpec,
            "getccdata" | "GetChaincodeData" => Self::Data,
            "getchaincodes" | "GetChaincodes" => Self::All,
            "getinstalledchaincodes" | "GetInstalledChaincodes" => Self::Installed,
            "GetCollectionsConfig" | "getcollectionsconfig" => Self::Collections,
            "install" => Self::Install,
            "deploy" | "upgrade" => Self::Deploy,
            _ => return None,
        })
    }

    /// How many arguments it has at least and at most, its own name among them.
    fn arguments(&self) -> RangeInclusive<usize> {
        match self {
            Self::Exists | Self::DeploymentSpec | Self::Data => 3..=3,
            Self::All | Self::Installed => 1..=1,
            Self::Collections => 2..=2,
            Self::Install => 2..=usize::MAX,
            Self::Deploy => 3..=usize::MAX,
        }
    }

    /// The resource that it is; what `_lifecycle` does instead needs no right to be told so.
    fn resource(&self) -> Option<&'static str> {
        Some(match self {
            Self::Exists => "lscc/ChaincodeExists",
            Self::DeploymentSpec => "lscc/GetDeploymentSpec",
            Self::Data => "lscc/GetChaincodeData",
            Self::All => "lscc/GetInstantiatedChaincodes",
            Self::Installed => "lscc/GetInstalledChaincodes",
            Self::Collections => "lscc/GetCollectionsConfig",
            Self::Install => "lscc/Install",
            Self::Deploy => return None,
        })
    }
}

impl Lscc {
    /// `lscc` of a node with these packages.
    #[must_use]
    pub fn new(host: Arc<dyn Host>, packages: Arc<dyn Packages>) -> Self {
        Self { host, packages }
    }

    /// Answers a call. Without a state, which is for calls outside of a channel, it has to do with packages only.
    ///
    /// # Errors
    /// With Fabric's status and text, or the ledger could not be read.
    pub fn answer(
        &self,
        transaction: &Transaction,
        state: Option<&mut dyn State>,
    ) -> Result<Answer, ChaincodeError> {
        let call = SystemCall {
            host: &*self.host,
            transaction,
        };
        let many = || {
            no(format!(
                "invalid number of arguments to lscc: {}",
                call.len()
            ))
        };
        if call.len() == 0 {
            return Err(many());
        }
        let name = &*call.text(0);
        let function = Function::of(name);
        let function = function.ok_or_else(|| no(format!("invalid function to lscc: {name}")))?;
        if !function.arguments().contains(&call.len()) {
            return Err(many());
        }
        let channel = &*transaction.channel;
        if let Some(resource) = function.resource() {
            call.check_access(resource, channel, |why| match function {
                Function::Installed | Function::Install | Function::Collections => {
                    format!("access denied for [{name}]: {why}")
                }
                _ => format!("access denied for [{name}][{channel}]: {why}"),
            })?;
        }
        if let Function::Installed = function {
            return Ok(self.installed());
        }
        if let Function::Install = function {
            return Err(no(
                "chaincodes are installed with _lifecycle, LSCC is read-only",
            ));
        }
        let state = state.ok_or_else(|| no(format!("{name} is asked of a channel")))?;
        let one = &*match function {
            Function::Collections => call.text(1),
            _ => call.text(2),
        };
        match function {
            Function::Exists => exists(state, one),
            Function::DeploymentSpec => deployment_spec(state, one),
            Function::Data => Ok(Answer::of(record(state, one)?)),
            Function::Collections => collections(state, one),
            Function::All => all(state),
            Function::Installed | Function::Install | Function::Deploy => Err(no(format!(
                "Channel '{channel}' has been migrated to the new lifecycle, LSCC is now read-only"
            ))),
        }
    }

    /// The packages that are installed. They have a label, and no name and version of a chaincode.
    fn installed(&self) -> Answer {
        let installed = self.packages.installed().into_iter();
        let chaincodes = installed.map(|Installed { package_id, label }| {
            let hash = package_id.rsplit(':').next().unwrap_or_default();
            ChaincodeInfo {
                name: label,
                id: hex::decode(hash).unwrap_or_default().into(),
                ..ChaincodeInfo::default()
            }
        });
        yes(&ChaincodeQueryResponse {
            chaincodes: chaincodes.collect(),
        })
    }
}

impl Chaincode for Lscc {
    fn invoke(
        &self,
        _: &Call,
        proposed: &dyn Proposed,
        mut simulator: Simulator,
    ) -> Invocation<Simulated> {
        let mut state = SimulatedState(&mut simulator);
        let answer = self.answer(&proposed.transaction(), Some(&mut state));
        Invocation::Done(Simulated { simulator, answer })
    }

    fn version(&self) -> String {
        VERSION.to_owned()
    }

    fn weight(&self, _: &Call) -> Weight {
        Weight::Keys
    }
}

/// The record of a chaincode, as it was written before Fabric 2 or else as its definition would have it.
fn record(state: &mut dyn State, name: &str) -> Result<Bytes, ChaincodeError> {
    if let Some(record) = state.get(Place::Legacy, name)? {
        return Ok(record);
    }
    match definition(state, name) {
        Ok(definition) => Ok(data(name, definition).encode_to_vec().into()),
        Err(LifecycleError::NotDefined(_)) => {
            let text = format!("could not find chaincode with name '{name}'");
            Err(no(text))
        }
        Err(error) => Err(other(error)),
    }
}

/// A definition in the shape of a record. A policy that is a reference cannot stand there.
fn data(name: &str, definition: Definition) -> ChaincodeData {
    let parameters = definition.parameters;
    let policy = ApplicationPolicy::decode(parameters.validation.validation_parameter);
    let policy = match policy.ok().and_then(|policy| policy.r#type) {
        Some(PolicyKind::SignaturePolicy(policy)) => Some(policy),
        Some(PolicyKind::ChannelConfigPolicyReference(_)) | None => None,
    };
    ChaincodeData {
        name: name.to_owned(),
        version: parameters.endorsement.version,
        escc: parameters.endorsement.endorsement_plugin,
        vscc: parameters.validation.validation_plugin,
        policy,
        ..ChaincodeData::default()
    }
}

fn decoded(name: &str, record: Bytes) -> Result<ChaincodeData, ChaincodeError> {
    let record = ChaincodeData::decode(record);
    record.map_err(|error| no(format!("chaincode {name} has bad definition: {error}")))
}

fn exists(state: &mut dyn State, name: &str) -> Result<Answer, ChaincodeError> {
    let record = record(state, name)?;
    Ok(Answer::of(decoded(name, record)?.name.into()))
}

/// The code of a chaincode is in a package, which is another format.
fn deployment_spec(state: &mut dyn State, name: &str) -> Result<Answer, ChaincodeError> {
    let record = record(state, name)?;
    let version = decoded(name, record)?.version;
    Err(no(format!(
        "could not get the deployment spec of '{name}:{version}': it is in no package from before Fabric 2 on this node"
    )))
}

fn collections(state: &mut dyn State, name: &str) -> Result<Answer, ChaincodeError> {
    let recorded = state.get(Place::Legacy, &format!("{name}{COLLECTIONS}"))?;
    let recorded = recorded.filter(|recorded| !recorded.is_empty());
    if let Some(recorded) = recorded {
        return Ok(Answer::of(recorded));
    }
    match definition(state, name) {
        Ok(definition) if !definition.parameters.collections.config.is_empty() => {
            Ok(yes(&definition.parameters.collections))
        }
        Ok(_) | Err(LifecycleError::NotDefined(_)) => {
            let text = format!("collections config not defined for chaincode {name}");
            Err(no(text))
        }
        Err(error) => Err(other(error)),
    }
}

/// All chaincodes of the channel, in the order of their names.
fn all(state: &mut dyn State) -> Result<Answer, ChaincodeError> {
    let mut all = BTreeMap::new();
    for (name, definition) in definitions(state).map_err(other)? {
        let told = info(data(&name, definition));
        all.insert(name, told);
    }
    let mut start = String::new();
    loop {
        let page = state.range(Place::Legacy, &start, END, PAGE)?;
        let is_last = page.len() < PAGE;
        for (key, record) in page {
            // The key behind this one.
            start = format!("{key}\0");
            if !key.ends_with(COLLECTIONS) {
                let told = info(decoded(&key, record)?);
                all.insert(key, told);
            }
        }
        if all.len() > MAX_CHAINCODES {
            return Err(no("the channel has too many chaincodes"));
        }
        if is_last {
            break;
        }
    }
    Ok(yes(&ChaincodeQueryResponse {
        chaincodes: all.into_values().collect(),
    }))
}

fn info(record: ChaincodeData) -> ChaincodeInfo {
    ChaincodeInfo {
        name: record.name,
        version: record.version,
        escc: record.escc,
        vscc: record.vscc,
        ..ChaincodeInfo::default()
    }
}

fn other(error: LifecycleError) -> ChaincodeError {
    match error {
        LifecycleError::Read(error) => error.into(),
        error => no(error.to_string()),
    }
}
