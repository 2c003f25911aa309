//! A proposal by somebody whose key this node does not have. It is taken apart and checked by Fabric's rules.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use quire_chaincode::Call;
use quire_identity::{IdentityError, Msps, PolicyError, SignatureError};
use quire_ledger::ReadError;
use quire_wire::common::{ChannelHeader, Header, SignatureHeader, Timestamp, header_type};
use quire_wire::count::fields;
use quire_wire::peer::{
    ChaincodeHeaderExtension, ChaincodeInput, ChaincodeInvocationSpec, ChaincodeProposalPayload,
    Endorsement, Proposal as ProposalMessage, ProposalResponse, SignedProposal,
};
use quire_wire::transaction::ProposalBytes;
use quire_wire::tx_id::tx_id;
use quire_wire::{DecodeError, Message, tolerant};

use crate::config::InForce;
use crate::submit::SubmitError;

/// Where the arguments of a call stand in a `ChaincodeInvocationSpec`: its specification, and in that the input.
const SPEC_INPUT: &[u32] = &[1, 3];
/// Arguments and decorations of a call, at most: each takes many times the bytes that it has on the way.
pub const MAX_ARGS: usize = 65_536;
/// The parts that an endorser reads and a Gateway does not.
pub const SIGNATURE_HEADER: &str = "SignatureHeader";
/// See [`SIGNATURE_HEADER`].
pub const HEADER_EXTENSION: &str = "ChaincodeHeaderExtension";

/// Why a proposal is refused. Its sender can mend all but [`Self::Policy`], [`Self::Read`] and
/// [`Self::Channel`].
#[derive(Debug, thiserror::Error)]
pub enum ProposalError {
    /// A part of it is not the message that it should be.
    #[error("the {part} of the proposal cannot be read")]
    Malformed {
        /// Which part, by the name of its message.
        part: &'static str,
        /// What is wrong with its bytes.
        source: DecodeError,
    },
    /// A part of it is not there.
    #[error("the proposal has no {0}")]
    Missing(&'static str),
    /// It is not a call or a configuration.
    #[error("the proposal has the header type {}, which cannot be endorsed", header_type::name(*.0))]
    HeaderType(i32),
    /// Its epoch is not 0.
    #[error("the proposal has the epoch {0}")]
    Epoch(u64),
    /// Its transaction id is not that of its nonce and creator.
    #[error(
        "the proposal has the transaction id {claimed:?}, but nonce and creator give {derived:?}"
    )]
    TxId {
        /// What it says.
        claimed: String,
        /// What it should say.
        derived: String,
    },
    /// Its call has more than [`MAX_ARGS`] arguments.
    #[error("the call has more than {MAX_ARGS} arguments")]
    TooManyArgs,
    /// It names another channel.
    #[error("the proposal is for channel {0:?}")]
    OtherChannel(String),
    /// The channel does not know its creator.
    #[error("the creator is not a member of the channel")]
    Creator(#[from] IdentityError),
    /// Its creator's certificate has expired.
    #[error("the certificate of {0:?} has expired")]
    Expired(String),
    /// Its creator did not sign it.
    #[error("the creator's signature does not hold")]
    Signature(#[from] SignatureError),
    /// Its creator may not propose.
    #[error("{0:?} is not one of the writers of the channel's application")]
    NotAProposer(String),
    /// The channel's configuration does not say who may propose.
    #[error("the channel's configuration does not say who may propose")]
    Policy(#[from] PolicyError),
    /// A transaction with this id is in a block already.
    #[error("duplicate transaction found [{0}]")]
    Duplicate(String),
    /// The ledger could not be read. The operator looks at it.
    #[error("the ledger could not be read")]
    Read(#[from] ReadError),
    /// The channel takes no transactions now.
    #[error("the channel takes no transactions")]
    Channel(#[source] SubmitError),
}

/// A proposal whose headers can be read: where it belongs, who made it and when. Nothing is checked yet.
#[derive(Clone, Debug)]
pub struct ProposalHeaders {
    /// As it came: what its creator signed, and the signature.
    signed: SignedProposal,
    channel: ChannelHeader,
    signature: SignatureHeader,
    /// The serialized headers, which the proposal's hash covers.
    bytes: Header,
    /// The serialized rest.
    payload: Bytes,
}

/// A proposal that can be read. It is taken apart once, where it comes in.
#[derive(Clone, Debug)]
pub struct UnpackedProposal {
    headers: ProposalHeaders,
    /// What its hash covers and its transaction will hold.
    pub(crate) bytes: ProposalBytes,
    /// What the chaincode is given. The peer may add decorations, the client may not.
    pub(crate) input: ChaincodeInput,
    call: Call,
    /// The chaincode that its specification names. That of the call is the header's.
    specified: String,
    has_transient: bool,
}

impl ProposalHeaders {
    /// Takes the headers off a proposal.
    ///
    /// # Errors
    /// They cannot be read: [`ProposalError::Malformed`].
    pub fn read(signed: SignedProposal) -> Result<Self, ProposalError> {
        let proposal: ProposalMessage = decode("Proposal", signed.proposal_bytes.clone())?;
        let bytes: Header = decode("Header", proposal.header)?;
        let channel = tolerant::decode(bytes.channel_header.clone(), tolerant::CHANNEL_HEADER);
        let channel = channel.map_err(malformed("ChannelHeader"))?;
        let signature =
            tolerant::decode(bytes.signature_header.clone(), tolerant::SIGNATURE_HEADER);
        let signature = signature.map_err(malformed(SIGNATURE_HEADER))?;
        Ok(Self {
            signed,
            channel,
            signature,
            bytes,
            payload: proposal.payload,
        })
    }

    /// Takes the rest of the proposal apart.
    ///
    /// # Errors
    /// It cannot be read, or does not say what to call.
    pub fn unpack(self) -> Result<UnpackedProposal, ProposalError> {
        let extension: ChaincodeHeaderExtension =
            tolerant::decode(self.channel.extension.clone(), tolerant::HEADER_EXTENSION)
                .map_err(malformed(HEADER_EXTENSION))?;
        let chaincode = extension.chaincode_id.map(|id| id.name);
        let chaincode = chaincode.filter(|name| !name.is_empty());
        let chaincode = chaincode.ok_or(ProposalError::Missing("chaincode"))?;
        let payload: ChaincodeProposalPayload =
            decode("ChaincodeProposalPayload", self.payload.clone())?;
        let (specified, input) = specification(payload.input.clone())?;
        let has_transient = !payload.transient_map.is_empty();
        // Only the chaincode may see the transient map.
        let payload = ChaincodeProposalPayload {
            input: payload.input,
            ..ChaincodeProposalPayload::default()
        };
        Ok(UnpackedProposal {
            bytes: ProposalBytes {
                channel_header: self.bytes.channel_header.clone(),
                signature_header: self.bytes.signature_header.clone(),
                payload: payload.encode_to_vec().into(),
            },
            call: call(chaincode, &input),
            input,
            specified,
            has_transient,
            headers: self,
        })
    }

    /// The channel that it is for; empty if it is for none.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel.channel_id
    }

    /// The time that it states; 1970 if it states none.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        self.channel.timestamp.unwrap_or_default()
    }

    /// Who made it: a serialized identity.
    #[must_use]
    pub fn creator(&self) -> &Bytes {
        &self.signature.creator
    }

    /// The bytes of what its creator signed.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.signed.proposal_bytes.len()
    }

    /// Checks the headers by Fabric's rules, in Fabric's order: channel, headers, transaction id, creator
    /// and signature.
    fn check(&self, channel: &str, msps: &Msps, now: SystemTime) -> Result<(), ProposalError> {
        let header = &self.channel;
        if header.channel_id != channel {
            return Err(ProposalError::OtherChannel(header.channel_id.clone()));
        }
        match header.r#type {
            header_type::ENDORSER_TRANSACTION | header_type::CONFIG => {}
            other => return Err(ProposalError::HeaderType(other)),
        }
        if header.epoch != 0 {
            return Err(ProposalError::Epoch(header.epoch));
        }
        let SignatureHeader { creator, nonce } = &self.signature;
        for (part, bytes) in [
            ("nonce", nonce),
            ("creator", creator),
            ("signature", &self.signed.signature),
        ] {
            if bytes.is_empty() {
                return Err(ProposalError::Missing(part));
            }
        }
        let derived = tx_id(nonce, creator);
        if header.tx_id != derived {
            return Err(ProposalError::TxId {
                claimed: header.tx_id.clone(),
                derived,
            });
        }
        let creator = msps.validate(creator)?;
        if creator.has_expired_at(now) {
            return Err(ProposalError::Expired(creator.name().to_owned()));
        }
        creator.verify(&self.signed.proposal_bytes, &self.signed.signature)?;
        Ok(())
    }
}

impl UnpackedProposal {
    /// Takes a proposal apart.
    ///
    /// # Errors
    /// It cannot be read, or does not say what to call.
    pub fn read(signed: SignedProposal) -> Result<Self, ProposalError> {
        ProposalHeaders::read(signed)?.unpack()
    }

    /// Where it belongs, who made it and when.
    #[must_use]
    pub fn headers(&self) -> &ProposalHeaders {
        &self.headers
    }

    /// The call that it asks for.
    #[must_use]
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// The chaincode that its specification names, which nobody has compared with that of the call; empty if it names
    /// none.
    #[must_use]
    pub fn specified(&self) -> &str {
        &self.specified
    }

    /// The payload of the transaction that it comes to with an endorsement, for its creator to sign; `None` if the
    /// response has no endorsement.
    #[must_use]
    pub fn unsigned_transaction(&self, response: ProposalResponse) -> Option<Bytes> {
        let endorsements = vec![response.endorsement?];
        Some(self.unsigned(response.payload, endorsements))
    }

    /// The same with these endorsements of an outcome.
    #[must_use]
    pub fn unsigned(&self, outcome: Bytes, endorsements: Vec<Endorsement>) -> Bytes {
        let bytes = self.bytes.clone();
        bytes.transaction_payload(outcome, endorsements)
    }

    /// Whether it has data that only the chaincode may see.
    #[must_use]
    pub fn has_transient(&self) -> bool {
        self.has_transient
    }

    pub(crate) fn tx_id(&self) -> &str {
        &self.headers.channel.tx_id
    }

    /// As it came.
    #[must_use]
    pub fn signed(&self) -> &SignedProposal {
        &self.headers.signed
    }

    /// Checks the headers by Fabric's rules.
    pub(crate) fn check_headers(
        &self,
        channel: &str,
        msps: &Msps,
        now: SystemTime,
    ) -> Result<(), ProposalError> {
        self.headers.check(channel, msps, now)
    }

    /// Checks the creator, whose signature is valid, against the channel's policy.
    pub(crate) fn check_proposer(&self, in_force: &InForce) -> Result<(), ProposalError> {
        let creator = [in_force.bundle.msps().validate(self.headers.creator())?];
        let proposers = in_force.proposers.as_ref().map_err(Clone::clone)?;
        if proposers.is_satisfied_by(&creator) {
            return Ok(());
        }
        let [creator] = creator;
        Err(ProposalError::NotAProposer(creator.name().to_owned()))
    }
}

/// The chaincode that a payload's input names, and what it is given.
fn specification(input: Bytes) -> Result<(String, ChaincodeInput), ProposalError> {
    if fields(&input, SPEC_INPUT) > MAX_ARGS {
        return Err(ProposalError::TooManyArgs);
    }
    let invocation: ChaincodeInvocationSpec = decode("ChaincodeInvocationSpec", input)?;
    let spec = invocation.chaincode_spec;
    let spec = spec.ok_or(ProposalError::Missing("chaincode specification"))?;
    let input = spec.input.ok_or(ProposalError::Missing("input"))?;
    let input = ChaincodeInput {
        decorations: BTreeMap::new(),
        ..input
    };
    let specified = spec.chaincode_id.map(|id| id.name).unwrap_or_default();
    Ok((specified, input))
}

/// The call that an input asks for: the first argument is the function's name.
fn call(chaincode: String, input: &ChaincodeInput) -> Call {
    let mut args = input.args.iter();
    let function = args.next().cloned().unwrap_or_default();
    Call {
        chaincode,
        // Bytes that are not text do not name a function, and the chaincode says so.
        function: String::from_utf8_lossy(&function).into_owned(),
        args: args.cloned().collect(),
    }
}

fn decode<M: Message + Default>(part: &'static str, bytes: Bytes) -> Result<M, ProposalError> {
    M::decode(bytes).map_err(malformed(part))
}

fn malformed(part: &'static str) -> impl FnOnce(DecodeError) -> ProposalError {
    move |source| ProposalError::Malformed { part, source }
}
