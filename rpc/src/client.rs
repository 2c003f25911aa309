//! A client of Fabric's services, of this program or of a peer of Fabric.

use futures_util::stream;
use http::uri::PathAndQuery;
use quire_wire::Message;
use quire_wire::common::Envelope;
use quire_wire::deliver::{BroadcastResponse, DeliverResponse, Response};
use quire_wire::gateway::{
    CommitStatusResponse, EndorseRequest, EndorseResponse, EvaluateRequest, EvaluateResponse,
    SignedCommitStatusRequest, SubmitRequest, SubmitResponse,
};
use quire_wire::peer::{ProposalResponse, SignedProposal};
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::answers::Answers;
use crate::dial::{DialError, Target};

/// Bytes of a message, at most: what Fabric's peers send at most by default.
const MESSAGE_BYTES: usize = 100 << 20;
/// Bytes of an orderer's answer to Broadcast, at most: a status and a sentence.
const BROADCAST_BYTES: usize = 64 << 10;

/// A connection to a peer or an orderer. A cheap clone; calls share the connection.
#[derive(Clone, Debug)]
pub struct Client(Channel);

/// Whose blocks [`Client::deliver`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivering {
    /// A peer's (`protos.Deliver/Deliver`).
    Peer,
    /// A peer's, without what transactions hold (`protos.Deliver/DeliverFiltered`).
    PeerFiltered,
    /// An orderer's (`orderer.AtomicBroadcast/Deliver`).
    Orderer,
}

/// Blocks on their way.
#[derive(Debug)]
pub struct Delivered(pub(crate) Streaming<DeliverResponse>);

impl Delivered {
    /// The next message; `None` at the end.
    ///
    /// # Errors
    /// The status that the call ended with.
    pub async fn next(&mut self) -> Result<Option<Response>, Status> {
        let message = self.0.message().await?;
        Ok(message.and_then(|message| message.response))
    }
}

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

    /// The same, where an answer of more than `most_bytes` is none.
    ///
    /// # Errors
    /// The status that the call ended with.
    pub(crate) async fn process_proposal_within(
        &self,
        proposal: SignedProposal,
        most_bytes: usize,
    ) -> Result<ProposalResponse, Status> {
        let grpc = self.grpc().await?.max_decoding_message_size(most_bytes);
        call(grpc, "/protos.Endorser/ProcessProposal", proposal).await
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

    /// `orderer.AtomicBroadcast/Broadcast` of one envelope.
    ///
    /// # Errors
    /// The status that the call ended with.
    pub async fn broadcast(&self, envelope: Envelope) -> Result<BroadcastResponse, Status> {
        const PATH: &str = "/orderer.AtomicBroadcast/Broadcast";
        let mut answers = self.stream(PATH, envelope, BROADCAST_BYTES).await?;
        let answer = answers.message().await?;
        answer.ok_or_else(|| Status::unavailable("the call ended without an answer"))
    }

    /// The blocks that an envelope with a [`quire_wire::deliver::SeekInfo`] asks for.
    ///
    /// # Errors
    /// The status that the call ended with.
    pub async fn deliver(
        &self,
        service: Delivering,
        envelope: Envelope,
    ) -> Result<Delivered, Status> {
        self.deliver_small(service, envelope, MESSAGE_BYTES).await
    }

    /// The same with messages of so many bytes at most.
    ///
    /// # Errors
    /// The status that the call ended with.
    pub async fn deliver_small(
        &self,
        service: Delivering,
        envelope: Envelope,
        max_bytes: usize,
    ) -> Result<Delivered, Status> {
        let path = match service {
            Delivering::Peer => "/protos.Deliver/Deliver",
            Delivering::PeerFiltered => "/protos.Deliver/DeliverFiltered",
            Delivering::Orderer => "/orderer.AtomicBroadcast/Deliver",
        };
        let messages = self.stream(path, envelope, max_bytes).await;
        messages.map(Delivered)
    }

    async fn stream<A>(
        &self,
        path: &'static str,
        envelope: Envelope,
        max_bytes: usize,
    ) -> Result<Streaming<A>, Status>
    where
        A: Message + Default + 'static,
    {
        let mut grpc = self.grpc().await?.max_decoding_message_size(max_bytes);
        let path = PathAndQuery::from_static(path);
        let codec = Answers::<A>::default();
        let request = Request::new(stream::iter([envelope]));
        Ok(grpc.streaming(request, path, codec).await?.into_inner())
    }

    async fn grpc(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::new(self.0.clone())
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(usize::MAX);
        let ready = grpc.ready().await;
        ready.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(grpc)
    }

    async fn call<Q, A>(&self, path: &'static str, request: Q) -> Result<A, Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        call(self.grpc().await?, path, request).await
    }
}

async fn call<Q, A>(mut grpc: Grpc<Channel>, path: &'static str, request: Q) -> Result<A, Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let path = PathAndQuery::from_static(path);
    let codec = ProstCodec::<Q, A>::default();
    let answer = grpc.unary(Request::new(request), path, codec).await?;
    Ok(answer.into_inner())
}
