//! What an application of Fabric does: it holds a key, signs what it proposes, orders and asks with it, and leaves the
//! rest to a Gateway.

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
    ChaincodeHeaderExtension, ChaincodeId, ChaincodeInput, ChaincodeSpec, Response, SignedProposal,
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

/// A call of a chaincode, and what makes it one of its own.
#[derive(Clone, Debug)]
pub struct Proposing {
    /// The chaincode.
    pub chaincode: String,
    /// The function's name and its arguments.
    pub args: Vec<Bytes>,
    /// Whether it initialises the chaincode.
    pub is_init: bool,
    /// Fresh randomness. With the signer it makes the transaction's id.
    pub nonce: [u8; NONCE_BYTES],
    /// The time of the call.
    pub now: SystemTime,
}

impl Proposing {
    /// The transaction's id and the signed proposal. A proposal for no channel has an empty one.
    #[must_use]
    pub fn sign(self, signer: &SigningIdentity, channel: &str) -> (String, SignedProposal) {
        let creator = signer.serialized();
        let id = tx_id(&self.nonce, creator);
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
            tx_id: id.clone(),
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
        let proposal_bytes = ProposalBytes::new(&header, &signature_header, spec).proposal();
        let signature = signer.sign(&proposal_bytes);
        let proposal = SignedProposal {
            proposal_bytes,
            signature,
        };
        (id, proposal)
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
        let (transaction_id, signed) = proposing.sign(&self.signer, &self.channel);
        let request = EvaluateRequest {
            transaction_id,
            channel_id: self.channel.clone(),
            proposed_transaction: Some(signed),
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
        let (transaction_id, signed) = proposing.sign(&self.signer, &self.channel);
        let request = EndorseRequest {
            transaction_id: transaction_id.clone(),
            channel_id: self.channel.clone(),
            proposed_transaction: Some(signed),
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
