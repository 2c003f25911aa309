//! `protos.Endorser/ProcessProposal`: a proposal is endorsed, or refused as Fabric's peer refuses it.
//!
//! Fabric ends the call with an error for what is wrong with the proposal itself, and answers with a status of 500
//! for what went wrong when it ran. Clients compare the texts of errors, so these are Fabric's.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quire_chaincode::Weight;
use quire_peer::{Channel, ProposalError, SubmitError, Wanted, proposed_call};
use quire_wire::common::{ChannelHeader, Header, SignatureHeader, header_type};
use quire_wire::peer::{Proposal, ProposalResponse, Response, SignedProposal};
use quire_wire::{DecodeError, Message, tolerant};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tonic::Status;

use crate::call::{Caller, by_size, drive};
use crate::services::{MAX_NAME, Services};

/// How far a proposal's time may be from the node's, as Fabric has it where nobody says otherwise
/// (`peer.authentication.timewindow`).
const TIME_WINDOW: Duration = Duration::from_secs(15 * 60);
/// Fabric's status of a failure.
const FAILED: i32 = 500;

/// `ProcessProposal`.
pub(crate) async fn process_proposal(
    services: Arc<Services>,
    signed: SignedProposal,
    _: Caller,
) -> Result<ProposalResponse, Status> {
    match process(&services, signed, Wanted::Endorsement).await? {
        Ok(response) => Ok(response),
        Err(rejected) => Err(Status::unknown(rejected.text)),
    }
}

/// Why a proposal is rejected, in Fabric's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejected {
    pub(crate) text: String,
    /// Whether Fabric's endorser looked at it. What comes before that tells a Gateway nothing of the proposal.
    pub(crate) by_endorser: bool,
}

impl Rejected {
    fn before(text: String) -> Self {
        Self {
            text,
            by_endorser: false,
        }
    }

    fn by_endorser(text: String) -> Self {
        Self {
            text,
            by_endorser: true,
        }
    }
}

/// Runs a proposal, and endorses what comes of it if that is wanted.
///
/// # Errors
/// The status says why the node could not look at it. See [`Rejected`] for what is wrong with it.
pub(crate) async fn process(
    services: &Arc<Services>,
    signed: SignedProposal,
    wanted: Wanted,
) -> Result<Result<ProposalResponse, Rejected>, Status> {
    let headers = match headers(&signed) {
        Ok(headers) => headers,
        Err(error) => {
            return Ok(Err(Rejected::before(format!(
                "failed parsing proposal: {error}"
            ))));
        }
    };
    if let Err(rejected) = check_time(&headers.channel, services.backend.now()) {
        return Ok(Err(rejected));
    }
    let size = signed.proposal_bytes.len();
    let name = headers.channel.channel_id.clone();
    if name.len() > MAX_NAME {
        return Ok(Err(Rejected::before(
            "the name of the channel is too long".to_owned(),
        )));
    }
    if name.is_empty() {
        let local = services.backend.local();
        let answered = services
            .threads
            .work(move || local.propose(&signed))
            .await?;
        return Ok(answered.map_err(|error| Rejected::by_endorser(text(&error, None, &headers))));
    }
    let Some(channel) = services.backend.channel(&name) else {
        return Ok(Ok(failed(format!("channel '{name}' not found"))));
    };
    let weight =
        proposed_call(&signed).map_or(Weight::Brief, |call| channel.chaincodes.weight(&call));
    let weight = by_size(weight, size);
    let begin = {
        let (submitter, signed) = (Arc::clone(&channel.submitter), signed);
        move |meter| submitter.propose(&signed, wanted, meter)
    };
    let threads = (&channel.reader, weight);
    let endorsed = drive(&services.threads, &services.backend, threads, begin).await?;
    Ok(endorsed.map_err(|error| Rejected::by_endorser(text(&error, Some(&channel), &headers))))
}

/// An answer that says what went wrong.
fn failed(message: String) -> ProposalResponse {
    ProposalResponse {
        response: Some(Response {
            status: FAILED,
            message,
            ..Response::default()
        }),
        ..ProposalResponse::default()
    }
}

/// The headers of a proposal.
struct Headers {
    channel: ChannelHeader,
    signature: SignatureHeader,
}

fn headers(signed: &SignedProposal) -> Result<Headers, DecodeError> {
    let proposal = Proposal::decode(signed.proposal_bytes.clone())?;
    let header = Header::decode(proposal.header)?;
    let (channel, signature) = (header.channel_header, header.signature_header);
    Ok(Headers {
        channel: tolerant::decode(channel, tolerant::CHANNEL_HEADER)?,
        signature: tolerant::decode(signature, tolerant::SIGNATURE_HEADER)?,
    })
}

/// Keeps proposals of long ago from being used again.
fn check_time(header: &ChannelHeader, now: SystemTime) -> Result<(), Rejected> {
    let stated = header.timestamp.unwrap_or_default();
    let nanos = i128::from(stated.seconds) * 1_000_000_000 + i128::from(stated.nanos);
    let now = OffsetDateTime::from(now);
    let apart = now.unix_timestamp_nanos().saturating_sub(nanos);
    if apart.unsigned_abs() <= TIME_WINDOW.as_nanos() {
        return Ok(());
    }
    let stated = OffsetDateTime::from_unix_timestamp(stated.seconds);
    let stated = stated.map_or_else(|_| "out of range".to_owned(), rfc3339);
    Err(Rejected::before(format!(
        "request unauthorized due to incorrect timestamp {stated}, peer time {}, \
         peer.authentication.timewindow 15m0s",
        rfc3339(now)
    )))
}

fn rfc3339(time: OffsetDateTime) -> String {
    let time = time.replace_nanosecond(0).unwrap_or(time);
    time.format(&Rfc3339).unwrap_or_default()
}

/// What Fabric's peer says of a proposal that it rejects.
fn text(error: &ProposalError, channel: Option<&Channel>, headers: &Headers) -> String {
    let name = channel.map_or("", |channel| &*channel.name);
    let invalid = |why: &dyn std::fmt::Display| format!("error validating proposal: {why}");
    match error {
        ProposalError::Malformed { part, source } => {
            format!("error unmarshalling {part}: {source}")
        }
        ProposalError::Missing(part) => match *part {
            "chaincode" => "ChaincodeHeaderExtension.ChaincodeId is nil".to_owned(),
            "chaincode specification" => {
                "chaincode invocation spec did not contain chaincode spec".to_owned()
            }
            "input" => "chaincode input did not contain any input".to_owned(),
            "signature" => invalid(&"empty signature bytes"),
            part => invalid(&format!("{part} is empty")),
        },
        ProposalError::HeaderType(kind) => match header_type::name(*kind) {
            "UNKNOWN" => invalid(&format!("invalid header type {kind}")),
            name => invalid(&format!("invalid header type {name}")),
        },
        ProposalError::Epoch(_) => invalid(&"epoch is non-zero"),
        ProposalError::TxId { claimed, derived } => invalid(&format!(
            "incorrectly computed txid '{claimed}' -- expected '{derived}'"
        )),
        ProposalError::Creator(_) | ProposalError::Signature(_) => {
            let creator = &headers.signature.creator;
            let access = channel.and_then(|channel| channel.access.as_ref());
            let known = access.and_then(|access| access.bundle().msps().deserialize(creator).ok());
            let who = known.map_or_else(
                || "unknown, creator is malformed".to_owned(),
                |known| format!("[{}]", known.msp_id()),
            );
            invalid(&format!(
                "access denied: channel [{name}] creator org {who}"
            ))
        }
        ProposalError::Expired(_) => "proposal client identity expired".to_owned(),
        ProposalError::NotAProposer(who) => format!(
            "Failed evaluating policy on signed data during check policy on channel [{name}]: {who} is not one \
             of those who may propose"
        ),
        ProposalError::Duplicate(tx_id) => format!(
            "duplicate transaction found [{tx_id}]. Creator [{}]",
            hex::encode(&headers.signature.creator)
        ),
        ProposalError::Channel(SubmitError::ReadOnly) => {
            format!("channel '{name}' takes no transactions here")
        }
        ProposalError::OtherChannel(_)
        | ProposalError::TooManyArgs
        | ProposalError::Policy(_)
        | ProposalError::Read(_)
        | ProposalError::Channel(_) => quire_ledger::chain_of(error),
    }
}
