//! What the chaincodes of a node's channels need of the node.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use quire_chaincode::Chaincodes;
use quire_chaincode::lifecycle::{Installed, OnInstall, Packages, PackagesError};
use quire_chaincode::shim::{Deadline, ShimChaincode};
use quire_ledger::Reader;
use quire_wire::lifecycle::ReferencedChaincode;
use quire_wire::peer::SignedProposal;

use crate::callees::{Channels, Timer};
use crate::processes::{Attached, Processes};

/// What the chaincodes of a node's channels need of the node. A cheap clone.
#[derive(Clone, Debug)]
pub struct ChaincodeHost {
    /// The packages that are installed.
    pub packages: Arc<dyn Packages>,
    /// Where their code runs.
    pub processes: Arc<dyn Processes>,
    /// Ends calls that take too long.
    pub timer: Arc<dyn Timer>,
    /// The other channels.
    pub channels: Arc<dyn Channels>,
}

impl ChaincodeHost {
    /// That of a command which opens channels and runs no chaincode: nothing is installed, and calls of deployed
    /// chaincodes find no process.
    #[must_use]
    pub fn idle() -> Self {
        Self {
            packages: Arc::new(Idle),
            processes: Arc::new(Idle),
            timer: Arc::new(Idle),
            channels: Arc::new(Idle),
        }
    }
}

#[derive(Debug)]
struct Idle;

impl Packages for Idle {
    fn install(&self, _: &[u8]) -> Result<Installed, PackagesError> {
        Err(PackagesError::Full(0))
    }

    fn installed(&self) -> Vec<Installed> {
        Vec::new()
    }

    fn get(&self, _: &str) -> Result<Option<Bytes>, PackagesError> {
        Ok(None)
    }

    fn tell(&self, _: Weak<dyn OnInstall>) {}
}

impl Processes for Idle {
    fn attach(&self, _: &str, _: Attached) {}

    fn references(&self, _: &str) -> BTreeMap<String, Vec<ReferencedChaincode>> {
        BTreeMap::new()
    }

    fn detach(&self, _: &str, _: &Arc<ShimChaincode>) {}
}

impl Timer for Idle {
    fn deadline(&self) -> Deadline {
        Box::pin(std::future::pending())
    }
}

impl Channels for Idle {
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn reader(&self, _: &str) -> Option<Reader> {
        None
    }

    fn check_access(&self, channel: &str, _: &str, _: &SignedProposal) -> Result<(), String> {
        Err(format!("channel {channel} is not open here"))
    }

    fn open(&self, channel: &str, _: &SignedProposal) -> Result<(Reader, Arc<Chaincodes>), String> {
        Err(format!("channel {channel} is not open here"))
    }
}
