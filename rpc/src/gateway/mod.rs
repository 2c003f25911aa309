//! `gateway.Gateway`: what an application needs of a network, from one node.
//!
//! ```text
//! Evaluate        run a proposal, answer what the chaincode said
//! Endorse         run a proposal, answer the transaction for its creator to sign
//! Submit          order a signed transaction; answered when it is ordered, not when it is committed
//! CommitStatus    what became of a transaction; waits for it
//! ChaincodeEvents what a chaincode's transactions tell, as they are committed
//! ```

mod chaincode_events;
mod commit_status;
mod endorse;
mod evaluate;
mod failure;
mod proposal;
mod submit;
mod told;
mod transient;

pub(crate) use chaincode_events::chaincode_events;
pub(crate) use commit_status::commit_status;
pub(crate) use endorse::endorse;
pub(crate) use evaluate::evaluate;
pub(crate) use submit::submit;
pub(crate) use told::Told;
