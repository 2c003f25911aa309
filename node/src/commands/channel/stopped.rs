//! The node of a data directory that no process has open, for a command that acts on it by itself.

use quire_chaincode::Documents;
use quire_ledger::OpenError;

use crate::arguments::DataArguments;
use crate::logging::Logging;
use crate::memory::{default_budget, engine_cache};
use crate::node::{Node, NodeError};

/// Opens the node; no channel is open yet, and no chaincode runs.
///
/// # Errors
/// [`OpenError::InUse`] if a process has the directory open, such as a running node; that is asked then.
pub(crate) fn open(data: &DataArguments) -> Result<Node, NodeError> {
    let engine = data.state.engine().map_err(OpenError::from)?;
    Node::open(
        &data.data,
        (&data.msp_id, data.given.given()?),
        (&engine, engine_cache(default_budget())),
        Documents::default(),
        Logging::none(),
        false,
    )
}
