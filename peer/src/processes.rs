//! Where the code of chaincodes runs, as a channel asks for it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use quire_chaincode::shim::ShimChaincode;
use quire_wire::lifecycle::ReferencedChaincode;

use crate::package_indexes::MakeIndexes;

/// A chaincode of a channel that runs the code of a package.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The channel.
    pub channel: Arc<str>,
    /// The chaincode, and the version of its definition.
    pub reference: ReferencedChaincode,
    /// Makes its calls.
    pub chaincode: Arc<ShimChaincode>,
    /// Makes the indexes that the package brings along.
    pub indexes: Arc<dyn MakeIndexes>,
}

/// Where the code of chaincodes runs.
pub trait Processes: Debug + Send + Sync {
    /// Lets a chaincode make its calls with the process of a package from now on, and starts that if need be. Never
    /// blocks. The indexes that the package brings along are made soon, if it is installed, or as soon as it is.
    fn attach(&self, package_id: &str, attached: Attached);

    /// The chaincodes that run the code of a package, by channel.
    fn references(&self, package_id: &str) -> BTreeMap<String, Vec<ReferencedChaincode>>;

    /// Makes no more calls of a chaincode with the process of a package, and ends a process that nobody uses.
    fn detach(&self, package_id: &str, chaincode: &Arc<ShimChaincode>);
}
