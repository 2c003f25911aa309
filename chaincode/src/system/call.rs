//! A call of a system chaincode, taken apart.

use bytes::Bytes;
use quire_wire::Message as _;
use quire_wire::peer::{
    ChaincodeInvocationSpec, ChaincodeProposalPayload, Proposal, SignedProposal,
};

use super::host::Host;
use crate::{Answer, ChaincodeError, Transaction};

/// A call of a system chaincode.
pub(super) struct SystemCall<'a> {
    pub(super) host: &'a dyn Host,
    pub(super) transaction: &'a Transaction,
}

impl<'a> SystemCall<'a> {
    /// How many arguments there are; the first is the name of the function.
    pub(super) fn len(&self) -> usize {
        self.transaction.input.args.len()
    }

    /// The bytes of an argument; empty where there is none.
    pub(super) fn bytes(&self, position: usize) -> &'a [u8] {
        let args = &self.transaction.input.args;
        args.get(position).map_or(&[], |argument| &**argument)
    }

    /// The text of an argument.
    pub(super) fn text(&self, position: usize) -> String {
        String::from_utf8_lossy(self.bytes(position)).into_owned()
    }

    /// Refuses the call if another chaincode makes it; `rejected` is what comes of it, in Fabric's words.
    pub(super) fn check_not_called_by_another(
        &self,
        name: &str,
        rejected: &str,
    ) -> Result<(), ChaincodeError> {
        let called = called(&self.transaction.proposal);
        let called = called.ok_or_else(|| {
            no("Failed to identify the called chaincode: the proposal cannot be read")
        })?;
        if called == name {
            return Ok(());
        }
        Err(no(format!(
            "{rejected}, original invocation for '{called}'"
        )))
    }

    /// Whether the caller may use a resource of a channel. `refused` makes the text of why not.
    pub(super) fn check_access(
        &self,
        resource: &str,
        channel: &str,
        refused: impl FnOnce(String) -> String,
    ) -> Result<(), ChaincodeError> {
        let access = self.host.check_access(resource, channel, self.transaction);
        access.map_err(|why| no(refused(why)))
    }
}

/// The name of the chaincode that a client called.
fn called(signed: &SignedProposal) -> Option<String> {
    let proposal = Proposal::decode(signed.proposal_bytes.clone()).ok()?;
    let payload = ChaincodeProposalPayload::decode(proposal.payload).ok()?;
    let invocation = ChaincodeInvocationSpec::decode(payload.input).ok()?;
    Some(invocation.chaincode_spec?.chaincode_id?.name)
}

/// A message as a result.
pub(super) fn yes(message: &impl quire_wire::Message) -> Answer {
    Answer::of(Bytes::from(message.encode_to_vec()))
}

/// Fabric's plain no.
pub(super) fn no(message: impl Into<String>) -> ChaincodeError {
    ChaincodeError::refused(message)
}
