//! `protos.Endorser/ProcessProposal`: a proposal is endorsed, or refused as Fabric's peer refuses it.
//!
//! Fabric ends the call with an error for what is wrong with the proposal itself, and answers with a status of 500
//! for what went wrong when it ran. Clients compare the texts of errors, so these are Fabric's.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use quire_peer::{
    Channel, ProposalError, ProposalHeaders, SIGNATURE_HEADER, SubmitError, UnpackedProposal,
    Wanted,
};
use quire_wire::common::{Timestamp, header_type};
use quire_wire::peer::{ProposalResponse, Response, SignedProposal};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tonic::Status;

use crate::call::{Caller, by_size, drive};
use crate::services::{MAX_NAME, Services};

/// How far a proposal's time may be from the node's, as Fabric has it where nobody says otherwise
/// (`peer.authentication.timewindow`).
const TIME_WINDOW: Duration = Duration::from_secs(15 * 60);
/// What Fabric's filters read of a proposal.
const HEADERS: [&str; 4] = ["Proposal", "Header", "ChannelHeader", SIGNATURE_HEADER];
/// Fabric's status of a failure.
const FAILED: i32 = 500;

/// `ProcessProposal`.
pub(crate) async fn process_proposal(
    services: Arc<Services>,
    signed: SignedProposal,
    _: Caller,
) -> Result<ProposalResponse, Status> {
    let proposal = match read(&services, signed) {
        Ok(proposal) => proposal,
        Err(rejected) => return Err(Status::unknown(rejected.text)),
    };
    match run(&services, Arc::new(proposal), Wanted::Endorsement).await? {
        Ok(response) => Ok(response),
        Err(rejected) => Err(Status::unknown(rejected.text)),
    }
}

/// Takes a proposal apart. What is wrong with its headers and its time is told before what is wrong with the rest.
fn read(services: &Services, signed: SignedProposal) -> Result<UnpackedProposal, Rejected> {
    let headers = ProposalHeaders::read(signed).map_err(|error| Rejected::unread(&error))?;
    check(services, &headers)?;
    let proposal = headers.unpack();
    proposal.map_err(|error| Rejected::unread(&error))
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

    /// It cannot be read. Headers are read before the endorser looks at it.
    pub(crate) fn unread(error: &ProposalError) -> Self {
        let text = text(error, None, &Bytes::new());
        match error {
            ProposalError::Malformed { part, .. } if HEADERS.contains(part) => {
                Self::before(format!("failed parsing proposal: {text}"))
            }
            _ => Self::by_endorser(text),
        }
    }

    fn by_endorser(text: String) -> Self {
        Self {
            text,
            by_endorser: true,
        }
    }
}

/// Runs a proposal that was taken apart, and endorses what comes of it if that is wanted.
///
/// # Errors
/// The status says why the node could not look at it. See [`Rejected`] for what is wrong with it.
pub(crate) async fn process(
    services: &Arc<Services>,
    proposal: Arc<UnpackedProposal>,
    wanted: Wanted,
) -> Result<Result<ProposalResponse, Rejected>, Status> {
    match check(services, proposal.headers()) {
        Ok(()) => run(services, proposal, wanted).await,
        Err(rejected) => Ok(Err(rejected)),
    }
}

/// What Fabric's filters before the endorser ask of a proposal.
fn check(services: &Services, headers: &ProposalHeaders) -> Result<(), Rejected> {
    check_time(headers.timestamp(), services.backend.now())?;
    if headers.channel().len() > MAX_NAME {
        let text = "the name of the channel is too long";
        return Err(Rejected::before(text.to_owned()));
    }
    Ok(())
}

async fn run(
    services: &Arc<Services>,
    proposal: Arc<UnpackedProposal>,
    wanted: Wanted,
) -> Result<Result<ProposalResponse, Rejected>, Status> {
    let headers = proposal.headers();
    let creator = headers.creator().clone();
    let name = headers.channel();
    if name.is_empty() {
        let local = services.backend.local();
        let work = move || local.propose(&proposal);
        let answered = services.threads.work(work).await?;
        return Ok(answered.map_err(|error| Rejected::by_endorser(text(&error, None, &creator))));
    }
    let Some(channel) = services.backend.channel(name) else {
        return Ok(Ok(failed(format!("channel '{name}' not found"))));
    };
    let weight = channel.chaincodes.weight(proposal.call());
    let weight = by_size(weight, headers.size_bytes());
    let begin = {
        let submitter = Arc::clone(&channel.submitter);
        move |meter| submitter.propose(&proposal, wanted, meter)
    };
    let threads = (&channel.reader, weight);
    let endorsed = drive(&services.threads, &services.backend, threads, begin).await?;
    Ok(endorsed.map_err(|error| Rejected::by_endorser(text(&error, Some(&channel), &creator))))
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

/// Keeps proposals of long ago from being used again.
fn check_time(stated: Timestamp, now: SystemTime) -> Result<(), Rejected> {
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
fn text(error: &ProposalError, channel: Option<&Channel>, creator: &Bytes) -> String {
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
            hex::encode(creator)
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
