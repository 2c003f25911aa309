//! Endorsements of other organisations: who must give them, and what they gave.
//!
//! ```text
//! what a call touched --> plan: layouts of peers that suffice, by the policies of now
//! plan                --> this node's endorsement suffices: nobody is asked
//!                     --> ask the peers of a layout at once, check each answer; where one fails, the next of its group,
//!                         then another layout
//! ```
//!
//! Nothing is taken for granted of an answer: it must be the same outcome, signed by a member of the organisation that
//! was asked, and one of those whom the policy means.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use quire_chaincode::Chaincodes;
use quire_identity::{Identity, SigningIdentity};
use quire_ledger::{ENDORSEMENT_POLICY, LIFECYCLE, Reader};
use quire_wire::Message as _;
use quire_wire::peer::{
    ChaincodeCall, ChaincodeInterest, Endorsement, ProposalResponse, SignedProposal,
};

use crate::config::{Current, InForce};
use crate::endorsed_here::EndorsedHere;
use crate::others::{Asking, Ended, Endorsers, Failure, NotAnswered, RemotePeer};
use crate::plan::{OWN, Plan, Progress};
use crate::planned::Planned;
use crate::signed_outcome::{approves, difference};
use crate::unendorsed::{NoPlan, NotCollected};

/// Statuses of an answer with which a chaincode succeeded.
const GOOD: std::ops::Range<i32> = 200..400;
/// Fabric's status of a failure.
const FAILED: i32 = 500;
/// Bytes that an answer may have beside an outcome that is known.
const BESIDE_BYTES: usize = 256 << 10;
/// Bytes of an answer whose outcome nobody knows yet.
pub(crate) const UNKNOWN_BYTES: usize = 16 << 20;
/// Bytes of an endorser's identity with its signature, at most.
const ENDORSEMENT_BYTES: usize = 64 << 10;
/// Fabric's words.
const DIFFERENT: &str = "ProposalResponsePayloads do not match";

/// Collects endorsements for a channel.
#[derive(Debug)]
pub struct Collector {
    config: Current,
    planned: Planned,
    endorsers: Arc<dyn Endorsers>,
    endorsed_here: Arc<EndorsedHere>,
    /// Whether this node's endorsement suffices for the built-in chaincode, by the configuration of a number.
    documents: Mutex<Option<(u64, bool)>>,
    turn: AtomicUsize,
}

/// Who has endorsed a proposal before others are asked.
#[derive(Clone, Debug)]
pub enum First {
    /// This node.
    Own(ProposalResponse),
    /// A peer of its organisation, because this node could not.
    Of(RemotePeer, ProposalResponse),
}

/// Endorsements of one outcome that suffice.
#[derive(Clone, Debug)]
pub struct Collected {
    /// What they signed.
    pub payload: Bytes,
    /// Each checked.
    pub endorsements: Vec<Endorsement>,
    /// The number of the configuration by which they were.
    pub(crate) sequence: u64,
}

/// An endorsement that holds, and whose it is.
struct Held {
    endorsement: Endorsement,
    identity: Arc<Identity>,
    payload: Bytes,
}

impl Collector {
    pub(crate) fn new(
        (reader, chaincodes): (Reader, Arc<Chaincodes>),
        config: Current,
        (identity, endorsers): (Arc<SigningIdentity>, Arc<dyn Endorsers>),
        endorsed_here: Arc<EndorsedHere>,
    ) -> Self {
        Self {
            planned: Planned {
                reader,
                chaincodes,
                identity,
                known: Mutex::default(),
            },
            config,
            endorsers,
            endorsed_here,
            documents: Mutex::default(),
            turn: AtomicUsize::new(0),
        }
    }

    /// Whether a call of this chaincode may need others than this node, so that it matters what it touched. Mostly it
    /// does not, and this takes no time.
    pub(crate) fn may_need_others(&self, chaincode: &str) -> bool {
        let in_force = self.config.get();
        if in_force.remote_peers.is_empty() {
            return false;
        }
        self.planned.chaincodes.is_deployed(chaincode)
            || !self.is_own_enough_for_documents(&in_force)
    }

    fn is_own_enough_for_documents(&self, in_force: &InForce) -> bool {
        let mut known = self.documents.lock();
        let sequence = in_force.bundle.sequence();
        if let Some((of, is_enough)) = *known
            && of == sequence
        {
            return is_enough;
        }
        let own = in_force
            .bundle
            .msps()
            .validate(self.planned.identity.serialized());
        let policy = in_force.bundle.policy(ENDORSEMENT_POLICY);
        let is_enough =
            own.is_ok_and(|own| policy.is_ok_and(|policy| policy.is_satisfied_by(&[own])));
        *known = Some((sequence, is_enough));
        is_enough
    }

    /// Who must endorse the outcome of a call beside this node; `None` if nobody must. `interest` is what the call
    /// touched, as the endorser told it. Reads state.
    ///
    /// # Errors
    /// Nobody who could is known; see [`NoPlan`].
    pub fn others_for(
        &self,
        chaincode: &str,
        interest: Option<&ChaincodeInterest>,
        payload: &Bytes,
    ) -> Result<Option<Arc<Plan>>, NoPlan> {
        let in_force = self.config.get();
        if chaincode == LIFECYCLE && approves(payload, self.planned.identity.msp_id()) {
            // An organisation guards its own collection alone.
            return Ok(None);
        }
        // What the built-in chaincode governs has one policy.
        let touched = interest.filter(|interest| {
            self.planned.chaincodes.is_deployed(chaincode) && !interest.chaincodes.is_empty()
        });
        let default;
        let interest = if let Some(touched) = touched {
            touched
        } else {
            default = called(chaincode);
            &default
        };
        let plan = self.plan(&in_force, interest)?;
        Ok(plan.filter(|plan| !plan.is_own_enough()))
    }

    /// Who must endorse the outcome of a call, where this node has not; `None` if no peer is known. Reads state.
    ///
    /// # Errors
    /// Nobody who could is known; see [`NoPlan`].
    pub fn all_for(
        &self,
        chaincode: &str,
        interest: Option<&ChaincodeInterest>,
    ) -> Result<Option<Arc<Plan>>, NoPlan> {
        let default = called(chaincode);
        let touched = interest.filter(|interest| !interest.chaincodes.is_empty());
        self.plan(&self.config.get(), touched.unwrap_or(&default))
    }

    /// Whether peers of these organisations, by their MSP ids, could endorse a call of a chaincode. Reads state.
    #[must_use]
    pub fn could_endorse(&self, chaincode: &str, among: impl Fn(&str) -> bool) -> bool {
        let plan = self.plan(&self.config.get(), &called(chaincode));
        let own = self.planned.identity.msp_id();
        plan.is_ok_and(|plan| plan.is_some_and(|plan| plan.is_within(own, among)))
    }

    /// One peer of each organisation that a client named. The peer at `itself` is this node.
    ///
    /// # Errors
    /// The organisations of which no peer is known.
    pub fn of_organizations<'n>(
        &self,
        named: &'n [String],
        itself: &str,
    ) -> Result<Arc<Plan>, Vec<&'n str>> {
        let in_force = self.config.get();
        let own = self.planned.identity.msp_id();
        Plan::of_organizations(named, (own, itself), &in_force.remote_peers).map(Arc::new)
    }

    /// Asks the peers of a plan to endorse a proposal, until enough have, those who have already among them. What is
    /// dropped is not asked any more.
    ///
    /// # Errors
    /// Why there are not enough: each peer that failed.
    pub async fn collect(
        &self,
        plan: &Plan,
        proposal: &SignedProposal,
        first: Option<First>,
    ) -> Result<Collected, NotCollected> {
        let in_force = self.config.get();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let most_bytes = first.as_ref().map_or(UNKNOWN_BYTES, |first| {
            let (First::Own(answer) | First::Of(_, answer)) = first;
            // The same again, by somebody with another certificate.
            answer.encoded_len() + answer.payload.len() + BESIDE_BYTES
        });
        let (own, stand_in) = match first {
            Some(First::Own(own)) => (own.endorsement.map(|one| (own.payload, one)), None),
            Some(First::Of(peer, answer)) => (None, Some((peer, answer))),
            None => (None, None),
        };
        let mut round = Round {
            progress: plan.begin(own.is_some(), turn),
            payload: own.as_ref().map(|(payload, _)| payload.clone()),
            held: Vec::new(),
            failures: Vec::new(),
            collector: self,
            in_force,
        };
        if let Some((_, endorsement)) = own {
            round.held.push((OWN, endorsement));
        }
        if let Some((peer, answer)) = stand_in
            && let Some(position) = plan.position(&peer)
        {
            round.take(position, &peer, Ok(answer));
        }
        let mut asking = FuturesUnordered::new();
        let mut failed = None;
        loop {
            if let Some(sufficient) = plan.sufficient(&round.progress) {
                return Ok(round.collected(&sufficient));
            }
            let next = plan.next(&round.progress, |peer| self.endorsers.is_away(peer));
            // Where nothing suffices any more, those who are being asked, and the others of their organisations, still
            // say whether they would have endorsed.
            let next = next.unwrap_or_else(|| {
                let last = failed.and_then(|position| plan.in_place_of(&round.progress, position));
                last.into_iter().collect()
            });
            for position in next {
                round.progress.asked(position);
                if let Some(peer) = plan.peer(position) {
                    asking.push(self.ask(position, peer, proposal.clone(), most_bytes));
                }
            }
            let Some((position, started, answer)) = asking.next().await else {
                return Err(NotCollected(round.failures));
            };
            if let Some(peer) = plan.peer(position) {
                let ended = round.take(position, peer, answer);
                failed = (ended != Ended::Endorsed).then_some(position);
                self.endorsers.asked(peer, ended, started.elapsed());
            }
        }
    }

    async fn ask(
        &self,
        position: usize,
        peer: &RemotePeer,
        proposal: SignedProposal,
        most_bytes: usize,
    ) -> (usize, Instant, Result<ProposalResponse, NotAnswered>) {
        let started = Instant::now();
        (
            position,
            started,
            self.ask_one(peer, proposal, most_bytes).await,
        )
    }

    pub(crate) fn ask_one(
        &self,
        peer: &RemotePeer,
        proposal: SignedProposal,
        most_bytes: usize,
    ) -> Asking {
        self.endorsers.ask(peer, proposal, most_bytes)
    }

    pub(crate) fn is_away(&self, peer: &RemotePeer) -> bool {
        self.endorsers.is_away(peer)
    }

    pub(crate) fn note(&self, peer: &RemotePeer, ended: Ended, took: Duration) {
        self.endorsers.asked(peer, ended, took);
    }

    pub(crate) fn in_force(&self) -> Arc<InForce> {
        self.config.get()
    }

    pub(crate) fn own_msp_id(&self) -> &str {
        self.planned.identity.msp_id()
    }

    fn plan(
        &self,
        in_force: &InForce,
        interest: &ChaincodeInterest,
    ) -> Result<Option<Arc<Plan>>, NoPlan> {
        self.planned.plan(in_force, interest)
    }
}

/// One collection.
struct Round<'a> {
    collector: &'a Collector,
    in_force: Arc<InForce>,
    progress: Progress,
    /// What the first endorser signed, and all must.
    payload: Option<Bytes>,
    held: Vec<(usize, Endorsement)>,
    failures: Vec<Failure>,
}

impl Round<'_> {
    /// Takes a peer's answer in.
    fn take(
        &mut self,
        position: usize,
        peer: &RemotePeer,
        answer: Result<ProposalResponse, NotAnswered>,
    ) -> Ended {
        let checked = match answer {
            Ok(answer) => self.check(peer, answer),
            Err(error) => Err(Failure::unanswered(peer, &error)),
        };
        let checked = checked.and_then(|held| self.keep(position, peer, held));
        let Err(failure) = checked else {
            return Ended::Endorsed;
        };
        self.progress.failed(position);
        let ended = failure.ended;
        let channel = self.collector.planned.reader.channel();
        let (address, organization, reason) = (&*failure.address, &*failure.msp_id, &failure.text);
        tracing::debug!(
            channel,
            address,
            organization,
            reason,
            "a peer does not endorse"
        );
        self.failures.push(failure);
        ended
    }

    fn check(&self, peer: &RemotePeer, answer: ProposalResponse) -> Result<Held, Failure> {
        check_status(peer, &answer)?;
        let unsound = |text: &str| Failure::new(peer, Ended::Unsound, text);
        let Some(Endorsement {
            endorser,
            signature,
        }) = answer.endorsement
        else {
            return Err(unsound("the answer has no endorsement"));
        };
        if let Some(payload) = &self.payload
            && *payload != answer.payload
        {
            let channel = self.collector.planned.reader.channel();
            let (address, organization) = (&*peer.address, &*peer.msp_id);
            let different = difference(payload, &answer.payload);
            tracing::warn!(channel, address, organization, different, "another outcome");
            return Err(Failure::differs(peer, DIFFERENT, different));
        }
        let identity = verified(&self.in_force, peer, &answer.payload, &endorser, &signature)?;
        Ok(Held {
            // A part of the answer's bytes would keep all of them.
            endorsement: Endorsement {
                endorser: Bytes::copy_from_slice(&endorser),
                signature: Bytes::copy_from_slice(&signature),
            },
            identity,
            payload: answer.payload,
        })
    }

    fn keep(&mut self, position: usize, peer: &RemotePeer, held: Held) -> Result<(), Failure> {
        let unsound = |text: &str| Err(Failure::new(peer, Ended::Unsound, text));
        let endorser = &held.endorsement.endorser;
        if self.held.iter().any(|(_, one)| one.endorser == *endorser) {
            return unsound("the same endorser has endorsed it already");
        }
        if !self.progress.endorsed(position, &held.identity) {
            return unsound("the endorser is none of those whom the policy asks for");
        }
        self.payload.get_or_insert(held.payload);
        self.held.push((position, held.endorsement));
        Ok(())
    }

    fn collected(self, sufficient: &[usize]) -> Collected {
        let payload = self.payload.unwrap_or_default();
        let sequence = self.in_force.bundle.sequence();
        let mut held = self.held;
        held.sort_by_key(|(position, _)| *position);
        let of_others = held.iter().filter(|(position, _)| *position != OWN);
        for (_, endorsement) in of_others {
            let here = &self.collector.endorsed_here;
            here.remember(sequence, &payload, endorsement);
        }
        held.retain(|(position, _)| sufficient.contains(position));
        Collected {
            payload,
            endorsements: held
                .into_iter()
                .map(|(_, endorsement)| endorsement)
                .collect(),
            sequence,
        }
    }
}

/// Who has signed an outcome: a member of the organisation that was asked.
pub(crate) fn verified(
    in_force: &InForce,
    peer: &RemotePeer,
    payload: &[u8],
    endorser: &[u8],
    signature: &[u8],
) -> Result<Arc<Identity>, Failure> {
    let unsound = |text: &str| Failure::new(peer, Ended::Unsound, text);
    if endorser.len() + signature.len() > ENDORSEMENT_BYTES {
        return Err(unsound("the endorsement is larger than any is"));
    }
    let identity = in_force.bundle.msps().validate(endorser);
    let identity = identity.map_err(|error| {
        let reason = quire_ledger::chain_of(&error);
        unsound(&format!(
            "the endorser is not known to the channel: {reason}"
        ))
    })?;
    if *identity.msp_id() != *peer.msp_id {
        let other = identity.msp_id();
        return Err(unsound(&format!("the endorser is a member of {other}")));
    }
    let signed = [payload, endorser].concat();
    let holds = identity.verify(&signed, signature);
    holds.map_err(|_| unsound("the endorser's signature does not hold"))?;
    Ok(identity)
}

/// Whether the chaincode succeeded.
pub(crate) fn is_good(answer: &ProposalResponse) -> bool {
    let response = answer.response.as_ref();
    response.is_some_and(|response| GOOD.contains(&response.status))
}

/// Makes sure that the chaincode succeeded; what it said otherwise is told as Fabric's Gateway tells it.
fn check_status(peer: &RemotePeer, answer: &ProposalResponse) -> Result<(), Failure> {
    if is_good(answer) {
        return Ok(());
    }
    let response = answer.response.as_ref();
    let (status, message) = response.map_or((0, ""), |one| (one.status, &*one.message));
    let is_of_peer = status == FAILED && answer.payload.is_empty();
    let text = if is_of_peer {
        message.to_owned()
    } else {
        format!("chaincode response {status}, {message}")
    };
    Err(Failure::new(peer, Ended::Failed, &text))
}

/// What a call touches of which nothing more is known.
fn called(chaincode: &str) -> ChaincodeInterest {
    ChaincodeInterest {
        chaincodes: vec![ChaincodeCall {
            name: chaincode.to_owned(),
            ..ChaincodeCall::default()
        }],
    }
}
