//! `Endorse`: a transaction for its creator to sign.
//!
//! ```text
//! organisations named   one peer of each
//! otherwise             this node first, or a peer of its organisation where it does not endorse; by what that touched,
//!                       the peers that suffice
//! ```

use std::sync::Arc;

use quire_chaincode::Weight;
use quire_ledger::LIFECYCLE;
use quire_peer::{
    Channel, Collected, Collector, First, NoPlan, Plan, Ran, RemotePeer, UnpackedProposal, Wanted,
};
use quire_wire::common::Envelope;
use quire_wire::gateway::{EndorseRequest, EndorseResponse, ErrorDetail};
use quire_wire::peer::{ChaincodeInterest, ProposalResponse};
use tokio::time::timeout_at;
use tonic::{Code, Status};

use super::failure::{detailed, failure, here, no_plan, of_peers, of_this_node, said_there, there};
use super::proposal::{NotProposed, read};
use super::transient::protected;
use crate::call::Caller;
use crate::endorser::{Rejected, process};
use crate::services::Services;

/// The status of a call of the built-in chaincode where its caller may not submit any.
const NOT_ALLOWED: i32 = 403;
const NOT_ENDORSED: &str = "failed to endorse transaction, see attached details for more info";

/// `Endorse`.
pub(crate) async fn endorse(
    services: Arc<Services>,
    request: EndorseRequest,
    caller: Caller,
) -> Result<EndorseResponse, Status> {
    let proposal = match read(request.proposed_transaction) {
        Ok(proposal) => proposal,
        Err(NotProposed::Rejected(rejected)) => {
            return Err(not_endorsed(&services, &Err(rejected)).unwrap_or_else(not_assembled));
        }
        Err(NotProposed::Missing) => {
            let text = "the proposed transaction must contain a signed proposal";
            return Err(Status::invalid_argument(text));
        }
        Err(why) => return Err(Status::invalid_argument(why.to_string())),
    };
    let (channel, chaincode) = (proposal.headers().channel(), proposal.specified());
    let served = services.backend.channel(channel);
    let asking = Asking {
        services: &services,
        proposal: &proposal,
        end: caller.deadline.at_most(services.limits.max_wait),
    };
    let named = &request.endorsing_organizations;
    let Some(served) = served else {
        let own = services.backend.msp_id();
        let others = named.iter().filter(|one| **one != own);
        let others: Vec<&str> = others.map(String::as_str).collect();
        if !others.is_empty() {
            return Err(missing(&others));
        }
        return Err(undefined(channel, chaincode));
    };
    if named.is_empty() {
        asking.sufficient(&served).await
    } else {
        asking.named(&served, named).await
    }
}

/// A proposal that is to be endorsed.
struct Asking<'a> {
    services: &'a Arc<Services>,
    proposal: &'a Arc<UnpackedProposal>,
    /// When its caller waits no more.
    end: tokio::time::Instant,
}

impl Asking<'_> {
    /// Asks one peer of each organisation that the client named.
    async fn named(&self, served: &Channel, named: &[String]) -> Result<EndorseResponse, Status> {
        let own = self.services.backend.msp_id();
        let Some(collector) = &served.collector else {
            // The endorser says that it takes no transactions.
            return self.assemble(self.own().await?);
        };
        let plan = collector.of_organizations(named, &self.services.address);
        let plan = plan.map_err(|organizations| missing(&organizations))?;
        if !named.contains(&own) {
            return self.collect(collector, &plan, None, Vec::new()).await;
        }
        let answered = self.process().await?;
        let Some(failure) = failure(&answered) else {
            let first = answered.ok().map(First::Own);
            return self.collect(collector, &plan, first, Vec::new()).await;
        };
        if answered.is_err() || self.of_own_organization(served).is_empty() {
            return Err(not_endorsed(self.services, &answered).unwrap_or_else(not_assembled));
        }
        let failed = vec![here(self.services, &failure.message)];
        self.collect(collector, &plan, None, failed).await
    }

    /// Asks this node, or where it does not endorse another one of its organisation, and then whoever else must endorse
    /// what the call touched.
    async fn sufficient(&self, served: &Channel) -> Result<EndorseResponse, Status> {
        let answered = self.process().await?;
        let touched = match failure(&answered) {
            None => answered.as_ref().ok(),
            Some(failure) => {
                let mut failed = vec![here(self.services, &failure.message)];
                if self.is_undefined(served, &answered) {
                    return Err(undefined(&served.name, self.proposal.specified()));
                }
                if answered.is_ok()
                    && let Some(first) = self.stand_in(served, &mut failed).await?
                {
                    return self.without_own(served, first, failed).await;
                }
                if failed.len() > 1 {
                    return Err(detailed(Code::Aborted, NOT_ENDORSED, &failed));
                }
                if !failure.retry {
                    let status = not_endorsed(self.services, &answered);
                    return Err(status.unwrap_or_else(not_assembled));
                }
                // Nobody else is asked, but whether anybody could have endorsed it is told.
                None
            }
        };
        let plan = match &served.collector {
            Some(collector) if answered.is_ok() => {
                self.plan(served, collector, (touched, false)).await?
            }
            _ => None,
        };
        let own = self.succeeded(answered)?;
        match (plan, &served.collector) {
            (Some(plan), Some(collector)) => {
                let first = Some(First::Own(own));
                self.collect(collector, &plan, first, Vec::new()).await
            }
            _ => self.assemble(own),
        }
    }

    /// Whether nobody defined the chaincode, and the channel does without the built-in one.
    fn is_undefined(
        &self,
        served: &Channel,
        answered: &Result<ProposalResponse, Rejected>,
    ) -> bool {
        let response = answered.as_ref().ok().and_then(|one| one.response.as_ref());
        let is_forbidden = response.is_some_and(|response| response.status == NOT_ALLOWED);
        is_forbidden && !served.chaincodes.is_deployed(self.proposal.specified())
    }

    /// The other peers of this node's organisation which may endorse in its place.
    fn of_own_organization(&self, served: &Channel) -> Vec<RemotePeer> {
        let chaincode = self.proposal.specified();
        // What an organisation approves is its own node's; and the built-in chaincode says the same everywhere.
        if chaincode == LIFECYCLE || !served.chaincodes.is_deployed(chaincode) {
            return Vec::new();
        }
        let own = [self.services.backend.msp_id()];
        let collector = served.collector.as_ref();
        collector.map_or_else(Vec::new, |one| one.elsewhere(&own, &self.services.address))
    }

    /// The first of them that endorses. Notes those that do not.
    async fn stand_in(
        &self,
        served: &Channel,
        failed: &mut Vec<ErrorDetail>,
    ) -> Result<Option<First>, Status> {
        let Some(collector) = &served.collector else {
            return Ok(None);
        };
        for peer in self.of_own_organization(served) {
            let asking = collector.run_at(&peer, self.proposal.signed());
            let answered = timeout_at(self.end, asking).await.map_err(|_| too_late())?;
            match answered {
                Ok(Ran::Well(answer)) => return Ok(Some(First::Of(peer, answer))),
                Ok(Ran::Badly(answer)) => {
                    let said = failure(&Ok(answer)).map(|failure| failure.message);
                    failed.push(said_there(&peer, &said.unwrap_or_default()));
                }
                Err(one) => failed.push(there(&one)),
            }
        }
        Ok(None)
    }

    /// Asks whoever must endorse what a call touched that another peer ran in this node's place.
    async fn without_own(
        &self,
        served: &Channel,
        first: First,
        failed: Vec<ErrorDetail>,
    ) -> Result<EndorseResponse, Status> {
        let Some(collector) = &served.collector else {
            return Err(not_assembled());
        };
        let touched = match &first {
            First::Own(answer) | First::Of(_, answer) => Some(answer),
        };
        let plan = self.plan(served, collector, (touched, true)).await?;
        let Some(plan) = plan else {
            return Err(detailed(Code::Aborted, NOT_ENDORSED, &failed));
        };
        self.collect(collector, &plan, Some(first), failed).await
    }

    /// Who must endorse beside this node, or where it has not; `None` if nobody must.
    async fn plan(
        &self,
        served: &Channel,
        collector: &Arc<Collector>,
        (touched, is_without_own): (Option<&ProposalResponse>, bool),
    ) -> Result<Option<Arc<Plan>>, Status> {
        let (interest, payload) = touched.map_or_else(Default::default, |response| {
            (response.interest.clone(), response.payload.clone())
        });
        let has_transient = self.proposal.has_transient();
        let (collector, proposal) = (Arc::clone(collector), Arc::clone(self.proposal));
        let find = move || {
            let chaincode = proposal.specified();
            let find = |interest: Option<&ChaincodeInterest>| {
                if is_without_own {
                    collector.all_for(chaincode, interest)
                } else {
                    collector.others_for(chaincode, interest, &payload)
                }
            };
            let Some((careful, collections)) = interest
                .as_ref()
                .filter(|_| has_transient)
                .and_then(protected)
            else {
                return find(interest.as_ref()).map_err(Unplanned::Nobody);
            };
            // Whoever is asked sees the transient data.
            find(Some(&careful)).map_err(|no_plan| match find(interest.as_ref()) {
                Ok(_) => Unplanned::Protected(collections),
                Err(_) => Unplanned::Nobody(no_plan),
            })
        };
        let threads = &self.services.threads;
        let found = threads.weighed(Weight::Brief, &served.reader, find).await?;
        found.map_err(|unplanned| match unplanned {
            Unplanned::Nobody(why) => Status::failed_precondition(no_plan(&served.name, &why)),
            Unplanned::Protected(collections) => Status::failed_precondition(format!(
                "requires endorsement from organisation(s) that are not in the distribution policy of the private data \
                 collection(s): [{}]; retry specifying trusted endorsing organizations to protect transient data",
                collections.join(" ")
            )),
        })
    }

    async fn process(&self) -> Result<Result<ProposalResponse, Rejected>, Status> {
        let proposal = Arc::clone(self.proposal);
        process(self.services, proposal, Wanted::Endorsement).await
    }

    /// This node's endorsement.
    async fn own(&self) -> Result<ProposalResponse, Status> {
        let answered = self.process().await?;
        self.succeeded(answered)
    }

    fn succeeded(
        &self,
        answered: Result<ProposalResponse, Rejected>,
    ) -> Result<ProposalResponse, Status> {
        match not_endorsed(self.services, &answered) {
            Some(status) => Err(status),
            None => answered.map_err(|_| not_assembled()),
        }
    }

    /// Asks the peers of a plan. `failed` are those that have not endorsed before.
    async fn collect(
        &self,
        collector: &Arc<Collector>,
        plan: &Plan,
        first: Option<First>,
        failed: Vec<ErrorDetail>,
    ) -> Result<EndorseResponse, Status> {
        let collecting = collector.collect(plan, self.proposal.signed(), first);
        let collected = timeout_at(self.end, collecting).await;
        let collected = collected.map_err(|_| too_late())?;
        let collected = collected.map_err(|not_collected| of_peers(failed, &not_collected.0))?;
        let Collected {
            payload,
            endorsements,
            ..
        } = collected;
        Ok(prepared(self.proposal.unsigned(payload, endorsements)))
    }

    /// The transaction that this node alone endorsed.
    fn assemble(&self, own: ProposalResponse) -> Result<EndorseResponse, Status> {
        let payload = self.proposal.unsigned_transaction(own);
        payload.map(prepared).ok_or_else(not_assembled)
    }
}

/// Why there is no plan.
enum Unplanned {
    Nobody(NoPlan),
    /// There is one, but peers would see transient data that are not of the organisations of these collections.
    Protected(Vec<String>),
}

fn prepared(payload: bytes::Bytes) -> EndorseResponse {
    EndorseResponse {
        prepared_transaction: Some(Envelope {
            payload,
            ..Envelope::default()
        }),
    }
}

fn undefined(channel: &str, chaincode: &str) -> Status {
    Status::failed_precondition(format!(
        "no combination of peers can be derived which satisfy the endorsement policy: No metadata was found \
         for chaincode {chaincode} in channel {channel}"
    ))
}

fn missing(organizations: &[&str]) -> Status {
    Status::unavailable(format!(
        "failed to find any endorsing peers for org(s): {}",
        organizations.join(", ")
    ))
}

fn too_late() -> Status {
    Status::deadline_exceeded("endorsement timeout expired while collecting endorsements")
}

fn not_assembled() -> Status {
    Status::aborted("failed to assemble transaction: the endorser has not endorsed it")
}

/// Why this node has not endorsed; `None` if it has.
fn not_endorsed(
    services: &Services,
    answered: &Result<ProposalResponse, Rejected>,
) -> Option<Status> {
    let failure = failure(answered)?;
    Some(of_this_node(
        services,
        Code::Aborted,
        NOT_ENDORSED,
        &failure.message,
    ))
}
