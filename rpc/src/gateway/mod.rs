//! `gateway.Gateway`: what an application needs of a network, from one node.
//!
//! ```text
//! Evaluate        run a proposal, answer what the chaincode said
//! Endorse         run a proposal, answer the transaction for its creator to sign
//! Submit          order a signed transaction; answered when it is ordered, not when it is committed
//! CommitStatus    what became of a transaction; waits for it
//! ```

mod commit_status;
mod endorse;
mod evaluate;
mod failure;
mod proposal;
mod submit;

pub(crate) use commit_status::commit_status;
pub(crate) use endorse::endorse;
pub(crate) use evaluate::evaluate;
pub(crate) use submit::submit;
