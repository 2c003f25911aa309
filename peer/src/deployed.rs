//! The chaincodes that a channel defines, as this node runs them: read when the channel is opened, and again behind
//! every block that defines or approves something.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use quire_chaincode::Chaincodes;
use quire_chaincode::lifecycle::{
    Deployment, Lifecycle, LifecycleError, OnInstall, Packages, SimulatedState, deployments,
};
use quire_chaincode::shim::{Host, ShimChaincode};
use quire_chaincode::system::{CSCC, Cscc, LSCC, Lscc, QSCC, Qscc};
use quire_ledger::{IMPLICIT_COLLECTION, LIFECYCLE, Reader, Simulator};
use quire_wire::lifecycle::ReferencedChaincode;

use crate::callees::Callees;
use crate::chaincode_host::ChaincodeHost;
use crate::config::Current;
use crate::defined::Defined;
use crate::defining::Defining;
use crate::package_indexes::PackageIndexes;
use crate::processes::{Attached, Processes};
use crate::telling::Telling;

/// Lets the system chaincodes govern their namespaces.
fn deploy_system(chaincodes: &Chaincodes, telling: Arc<Telling>, host: &ChaincodeHost) {
    let packages = Arc::clone(&host.packages);
    let lscc = Lscc::new(Arc::clone(&telling) as _, packages);
    chaincodes.deploy(LSCC, Arc::new(lscc));
    chaincodes.deploy(QSCC, Arc::new(Qscc::new(Arc::clone(&telling) as _)));
    chaincodes.deploy(CSCC, Arc::new(Cscc::new(telling)));
}

/// The chaincodes that a channel defines.
#[derive(Debug)]
pub(crate) struct Deployed {
    reader: Reader,
    /// MSP id of the node's organisation.
    organization: String,
    config: Current,
    chaincodes: Arc<Chaincodes>,
    packages: Arc<dyn Packages>,
    processes: Arc<dyn Processes>,
    /// What chaincodes need while they run.
    host: Arc<dyn Host>,
    running: Mutex<BTreeMap<String, Arc<Defined>>>,
    /// Whether what changed last could not be read.
    is_stale: AtomicBool,
}

impl Deployed {
    /// Those of a channel that is opened, the system chaincodes among them.
    ///
    /// # Errors
    /// As [`Self::read_again`]: a channel of which nobody knows who governs what is not opened.
    pub(crate) fn new(
        reader: &Reader,
        organization: &str,
        config: &Current,
        chaincodes: &Arc<Chaincodes>,
        host: &ChaincodeHost,
    ) -> Result<Arc<Self>, LifecycleError> {
        let channel = reader.channel().into();
        let defining = Arc::new(Defining {
            channel,
            organization: organization.to_owned(),
            config: config.clone(),
            processes: Arc::clone(&host.processes),
        });
        let telling = Telling {
            reader: reader.clone(),
            defining: Arc::clone(&defining),
            channels: Arc::clone(&host.channels),
        };
        let packages = Arc::clone(&host.packages);
        let lifecycle = Lifecycle::new(
            organization.to_owned(),
            Arc::clone(&defining) as _,
            packages,
        );
        chaincodes.deploy(LIFECYCLE, Arc::new(lifecycle));
        deploy_system(chaincodes, Arc::new(telling), host);
        let deployed = Arc::new(Self {
            reader: reader.clone(),
            organization: organization.to_owned(),
            config: config.clone(),
            chaincodes: Arc::clone(chaincodes),
            packages: Arc::clone(&host.packages),
            processes: Arc::clone(&host.processes),
            host: Arc::new(Callees {
                chaincodes: Arc::downgrade(chaincodes),
                channels: Arc::clone(&host.channels),
                timer: Arc::clone(&host.timer),
                access: Arc::clone(&defining),
                collection: format!("{IMPLICIT_COLLECTION}{organization}"),
            }),
            running: Mutex::default(),
            is_stale: AtomicBool::new(false),
        });
        deployed.read_again()?;
        let itself: Arc<dyn OnInstall> = Arc::clone(&deployed) as _;
        host.packages.tell(Arc::downgrade(&itself));
        Ok(deployed)
    }

    /// Reads what the channel defines now, and goes by it: calls that have begun are not concerned.
    ///
    /// # Errors
    /// The ledger could not be read, or holds a definition that nobody could have written; all stays as it was.
    fn read_again(&self) -> Result<(), LifecycleError> {
        // Held from before the first read: who comes later has read later.
        let mut running = self.running.lock();
        let mut simulator = Simulator::new(self.reader.snapshot());
        let mut state = SimulatedState(&mut simulator);
        let bundle = Arc::clone(&self.config.get().bundle);
        let channel = self.reader.channel();
        let (organization, packages) = (&self.organization, &*self.packages);
        let defined = deployments(&mut state, channel, &*bundle, organization, packages)?;
        let mut former = std::mem::take(&mut *running);
        for deployment in defined {
            let name = deployment.name.clone();
            let one = match former.remove(&name) {
                Some(known) if known.deployment == deployment => known,
                known => {
                    // The new one first, so that a process which serves both goes on.
                    let begun = self.begin(deployment);
                    if let Some(known) = known {
                        self.end(&known);
                    }
                    begun
                }
            };
            running.insert(name, one);
        }
        for (name, gone) in former {
            self.chaincodes.remove(&name);
            self.end(&gone);
        }
        Ok(())
    }

    /// As [`Self::read_again`], if definitions have `changed`, or could not be read before. If that fails, the log says
    /// so, and calls go on by what was known until it succeeds behind a later block.
    pub(crate) fn follow(&self, changed: bool) {
        if !changed && !self.is_stale.load(Ordering::Relaxed) {
            return;
        }
        let read = self.read_again();
        self.is_stale.store(read.is_err(), Ordering::Relaxed);
        if let Err(error) = read {
            let error = &error as &dyn std::error::Error;
            tracing::error!(
                channel = self.reader.channel(),
                error,
                "definitions cannot be read"
            );
        }
    }

    fn begin(&self, deployment: Deployment) -> Arc<Defined> {
        let name = deployment.name.clone();
        let version = deployment.definition.parameters.endorsement.version.clone();
        let host = Arc::clone(&self.host);
        let process = Arc::new(ShimChaincode::new(name.clone(), version.clone(), host));
        let defined = Arc::new(Defined {
            deployment,
            process,
        });
        let Defined {
            deployment,
            process,
        } = &*defined;
        self.chaincodes.deploy(&name, Arc::clone(&defined) as _);
        let sequence = deployment.definition.sequence;
        let channel = self.reader.channel();
        if let Some(package_id) = &deployment.package_id {
            tracing::info!(
                channel,
                name,
                version,
                sequence,
                package_id,
                "a chaincode is deployed"
            );
            let attached = Attached {
                channel: channel.into(),
                reference: ReferencedChaincode {
                    name: name.clone(),
                    version,
                },
                chaincode: Arc::clone(process),
                indexes: Arc::new(PackageIndexes {
                    reader: self.reader.clone(),
                    namespace: name,
                }),
            };
            self.processes.attach(package_id, attached);
        } else {
            let reason =
                "this organisation has approved no package for it, or one that is not installed";
            tracing::warn!(
                channel,
                name,
                version,
                sequence,
                reason,
                "a chaincode does not run here"
            );
        }
        defined
    }

    fn end(&self, gone: &Defined) {
        if let Some(package_id) = &gone.deployment.package_id {
            self.processes.detach(package_id, &gone.process);
        }
    }
}

/// A package may be what another node of the organisation approved.
impl OnInstall for Deployed {
    fn installed(&self) {
        self.follow(true);
    }
}
