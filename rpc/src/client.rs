//! A client of Fabric's services, of this program or of a peer of Fabric.

use http::uri::PathAndQuery;
use quire_wire::Message;
use quire_wire::gateway::{
    CommitStatusResponse, EndorseRequest, EndorseResponse, EvaluateRequest, EvaluateResponse,
    SignedCommitStatusRequest, SubmitRequest, SubmitResponse,
};
use quire_wire::peer::{ProposalResponse, SignedProposal};
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use crate::dial::{DialError, Target};

/// Bytes of a message, at most: what Fabric's peers send at most by default.
const MESSAGE_BYTES: usize = 100 << 20;

/// A connection to a peer or an orderer. A cheap clone; calls share the connection.
#[derive(Clone, Debug)]
pub struct Client(Channel);

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn connect(target: &Target) -> Result<Self, DialError> {
        target.dial().await.map(Self)
    }

    /// `protos.Endorser/ProcessProposal`.
    ///
    /// # Errors
    /// The status that the call ended with.
    pub async fn process_proposal(
        &self,
        proposal: SignedProposal,
    ) -> Result<ProposalResponse, Status> {
        self.call("/protos.Endorser/ProcessProposal", proposal)
            .await
    }

    /// `gateway.Gateway/Evaluate`.
    ///
    /// # Errors
    /// The status that the call ended with.
    pub async fn evaluate(&self, request: EvaluateRequest) -> Result<EvaluateResponse, Status> {
        self.call("/gateway.Gateway/Evaluate", request).await
    }

    /// `gateway.Gateway/Endorse`.
    ///
    /// # Errors
    /// The status that the call ended with.
    pub async fn endorse(&self, request: EndorseRequest) -> Result<EndorseResponse, Status> {
        self.call("/gateway.Gateway/Endorse", request).await
    }

    /// `gateway.Gateway/Submit`.
    ///
    /// # Errors
    /// The status that the call ended with.
    pub async fn submit(&self, request: SubmitRequest) -> Result<SubmitResponse, Status> {
        self.call("/gateway.Gateway/Submit", request).await
    }

    /// `gateway.Gateway/CommitStatus`.
    ///
    /// # Errors
    /// The status that the call ended with.
    pub async fn commit_status(
        &self,
        request: SignedCommitStatusRequest,
    ) -> Result<CommitStatusResponse, Status> {
        self.call("/gateway.Gateway/CommitStatus", request).await
    }

    async fn call<Q, A>(&self, path: &'static str, request: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = Grpc::new(self.0.clone())
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(usize::MAX);
        let ready = grpc.ready().await;
        ready.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = PathAndQuery::from_static(path);
        let codec = ProstCodec::<Q, A>::default();
        let answer = grpc.unary(Request::new(request), path, codec).await?;
        Ok(answer.into_inner())
    }
}
