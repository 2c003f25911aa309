//! Runs calls on a snapshot, and endorses their outcome.

use std::sync::Arc;

use bytes::Bytes;
use quire_chaincode::{Call, ChaincodeError, Chaincodes, Invocation, Simulated};
use quire_identity::SigningIdentity;
use quire_ledger::{IMPLICIT_COLLECTION, Meter, Reader, Simulator};
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, SignatureHeader, Timestamp, header_type};
use quire_wire::peer::{
    ChaincodeAction, ChaincodeEvent, ChaincodeHeaderExtension, ChaincodeId, ChaincodeInput,
    ChaincodeInterest, ChaincodeSpec, Endorsement, Response,
};
use quire_wire::rwset::{TxPvtReadWriteSet, TxReadWriteSet};
use quire_wire::transaction::ProposalBytes;

use crate::clock::Clock;
use crate::interest::interest;
use crate::proposed::{Asked, Evaluating};
use crate::refused::NotEndorsed;
use crate::submit::{DECORATION, Evaluated, Proposal};

/// Fabric's type of a chaincode whose language is not given (`GOLANG`).
const CHAINCODE_TYPE: i32 = 1;

/// The endorser of a channel.
#[derive(Debug)]
pub(crate) struct Endorser {
    channel: Arc<str>,
    reader: Reader,
    chaincodes: Arc<Chaincodes>,
    identity: Arc<SigningIdentity>,
}

/// The outcome of a call, and an endorsement of it.
#[derive(Debug)]
pub(crate) struct Endorsed {
    /// What was signed.
    pub(crate) response_payload: Bytes,
    pub(crate) endorsement: Endorsement,
    /// What the chaincode answered; the payload has it too.
    pub(crate) response: Response,
    /// What it tells those who listen; the payload has it too.
    pub(crate) event: Option<ChaincodeEvent>,
    /// What it touched, for somebody who may ask others to endorse it too.
    pub(crate) interest: Option<ChaincodeInterest>,
}

impl Endorser {
    pub(crate) fn new(
        reader: Reader,
        chaincodes: Arc<Chaincodes>,
        identity: Arc<SigningIdentity>,
    ) -> Self {
        Self {
            channel: reader.channel().into(),
            reader,
            chaincodes,
            identity,
        }
    }

    /// MSP id of the node's organisation.
    pub(crate) fn organization(&self) -> &str {
        self.identity.msp_id()
    }

    /// Whether a chaincode governs a namespace that is not the built-in one.
    pub(crate) fn is_deployed(&self, namespace: &str) -> bool {
        self.chaincodes.is_deployed(namespace)
    }

    pub(crate) fn evaluate(
        &self,
        proposal: &Proposal,
        clock: &dyn Clock,
    ) -> Invocation<Result<Evaluated, ChaincodeError>> {
        evaluate(&self.chaincodes, &self.reader, clock, proposal)
    }

    /// Runs a proposal's chaincode on a snapshot, writes down the outcome, and signs it. If the chaincode
    /// waits, the returned invocation waits too, and keeps what it needs. What the call touched is told if somebody
    /// else may have to endorse it too.
    pub(crate) fn endorse(
        &self,
        call: &Call,
        asked: &Asked<'_>,
        tells_interest: bool,
        meter: Meter,
    ) -> Invocation<Result<Endorsed, NotEndorsed>> {
        let simulator = Simulator::new(self.reader.snapshot()).with_meter(meter);
        let chaincode = self.chaincodes.of(&call.chaincode);
        match chaincode.invoke(call, asked, simulator) {
            Invocation::Done(simulated) => Invocation::Done(endorse(
                (call, &chaincode.version()),
                (asked.tx_id, tells_interest),
                asked.bytes,
                simulated,
                (&self.reader, &self.chaincodes, &self.identity),
            )),
            waiting @ Invocation::Waiting(_) => {
                let (tx_id, proposal) = (asked.tx_id.to_owned(), asked.bytes.clone());
                let call = call.clone();
                let (reader, identity) = (self.reader.clone(), Arc::clone(&self.identity));
                let chaincodes = Arc::clone(&self.chaincodes);
                waiting.map(move |simulated| {
                    let called = (&call, &*chaincode.version());
                    let here = (&reader, &*chaincodes, &*identity);
                    endorse(called, (&tx_id, tells_interest), &proposal, simulated, here)
                })
            }
        }
    }

    /// Runs a proposal's chaincode on a snapshot, for what it answers.
    pub(crate) fn answer(
        &self,
        call: &Call,
        asked: &Asked<'_>,
        meter: Meter,
    ) -> Invocation<Result<Response, NotEndorsed>> {
        let simulator = Simulator::new(self.reader.snapshot()).with_meter(meter);
        let chaincode = self.chaincodes.of(&call.chaincode);
        let simulated = chaincode.invoke(call, asked, simulator);
        let (proposal, call) = (asked.bytes.clone(), call.clone());
        simulated.map(move |Simulated { simulator, answer }| match answer {
            Ok(answer) => Ok(Response {
                status: answer.status,
                message: answer.message,
                payload: answer.payload,
            }),
            Err(error) => {
                let chaincode_id = chaincode_id(&call, &chaincode.version());
                let results = || simulator.into_results().public.encode_to_vec().into();
                Err(NotEndorsed::by_chaincode(
                    error,
                    &proposal,
                    chaincode_id,
                    results,
                ))
            }
        })
    }

    /// The bytes of a proposal by an identity of this node.
    pub(crate) fn proposal(&self, proposal: &Proposal, timestamp: Timestamp) -> ProposalBytes {
        proposal_bytes(&self.channel, proposal, timestamp)
    }
}

/// The bytes of a proposal for a channel.
pub(crate) fn proposal_bytes(
    channel: &str,
    proposal: &Proposal,
    timestamp: Timestamp,
) -> ProposalBytes {
    let call = &proposal.call;
    let header = ChannelHeader {
        r#type: header_type::ENDORSER_TRANSACTION,
        timestamp: Some(timestamp),
        channel_id: channel.to_owned(),
        tx_id: proposal.tx_id.clone(),
        extension: ChaincodeHeaderExtension {
            chaincode_id: Some(chaincode_id(call, "")),
        }
        .encode_to_vec()
        .into(),
        ..ChannelHeader::default()
    };
    let creator = SignatureHeader {
        creator: proposal.identity.serialized().clone(),
        nonce: Bytes::copy_from_slice(&proposal.nonce),
    };
    let function = Bytes::copy_from_slice(call.function.as_bytes());
    let decoration = proposal.decoration.iter();
    let spec = ChaincodeSpec {
        r#type: CHAINCODE_TYPE,
        chaincode_id: Some(chaincode_id(call, "")),
        input: Some(ChaincodeInput {
            args: std::iter::once(function)
                .chain(call.args.iter().cloned())
                .collect(),
            decorations: decoration
                .map(|bytes| (DECORATION.to_owned(), bytes.to_vec()))
                .collect(),
            is_init: proposal.is_init,
        }),
        timeout: 0,
    };
    ProposalBytes::new(&header, &creator, spec)
}

/// Writes down the outcome of a call, and signs it.
fn endorse(
    (call, version): (&Call, &str),
    (tx_id, tells_interest): (&str, bool),
    proposal: &ProposalBytes,
    simulated: Simulated,
    (reader, chaincodes, identity): (&Reader, &Chaincodes, &SigningIdentity),
) -> Result<Endorsed, NotEndorsed> {
    let Simulated { simulator, answer } = simulated;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let chaincode_id = chaincode_id(call, version);
            let results = || simulator.into_results().public.encode_to_vec().into();
            return Err(NotEndorsed::by_chaincode(
                error,
                proposal,
                chaincode_id,
                results,
            ));
        }
    };
    let written = simulator.check_writes();
    written.map_err(ChaincodeError::from)?;
    let results = simulator.into_results();
    keep_out(chaincodes, call, &results.public)?;
    keep_private(reader, identity, tx_id, &results.private)?;
    let interest = tells_interest.then(|| {
        let organization = identity.msp_id();
        // The built-in chaincode gives no key a policy.
        let may_have_policies = |namespace: &str| chaincodes.is_deployed(namespace);
        interest(
            &call.chaincode,
            &results.public,
            (organization, &reader.snapshot()),
            may_have_policies,
        )
    });
    let interest = interest.transpose().map_err(ChaincodeError::from)?;
    let event = answer.event.map(|event| ChaincodeEvent {
        chaincode_id: call.chaincode.clone(),
        tx_id: tx_id.to_owned(),
        event_name: event.name,
        payload: event.payload,
    });
    let response = Response {
        status: answer.status,
        message: answer.message,
        payload: answer.payload,
    };
    let action = ChaincodeAction {
        results: results.public.encode_to_vec().into(),
        events: event
            .as_ref()
            .map(|event| event.encode_to_vec().into())
            .unwrap_or_default(),
        response: Some(response.clone()),
        chaincode_id: Some(chaincode_id(call, version)),
    };
    let response_payload = proposal.response_payload(&action);
    let endorser = identity.serialized();
    let signed = [response_payload.as_ref(), endorser.as_ref()].concat();
    Ok(Endorsed {
        endorsement: Endorsement {
            endorser: endorser.clone(),
            signature: identity.sign(&signed),
        },
        response_payload,
        response,
        event,
        interest,
    })
}

/// Refuses what the built-in chaincode would write where another one governs: its calls may name any namespace.
fn keep_out(
    chaincodes: &Chaincodes,
    call: &Call,
    results: &TxReadWriteSet,
) -> Result<(), ChaincodeError> {
    if chaincodes.is_deployed(&call.chaincode) {
        return Ok(());
    }
    let mut sets = results.ns_rwset.iter();
    match sets.find(|set| chaincodes.is_deployed(&set.namespace)) {
        Some(set) => Err(ChaincodeError::refused(format!(
            "namespace {:?} is governed by a chaincode: its state changes by calls of it alone",
            set.namespace
        ))),
        None => Ok(()),
    }
}

/// Keeps what a call wrote to this organisation's own collections, before anybody can order it. What it wrote
/// to collections of other organisations would have to be sent to them.
fn keep_private(
    reader: &Reader,
    identity: &SigningIdentity,
    tx_id: &str,
    private: &TxPvtReadWriteSet,
) -> Result<(), ChaincodeError> {
    if private.ns_pvt_rwset.is_empty() {
        return Ok(());
    }
    let own = format!("{IMPLICIT_COLLECTION}{}", identity.msp_id());
    for set in &private.ns_pvt_rwset {
        let mut collections = set.collection_pvt_rwset.iter();
        if let Some(other) = collections.find(|set| set.collection_name != own) {
            return Err(ChaincodeError::PrivateData {
                namespace: set.namespace.clone(),
                collection: other.collection_name.clone(),
            });
        }
    }
    Ok(reader.keep_private(tx_id, private)?)
}

/// Runs a call that will not be ordered.
pub(crate) fn evaluate(
    chaincodes: &Chaincodes,
    reader: &Reader,
    clock: &dyn Clock,
    proposal: &Proposal,
) -> Invocation<Result<Evaluated, ChaincodeError>> {
    let simulator = Simulator::new(reader.snapshot()).with_meter(proposal.meter.clone());
    let evaluating = Evaluating {
        channel: reader.channel(),
        proposal,
        clock,
    };
    let call = &proposal.call;
    let invocation = chaincodes
        .of(&call.chaincode)
        .invoke(call, &evaluating, simulator);
    invocation.map(|simulated| {
        Ok(Evaluated {
            result: simulated.answer?.payload,
            height: simulated.simulator.snapshot().height(),
        })
    })
}

fn chaincode_id(call: &Call, version: &str) -> ChaincodeId {
    ChaincodeId {
        path: String::new(),
        name: call.chaincode.clone(),
        version: version.to_owned(),
    }
}
