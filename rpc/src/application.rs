//! What an application of Fabric does: it holds a key, signs what it proposes, orders and asks with it, and leaves the
//! rest to a Gateway.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use quire_identity::SigningIdentity;
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, Envelope, SignatureHeader, header_type};
use quire_wire::gateway::{
    CommitStatusRequest, CommitStatusResponse, EndorseRequest, EvaluateRequest,
    SignedCommitStatusRequest, SubmitRequest,
};
use quire_wire::peer::{
    ChaincodeHeaderExtension, ChaincodeId, ChaincodeInput, ChaincodeProposalPayload, ChaincodeSpec,
    ProposalResponse, Response, SignedProposal,
};
use quire_wire::transaction::ProposalBytes;
use quire_wire::tx_id::{NONCE_BYTES, tx_id};
use tonic::Status;

use crate::client::Client;

/// Fabric's type of a chaincode whose language is not given (`GOLANG`).
const CHAINCODE_TYPE: i32 = 1;

/// Somebody with a key, at a channel. A cheap clone.
#[derive(Clone, Debug)]
pub struct Application {
    client: Client,
    signer: Arc<SigningIdentity>,
    channel: String,
}

/// A call that its creator signed.
#[derive(Clone, Debug)]
pub struct SignedCall {
    /// The id of the transaction that it becomes.
    pub transaction_id: String,
    /// What endorsers are sent.
    pub proposal: SignedProposal,
    bytes: ProposalBytes,
}

/// Why endorsements make no transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAssembled {
    /// Nobody was asked.
    #[error("nobody has endorsed it")]
    NoResponse,
    /// An endorser did not sign.
    #[error("one of the endorsers has not endorsed it")]
    NoEndorsement,
    /// The chaincode did not do the same everywhere.
    #[error("the endorsers have endorsed different outcomes")]
    DifferentOutcomes,
}

impl SignedCall {
    /// The transaction, signed by `signer`, who must be whoever signed the call.
    ///
    /// # Errors
    /// See [`NotAssembled`].
    pub fn transaction(
        self,
        responses: Vec<ProposalResponse>,
        signer: &SigningIdentity,
    ) -> Result<Envelope, NotAssembled> {
        let mut outcome = None;
        let mut endorsements = Vec::new();
        for response in responses {
            endorsements.push(response.endorsement.ok_or(NotAssembled::NoEndorsement)?);
            let first = outcome.get_or_insert_with(|| response.payload.clone());
            if *first != response.payload {
                return Err(NotAssembled::DifferentOutcomes);
            }
        }
        let outcome = outcome.ok_or(NotAssembled::NoResponse)?;
        let payload = self.bytes.transaction_payload(outcome, endorsements);
        let signature = signer.sign(&payload);
        Ok(Envelope { payload, signature })
    }
}

/// A call of a chaincode, and what makes it one of its own.
#[derive(Clone, Debug)]
pub struct Proposing {
    /// The chaincode.
    pub chaincode: String,
    /// The function's name and its arguments.
    pub args: Vec<Bytes>,
    /// Whether it initialises the chaincode.
    pub is_init: bool,
    /// What only the chaincode may see.
    pub transient: BTreeMap<String, Vec<u8>>,
    /// Fresh randomness. With the signer it makes the transaction's id.
    pub nonce: [u8; NONCE_BYTES],
    /// The time of the call.
    pub now: SystemTime,
}

impl Proposing {
    /// The signed proposal. One for no channel has the empty name of a channel.
    #[must_use]
    pub fn sign(self, signer: &SigningIdentity, channel: &str) -> SignedCall {
        let creator = signer.serialized();
        let transaction_id = tx_id(&self.nonce, creator);
        let chaincode_id = ChaincodeId {
            name: self.chaincode,
            ..ChaincodeId::default()
        };
        let extension = ChaincodeHeaderExtension {
            chaincode_id: Some(chaincode_id.clone()),
        };
        let header = ChannelHeader {
            r#type: header_type::ENDORSER_TRANSACTION,
            timestamp: Some(self.now.into()),
            channel_id: channel.to_owned(),
            tx_id: transaction_id.clone(),
            extension: extension.encode_to_vec().into(),
            ..ChannelHeader::default()
        };
        let signature_header = SignatureHeader {
            creator: creator.clone(),
            nonce: Bytes::copy_from_slice(&self.nonce),
        };
        let spec = ChaincodeSpec {
            r#type: CHAINCODE_TYPE,
            chaincode_id: Some(chaincode_id),
            input: Some(ChaincodeInput {
                args: self.args,
                is_init: self.is_init,
                ..ChaincodeInput::default()
            }),
            timeout: 0,
        };
        let bytes = ProposalBytes::new(&header, &signature_header, spec);
        let proposal_bytes = with_transient(bytes.clone(), self.transient).proposal();
        let signature = signer.sign(&proposal_bytes);
        SignedCall {
            transaction_id,
            proposal: SignedProposal {
                proposal_bytes,
                signature,
            },
            bytes,
        }
    }
}

/// The fields of a message may follow each other in any order, so the map is what stands behind the rest.
fn with_transient(bytes: ProposalBytes, transient: BTreeMap<String, Vec<u8>>) -> ProposalBytes {
    let only_transient = ChaincodeProposalPayload {
        transient_map: transient,
        ..ChaincodeProposalPayload::default()
    };
    let payload = [&bytes.payload[..], &only_transient.encode_to_vec()].concat();
    ProposalBytes {
        payload: payload.into(),
        ..bytes
    }
}

impl Application {
    /// Whoever holds `signer`'s key, at a channel.
    #[must_use]
    pub fn new(client: Client, signer: Arc<SigningIdentity>, channel: &str) -> Self {
        Self {
            client,
            signer,
            channel: channel.to_owned(),
        }
    }

    /// Calls a chaincode, and orders nothing.
    ///
    /// # Errors
    /// The status that the call ended with.
    pub async fn evaluate(&self, proposing: Proposing) -> Result<Response, Status> {
        let call = proposing.sign(&self.signer, &self.channel);
        let request = EvaluateRequest {
            transaction_id: call.transaction_id,
            channel_id: self.channel.clone(),
            proposed_transaction: Some(call.proposal),
            target_organizations: Vec::new(),
        };
        let answer = self.client.evaluate(request).await?;
        Ok(answer.result.unwrap_or_default())
    }

    /// Calls a chaincode, orders the transaction, and waits for its verdict, which may be that it is invalid.
    ///
    /// # Errors
    /// The status that one of the three calls ended with.
    pub async fn submit(&self, proposing: Proposing) -> Result<CommitStatusResponse, Status> {
        let call = proposing.sign(&self.signer, &self.channel);
        let transaction_id = call.transaction_id;
        let request = EndorseRequest {
            transaction_id: transaction_id.clone(),
            channel_id: self.channel.clone(),
            proposed_transaction: Some(call.proposal),
            endorsing_organizations: Vec::new(),
        };
        let prepared = self.client.endorse(request).await?.prepared_transaction;
        let payload = prepared.unwrap_or_default().payload;
        let signature = self.signer.sign(&payload);
        let request = SubmitRequest {
            transaction_id: transaction_id.clone(),
            channel_id: self.channel.clone(),
            prepared_transaction: Some(Envelope { payload, signature }),
        };
        self.client.submit(request).await?;
        self.commit_status(transaction_id).await
    }

    /// The verdict on a transaction, once there is one.
    ///
    /// # Errors
    /// The status that the call ended with.
    pub async fn commit_status(
        &self,
        transaction_id: String,
    ) -> Result<CommitStatusResponse, Status> {
        let request = CommitStatusRequest {
            transaction_id,
            channel_id: self.channel.clone(),
            identity: self.signer.serialized().clone(),
        };
        let request: Bytes = request.encode_to_vec().into();
        let signature = self.signer.sign(&request);
        let signed = SignedCommitStatusRequest { request, signature };
        self.client.commit_status(signed).await
    }
}
