//! One channel's peer: endorse, and order.
//!
//! ```text
//!                   endorse                           order
//! a key held here   simulate, sign                    assemble, sign, admit    --> the channel's order
//! a key elsewhere   check, simulate, sign  -- client: assemble, sign -- examine, admit --^
//! ```
//!
//! REST does the two verbs in a row, with a key that this node holds; a Fabric client does them apart, with
//! its own key. What this process signed or computed itself is not verified or computed again; everything is
//! checked in an envelope or a proposal that comes from outside.

use std::sync::Arc;

use bytes::Bytes;
use quire_chaincode::system::is_system;
use quire_chaincode::{Call, ChaincodeError, Invocation, Reach};
use quire_identity::SigningIdentity;
use quire_ledger::{Content, Examined, Meter, Reader, Signatures};
use quire_ordering::{BlockSigner, Consenter, Message, NotOrdered, envelope_size_bytes};
use quire_wire::Message as _;
use quire_wire::common::{Envelope, header_type};
use quire_wire::peer::{ProposalResponse, SignedProposal};

use crate::access::{check_access, check_documents, creator};
use crate::clock::Clock;
use crate::collector::Collector;
use crate::config::Current;
use crate::cut_here::Known;
use crate::endorsed_here::EndorsedHere;
use crate::endorser::Endorser;
use crate::genesis::config_envelope;
use crate::outcomes::Outcomes;
use crate::proposed::{Asked, Creator};
use crate::refused::NotEndorsed;
use crate::submit::{Evaluated, Promised, Proposal, SubmitError, Submitted, Submitter, Wanted};
use crate::unordered::Unordered;
use crate::unpacked::{ProposalError, UnpackedProposal};
use crate::update::{configuration, update_id};
use crate::watch::Watch;

/// The version of Fabric's answers to proposals.
const RESPONSE_VERSION: i32 = 1;

/// Turns proposals of one channel into ordered transactions, on the callers' threads.
#[derive(Debug)]
pub struct Peer {
    pub(crate) channel: Arc<str>,
    pub(crate) reader: Reader,
    pub(crate) endorser: Endorser,
    /// What it endorsed for others.
    pub(crate) endorsed_here: Arc<EndorsedHere>,
    /// Asks others to endorse.
    pub(crate) collector: Arc<Collector>,
    pub(crate) config: Current,
    pub(crate) consenter: Arc<dyn Consenter<Known>>,
    pub(crate) outcomes: Arc<Outcomes>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Signs configurations.
    pub(crate) signer: Arc<dyn BlockSigner + Send + Sync>,
}

/// The origin of an envelope.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// This process made it a moment ago, out of an endorsement of its own, and signed it as this
    /// identity.
    Here(&'a SigningIdentity),
    /// The same, with endorsements of others that it has checked by the configuration with this sequence.
    Collected(&'a SigningIdentity, u64),
    /// It comes from somebody of whom nothing is known.
    Outside,
}

impl Peer {
    /// Runs a proposal's chaincode and endorses the outcome, if the proposal is sound by Fabric's rules:
    /// channel, headers, transaction id, the creator's signature, no transaction of this id yet, and the
    /// policy of those who may propose; a system chaincode has one of its own for each function. The answer to a
    /// call that failed has a status of 400 or more, and no endorsement. Blocks as long as `meter` allows the
    /// call's queries; if the chaincode waits for somebody else, the returned invocation waits.
    ///
    /// # Errors
    /// The proposal was not looked at; see [`ProposalError`].
    pub fn endorse(
        &self,
        proposal: &UnpackedProposal,
        meter: Meter,
    ) -> Result<Invocation<ProposalResponse>, ProposalError> {
        self.check_proposal(proposal)?;
        let troubled = self.outcomes.refuse_in_trouble();
        troubled.map_err(ProposalError::Channel)?;
        let (call, bytes) = (proposal.call(), &proposal.bytes);
        if let Err(error) = self.check_documents(call, proposal.headers().creator()) {
            return Ok(Invocation::Done(NotEndorsed::from(error).into()));
        }
        let asked = Asked {
            channel: &self.channel,
            tx_id: proposal.tx_id(),
            bytes,
            reach: Reach::default(),
            creator: Creator::Elsewhere(proposal),
        };
        let endorsed = self.endorser.endorse(call, &asked, true, meter);
        let here = Arc::clone(&self.endorsed_here);
        let sequence = self.config.get().admission.sequence();
        Ok(endorsed.map(move |endorsed| match endorsed {
            Ok(endorsed) => {
                here.remember(sequence, &endorsed.response_payload, &endorsed.endorsement);
                ProposalResponse {
                    version: RESPONSE_VERSION,
                    timestamp: None,
                    response: Some(endorsed.response),
                    payload: endorsed.response_payload,
                    endorsement: Some(endorsed.endorsement),
                    interest: endorsed.interest,
                }
            }
            Err(refused) => refused.into(),
        }))
    }

    /// Runs a proposal's chaincode for the answer alone: nothing is endorsed, and nobody can order it. A channel that
    /// takes no transactions answers too.
    ///
    /// # Errors
    /// As [`Self::endorse`].
    pub fn answer(
        &self,
        proposal: &UnpackedProposal,
        meter: Meter,
    ) -> Result<Invocation<ProposalResponse>, ProposalError> {
        self.check_proposal(proposal)?;
        let asked = Asked {
            channel: &self.channel,
            tx_id: proposal.tx_id(),
            bytes: &proposal.bytes,
            reach: Reach::default(),
            creator: Creator::Elsewhere(proposal),
        };
        let answered = self.endorser.answer(proposal.call(), &asked, meter);
        Ok(answered.map(|answered| match answered {
            Ok(response) => ProposalResponse {
                version: RESPONSE_VERSION,
                response: Some(response),
                ..ProposalResponse::default()
            },
            Err(refused) => refused.into(),
        }))
    }

    /// Makes sure that a proposal is sound by Fabric's rules.
    fn check_proposal(&self, proposal: &UnpackedProposal) -> Result<(), ProposalError> {
        let in_force = self.config.get();
        proposal.check_headers(&self.channel, in_force.bundle.msps(), self.clock.now())?;
        if self.reader.transaction(proposal.tx_id())?.is_some() {
            return Err(ProposalError::Duplicate(proposal.tx_id().to_owned()));
        }
        if !is_system(&proposal.call().chaincode) {
            proposal.check_proposer(&in_force)?;
        }
        Ok(())
    }

    /// Puts an envelope into the channel's order, if the channel lets it in, and says where its outcome
    /// will be.
    ///
    /// # Errors
    /// Nothing was ordered; see [`SubmitError`].
    pub fn order(&self, envelope: Bytes, origin: Origin<'_>) -> Result<Promised, SubmitError> {
        match origin {
            Origin::Here(creator) => self.order_made_here(envelope, creator, None),
            Origin::Collected(creator, sequence) => {
                self.order_made_here(envelope, creator, Some(sequence))
            }
            Origin::Outside => self.order_from_outside(envelope),
        }
    }

    /// Orders a configuration that an orderer has made out of the one in force, which has this sequence. It
    /// gets a block of its own, and is in force from then on. If another configuration comes first, it is not
    /// ordered, and the outcome is not told.
    ///
    /// # Errors
    /// Nothing was ordered; see [`SubmitError`].
    pub fn configure(&self, envelope: Bytes, sequence: u64) -> Result<Promised, SubmitError> {
        let examined = Examined::new(&envelope, &self.channel);
        let message = Message {
            size_bytes: envelope.len(),
            sequence,
            envelope,
            known: Known {
                examined,
                signatures: Signatures::OfOthers,
                sequence,
            },
        };
        self.put(message, |message| self.consenter.configure(message))
    }

    /// Why the channel takes no transactions, if something broke.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let failure = self.outcomes.failure();
        failure.or_else(|| {
            let trouble = self.consenter.trouble()?;
            Some(format!(
                "the order cannot be reached: {trouble}; trying again"
            ))
        })
    }

    /// Takes no more transactions; what is queued is still committed.
    pub fn close(&self) {
        self.outcomes.close();
        self.consenter.close();
    }

    /// Whether whoever signed this proposal, for this channel or another, may use a resource of this one, such as
    /// `peer/ChaincodeToChaincode`; the text says why not. The signature was checked when the proposal came.
    ///
    /// # Errors
    /// See there.
    pub fn may_use(&self, resource: &str, proposal: &SignedProposal) -> Result<(), String> {
        let in_force = self.config.get();
        let creator = in_force.bundle.msps().validate(&creator(proposal));
        let creator = creator.map_err(|error| error.to_string())?;
        let checked = check_access(&in_force, self.endorser.organization(), resource, &creator);
        checked.map_err(|error| error.to_string())
    }

    fn order_made_here(
        &self,
        envelope: Bytes,
        creator: &SigningIdentity,
        checked_by: Option<u64>,
    ) -> Result<Promised, SubmitError> {
        let examined = Examined::made_here(&envelope, &self.channel);
        let Content::Endorsed(endorsed) = &examined.content else {
            return self.order_from_outside(envelope);
        };
        let opened = &endorsed.opened;
        let size_bytes = envelope_size_bytes(&opened.payload, &opened.signature);
        let admission = Arc::clone(&self.config.get().admission);
        admission.admit_made_here(creator, size_bytes, self.clock.now())?;
        let message = Message {
            envelope,
            size_bytes,
            sequence: admission.sequence(),
            known: Known {
                examined,
                signatures: match checked_by {
                    Some(sequence) if sequence != admission.sequence() => Signatures::OfOthers,
                    _ => Signatures::Proven,
                },
                sequence: admission.sequence(),
            },
        };
        self.put(message, |message| self.consenter.order(message))
    }

    /// Orders the configuration that an update leads to, here or elsewhere. The envelope, of type `CONFIG_UPDATE`, was let in.
    fn order_update(&self, update: &Bytes) -> Result<Promised, SubmitError> {
        if self.consenter.takes_updates() {
            return self.pass_on_update(update);
        }
        let in_force = self.config.get();
        let signer = &*self.signer;
        let config = configuration(update, &in_force, signer).map_err(SubmitError::Config)?;
        let envelope = config_envelope(&self.channel, &config, signer, self.clock.now());
        in_force.admission.admit_configuration(&envelope)?;
        self.configure(envelope, in_force.admission.sequence())
    }

    /// Hands an update to those who make configurations of updates.
    fn pass_on_update(&self, update: &Bytes) -> Result<Promised, SubmitError> {
        let envelope = Envelope::decode(update.clone());
        let envelope = envelope.map_err(|error| SubmitError::Config(error.into()))?;
        let sequence = self.config.get().admission.sequence();
        let mut examined = Examined::new(update, &self.channel);
        examined.tx_id = Some(update_id(&envelope));
        let message = Message {
            size_bytes: update.len(),
            sequence,
            envelope: update.clone(),
            known: Known {
                examined,
                signatures: Signatures::OfOthers,
                sequence,
            },
        };
        self.put(message, |message| self.consenter.configure(message))
    }

    fn order_from_outside(&self, envelope: Bytes) -> Result<Promised, SubmitError> {
        self.outcomes.refuse_in_trouble()?;
        let admission = Arc::clone(&self.config.get().admission);
        let opened = admission.admit(&envelope, self.clock.now())?;
        if opened.channel_header.r#type == header_type::CONFIG_UPDATE {
            return self.order_update(&envelope);
        }
        let examined = Examined::new(&envelope, &self.channel);
        let message = Message {
            size_bytes: envelope_size_bytes(&opened.payload, &opened.signature),
            sequence: admission.sequence(),
            known: Known {
                signatures: self.signatures_of(&examined, admission.sequence()),
                examined,
                sequence: admission.sequence(),
            },
            envelope,
        };
        self.put(message, |message| self.consenter.order(message))
    }

    /// What is known of the signatures of a transaction from outside. Its creator's was verified when it was let in.
    fn signatures_of(&self, examined: &Examined, sequence: u64) -> Signatures {
        let Content::Endorsed(endorsed) = &examined.content else {
            return Signatures::OfOthers;
        };
        let call = &endorsed.call;
        let (payload, endorsements) = (&call.proposal_response_payload, &call.endorsements);
        if self
            .endorsed_here
            .has_signed(sequence, payload, endorsements)
        {
            Signatures::Proven
        } else {
            Signatures::OfOthers
        }
    }

    /// Promises the outcome, and puts the message into the order.
    fn put(
        &self,
        message: Message<Known>,
        put: impl FnOnce(Message<Known>) -> Result<(), NotOrdered>,
    ) -> Result<Promised, SubmitError> {
        let tx_id = message.known.examined.tx_id.clone().unwrap_or_default();
        let outcome = self.outcomes.promise(&tx_id, message.envelope.clone())?;
        match put(message) {
            Ok(()) => {
                self.outcomes.ordered(&tx_id);
                Ok(outcome)
            }
            Err(error) => {
                self.outcomes.withdraw(&tx_id);
                Err(error.into())
            }
        }
    }

    /// A transaction id is used only once, whatever its outcome was.
    fn refuse_if_known(&self, tx_id: &str) -> Result<(), SubmitError> {
        if self.outcomes.is_pending(tx_id) {
            return Err(SubmitError::Duplicate);
        }
        match self.reader.transaction(tx_id) {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(SubmitError::Duplicate),
            Err(error) => Err(SubmitError::Chaincode(ChaincodeError::Read(error))),
        }
    }
}

impl Peer {
    /// Refuses a proposal whose transaction could not be ordered.
    fn check_submission(&self, proposal: &Proposal) -> Result<(), SubmitError> {
        self.outcomes.refuse_in_trouble()?;
        self.refuse_if_known(&proposal.tx_id)?;
        let checked = self.check_documents(&proposal.call, proposal.identity.serialized());
        checked.map_err(SubmitError::Chaincode)
    }

    /// Refuses a call of the built-in chaincode where the channel does not have it called.
    fn check_documents(&self, call: &Call, creator: &[u8]) -> Result<(), ChaincodeError> {
        if self.endorser.is_deployed(&call.chaincode) {
            return Ok(());
        }
        let checked = check_documents(&self.config.get(), creator);
        checked.map_err(ChaincodeError::NotAllowed)
    }
}

impl Submitter for Peer {
    fn submit(self: Arc<Self>, proposal: Proposal) -> Invocation<Result<Submitted, SubmitError>> {
        if let Err(error) = self.check_submission(&proposal) {
            return Invocation::Done(Err(error));
        }
        let bytes = self.endorser.proposal(&proposal, self.clock.now().into());
        let Proposal {
            identity,
            tx_id,
            call,
            meter,
            reach,
            ..
        } = proposal;
        let asked = Asked {
            channel: &self.channel,
            tx_id: &tx_id,
            bytes: &bytes,
            reach,
            creator: Creator::Here(&identity),
        };
        let may_need_others = self.collector.may_need_others(&call.chaincode);
        let endorsed = self.endorser.endorse(&call, &asked, may_need_others, meter);
        let proposed = Unordered {
            tx_id,
            identity,
            chaincode: call.chaincode,
            bytes,
        };
        endorsed.then(move |endorsed| self.order_endorsed(proposed, endorsed))
    }

    fn evaluate(&self, proposal: Proposal) -> Invocation<Result<Evaluated, ChaincodeError>> {
        self.endorser.evaluate(&proposal, &*self.clock)
    }

    fn propose(
        self: Arc<Self>,
        proposal: &UnpackedProposal,
        wanted: Wanted,
        meter: Meter,
    ) -> Result<Invocation<ProposalResponse>, ProposalError> {
        match wanted {
            Wanted::Endorsement => self.endorse(proposal, meter),
            Wanted::Answer => self.answer(proposal, meter),
        }
    }

    fn order(&self, envelope: Bytes) -> Result<Promised, SubmitError> {
        Self::order(self, envelope, Origin::Outside)
    }

    fn orders_later(&self) -> bool {
        self.consenter.places_later()
    }

    fn is_pending(&self, tx_id: &str) -> bool {
        self.outcomes.is_pending(tx_id)
    }

    fn watch(&self, tx_id: &str) -> Watch {
        self.outcomes.watch(tx_id)
    }
}
