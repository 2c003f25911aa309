//! `Endorse`: a transaction for its creator to sign.
//!
//! ```text
//! organisations named   one peer of each
//! otherwise             this node first; by what that touched, the peers that suffice
//! ```

use std::sync::Arc;

use quire_chaincode::Weight;
use quire_peer::{Channel, Collected, Collector, NoPlan, Plan, UnpackedProposal, Wanted};
use quire_wire::common::Envelope;
use quire_wire::gateway::{EndorseRequest, EndorseResponse};
use quire_wire::peer::{ChaincodeInterest, ProposalResponse};
use tokio::time::timeout_at;
use tonic::{Code, Status};

use super::failure::{failure, no_plan, of_peers, of_this_node};
use super::proposal::{NotProposed, read};
use super::transient::protected;
use crate::call::Caller;
use crate::endorser::{Rejected, process};
use crate::services::Services;

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
        return Err(Status::failed_precondition(format!(
            "no combination of peers can be derived which satisfy the endorsement policy: No metadata was found \
             for chaincode {chaincode} in channel {channel}"
        )));
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
        let plan = collector.of_organizations(named);
        let plan = plan.map_err(|organizations| missing(&organizations))?;
        let own = if named.contains(&own) {
            Some(self.own().await?)
        } else {
            None
        };
        self.collect(collector, &plan, own).await
    }

    /// Asks this node, and then whoever else must endorse what the call touched.
    async fn sufficient(&self, served: &Channel) -> Result<EndorseResponse, Status> {
        let answered = self.process().await?;
        let touched = match failure(&answered) {
            None => answered.as_ref().ok(),
            // Nobody else is asked, but whether anybody could have endorsed it is told.
            Some(failure) if failure.retry => None,
            Some(_) => {
                return Err(not_endorsed(self.services, &answered).unwrap_or_else(not_assembled));
            }
        };
        let plan = match &served.collector {
            Some(collector) if answered.is_ok() => self.plan(served, collector, touched).await?,
            _ => None,
        };
        let own = self.succeeded(answered)?;
        match (plan, &served.collector) {
            (Some(plan), Some(collector)) => self.collect(collector, &plan, Some(own)).await,
            _ => self.assemble(own),
        }
    }

    /// Who must endorse beside this node; `None` if nobody must.
    async fn plan(
        &self,
        served: &Channel,
        collector: &Arc<Collector>,
        touched: Option<&ProposalResponse>,
    ) -> Result<Option<Arc<Plan>>, Status> {
        let (interest, payload) = touched.map_or_else(Default::default, |response| {
            (response.interest.clone(), response.payload.clone())
        });
        let has_transient = self.proposal.has_transient();
        let (collector, proposal) = (Arc::clone(collector), Arc::clone(self.proposal));
        let find = move || {
            let chaincode = proposal.specified();
            let find = |interest: Option<&ChaincodeInterest>| {
                collector.others_for(chaincode, interest, &payload)
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

    async fn collect(
        &self,
        collector: &Arc<Collector>,
        plan: &Plan,
        own: Option<ProposalResponse>,
    ) -> Result<EndorseResponse, Status> {
        let collecting = collector.collect(plan, self.proposal.signed(), own);
        let collected = timeout_at(self.end, collecting).await.map_err(|_| {
            Status::deadline_exceeded("endorsement timeout expired while collecting endorsements")
        })?;
        let collected = collected.map_err(|not_collected| of_peers(&not_collected.0))?;
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

fn missing(organizations: &[&str]) -> Status {
    Status::unavailable(format!(
        "failed to find any endorsing peers for org(s): {}",
        organizations.join(", ")
    ))
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
    let text = "failed to endorse transaction, see attached details for more info";
    Some(of_this_node(
        services,
        Code::Aborted,
        text,
        &failure.message,
    ))
}
