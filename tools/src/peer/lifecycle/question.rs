//! A call of `_lifecycle`, and what one peer answers to it.

use bytes::Bytes;
use quire_wire::Message;
use quire_wire::deliver::status;
use quire_wire::peer::{ProposalResponse, Response};

use crate::peer::caller::{Caller, Input};
use crate::peer::endpoint::Endpoint;
use crate::peer::error::PeerError;

/// The chaincode that does it.
const LIFECYCLE: &str = "_lifecycle";

/// A call of a function of `_lifecycle`.
pub(super) fn call(function: &str, args: &impl Message) -> Input {
    Input {
        chaincode: LIFECYCLE.to_owned(),
        args: vec![
            Bytes::copy_from_slice(function.as_bytes()),
            args.encode_to_vec().into(),
        ],
        ..Input::default()
    }
}

/// Whoever asks, and the peer that is asked.
pub(super) struct Question<'a> {
    pub(super) caller: Caller<'a>,
    pub(super) peer: Endpoint,
}

impl Question<'_> {
    /// What a function of `_lifecycle` answers. `failed` is what is said of another status than success.
    pub(super) async fn ask<A: Message + Default>(
        &self,
        channel: &str,
        function: &str,
        args: &impl Message,
        failed: &'static str,
    ) -> Result<(Response, A), PeerError> {
        let input = call(function, args);
        let what = "failed to endorse proposal";
        let (caller, peer) = (&self.caller, &self.peer);
        let asked = caller.ask(peer, channel, LIFECYCLE, input.args, what);
        let response = succeeded(&asked.await?, failed)?;
        let answer = A::decode(response.payload.clone());
        let answer = answer.map_err(PeerError::decode("proposal response's response payload"))?;
        Ok((response, answer))
    }
}

/// The answer, if it says that all went well.
pub(super) fn succeeded(
    answer: &ProposalResponse,
    failed: &'static str,
) -> Result<Response, PeerError> {
    let response = answer.response.clone().unwrap_or_default();
    if response.status == status::SUCCESS {
        return Ok(response);
    }
    Err(PeerError::Answer {
        what: failed,
        response,
    })
}
