//! `Evaluate`: a call of which nothing is ordered.
//!
//! This node answers where it may, and peers elsewhere where the client names their organisations, or this node cannot
//! answer: those of its own organisation first. What the chaincode itself says is the answer, whoever asked it.

use std::sync::Arc;

use quire_peer::{Channel, Ran, RemotePeer, UnpackedProposal, Wanted};
use quire_wire::gateway::{ErrorDetail, EvaluateRequest, EvaluateResponse};
use quire_wire::peer::ProposalResponse;
use tokio::time::timeout_at;
use tonic::{Code, Status};

use super::failure::{Failure, detailed, failure, here, of_this_node, said_there, there};
use super::proposal::{NotProposed, read};
use crate::call::Caller;
use crate::endorser::{Rejected, process};
use crate::services::Services;

/// `Evaluate`.
pub(crate) async fn evaluate(
    services: Arc<Services>,
    request: EvaluateRequest,
    caller: Caller,
) -> Result<EvaluateResponse, Status> {
    let proposal = match read(request.proposed_transaction) {
        Ok(proposal) => proposal,
        Err(NotProposed::Rejected(rejected)) => return rejected_unread(&services, rejected),
        Err(why) => {
            let text = format!("failed to unpack transaction proposal: {why}");
            return Err(Status::invalid_argument(text));
        }
    };
    let (channel, chaincode) = (proposal.headers().channel(), proposal.specified());
    let Some(served) = services.backend.channel(channel) else {
        return Err(Status::unavailable(format!(
            "failed to get config for channel [{channel}]: could not get last config for channel {channel}"
        )));
    };
    let own = services.backend.msp_id();
    let named = &request.target_organizations;
    let is_here = named.is_empty() || named.contains(&own);
    let elsewhere = elsewhere(&services, &served, &proposal, named);
    if !is_here && elsewhere.is_empty() {
        return Err(Status::failed_precondition(format!(
            "no peers available to evaluate chaincode {chaincode} in channel {channel}"
        )));
    }
    let end = caller.deadline.at_most(services.limits.max_wait);
    let mut asking = Asking {
        services: &services,
        proposal: &proposal,
        failed: Vec::new(),
    };
    let answered = timeout_at(end, asking.ask(is_here, &served, &elsewhere)).await;
    answered.unwrap_or_else(|_| Err(Status::deadline_exceeded("evaluate timeout expired")))
}

/// Whom else to ask.
fn elsewhere(
    services: &Services,
    served: &Channel,
    proposal: &UnpackedProposal,
    named: &[String],
) -> Vec<RemotePeer> {
    let Some(collector) = &served.collector else {
        return Vec::new();
    };
    if !named.is_empty() {
        return collector.elsewhere(named, &services.address);
    }
    // The built-in chaincode runs everywhere, and says the same everywhere.
    if !served.chaincodes.is_deployed(proposal.specified()) {
        return Vec::new();
    }
    // Other organisations do not see transient data that the client did not mean for them.
    let own = [services.backend.msp_id()];
    let among: &[String] = if proposal.has_transient() { &own } else { &[] };
    collector.elsewhere(among, &services.address)
}

/// A call that is evaluated.
struct Asking<'a> {
    services: &'a Arc<Services>,
    proposal: &'a Arc<UnpackedProposal>,
    /// Who could not answer.
    failed: Vec<ErrorDetail>,
}

impl Asking<'_> {
    async fn ask(
        &mut self,
        is_here: bool,
        served: &Channel,
        elsewhere: &[RemotePeer],
    ) -> Result<EvaluateResponse, Status> {
        let mut code = Code::Aborted;
        if is_here {
            let proposal = Arc::clone(self.proposal);
            let answered = process(self.services, proposal, Wanted::Answer).await?;
            let Some(failure) = failure(&answered) else {
                return Ok(result(answered.unwrap_or_default()));
            };
            let detail = here(self.services, &failure.message);
            code = self.note(&failure, detail)?;
        }
        if let Some(collector) = &served.collector {
            for peer in elsewhere {
                match collector.run_at(peer, self.proposal.signed()).await {
                    Ok(Ran::Well(answer)) => return Ok(result(answer)),
                    Ok(Ran::Badly(answer)) => code = self.refused(peer, answer)?,
                    Err(failed) => {
                        code = Code::Unavailable;
                        self.failed.push(there(&failed));
                    }
                }
            }
        }
        let text = "failed to evaluate transaction, see attached details for more info";
        Err(detailed(code, text, &self.failed))
    }

    /// A peer elsewhere has answered that it did not succeed.
    fn refused(&mut self, peer: &RemotePeer, answer: ProposalResponse) -> Result<Code, Status> {
        let Some(failure) = failure(&Ok(answer)) else {
            return Ok(Code::Aborted);
        };
        let detail = said_there(peer, &failure.message);
        self.note(&failure, detail)
    }

    /// Notes who failed; the status is the call's answer where nobody would say otherwise.
    fn note(&mut self, failure: &Failure, detail: ErrorDetail) -> Result<Code, Status> {
        self.failed.push(detail);
        if failure.retry {
            return Ok(failure.code);
        }
        Err(detailed(
            failure.code,
            &refusal(&failure.message),
            &self.failed,
        ))
    }
}

fn result(answer: ProposalResponse) -> EvaluateResponse {
    EvaluateResponse {
        result: answer.response,
    }
}

fn refusal(said: &str) -> String {
    format!("evaluate call to endorser returned error: {said}")
}

/// The answer to what cannot be read, as an endorser would say it.
fn rejected_unread(services: &Services, rejected: Rejected) -> Result<EvaluateResponse, Status> {
    let Some(failure) = failure(&Err(rejected)) else {
        return Ok(EvaluateResponse::default());
    };
    let text = if failure.retry {
        "failed to evaluate transaction, see attached details for more info".to_owned()
    } else {
        refusal(&failure.message)
    };
    Err(of_this_node(
        services,
        failure.code,
        &text,
        &failure.message,
    ))
}
