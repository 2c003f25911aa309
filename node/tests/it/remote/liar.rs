//! A server between a node and an orderer. It passes on what the node asks and what the orderer answers, but for what it was
//! told to say in its place.

use bytes::Bytes;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use futures_util::StreamExt as _;
use futures_util::stream;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use prost::Message as _;
use quire_rpc::{Client, Delivered, Delivering, Status, Target};
use quire_wire::common::{Block, Envelope, Metadata, Payload, metadata_slot};
use quire_wire::deliver::{
    BroadcastResponse, DeliverResponse, FilteredBlock, Position, Response, SeekInfo,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tonic::server::{Grpc, StreamingService};
use tonic::{Request, Streaming};
use tonic_prost::ProstCodec;

/// More than a node takes in one message.
const HUGE_BYTES: usize = 110 << 20;

/// The pause of an orderer that sends as little as it can.
const TRICKLE: Duration = Duration::from_secs(3);

/// What is said in place of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// The block itself.
    None,
    /// The block of another number.
    Number,
    /// A block that follows another one.
    PreviousHash,
    /// One transaction less.
    Envelopes,
    /// An envelope more, with no bytes: the data hash stays as it is.
    Empty,
    /// What was signed, with another border between value and header.
    Moved,
    /// A signature of something else.
    Signature,
    /// No signature.
    Unsigned,
    /// More signatures than anybody makes.
    ManySignatures,
    /// What only a node that keeps the block may write into it.
    Slots,
    /// Something that is no block.
    Filtered,
    /// A message without an end.
    Huge,
    /// A message that would take far more memory than it has bytes.
    Crowded,
    /// Nothing, though it tells how many blocks there are.
    Withheld,
    /// One block after the other, with a long pause before each.
    Trickle,
    /// Nothing at all.
    Mute,
}

/// It listens as long as it is there.
pub(super) struct Liar {
    lie: Arc<Mutex<Lie>>,
    _runtime: Runtime,
}

impl Liar {
    /// Listens at `address`, in front of an orderer.
    pub(super) fn listen(address: &str, orderer: &str, lie: Lie) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
        let lie = Arc::new(Mutex::new(lie));
        let between = Between {
            orderer: orderer.to_owned(),
            lie: Arc::clone(&lie),
        };
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, between.clone()));
            }
        });
        Self {
            lie,
            _runtime: runtime,
        }
    }

    pub(super) fn tell(&self, lie: Lie) {
        *self.lie.lock() = lie;
    }
}

#[derive(Clone)]
struct Between {
    orderer: String,
    lie: Arc<Mutex<Lie>>,
}

async fn serve(socket: TcpStream, between: Between) {
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let between = between.clone();
        async move {
            let answer = if request.uri().path().ends_with("/Broadcast") {
                let codec = ProstCodec::<BroadcastResponse, Envelope>::default();
                Grpc::new(codec)
                    .streaming(Broadcasts(between), request)
                    .await
            } else {
                let codec = ProstCodec::<DeliverResponse, Envelope>::default();
                let mut codec =
                    Grpc::new(codec).apply_max_message_size_config(None, Some(usize::MAX));
                codec.streaming(Delivers(between), request).await
            };
            Ok::<_, Infallible>(answer)
        }
    });
    // The node hangs up when it has heard enough.
    http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(socket), service)
        .await
        .ok();
}

impl Between {
    async fn client(&self) -> Client {
        let target = Target {
            address: self.orderer.clone(),
            dial_timeout: Duration::from_secs(3),
            tls: None,
        };
        Client::connect(&target).await.unwrap()
    }

    fn now(&self) -> Lie {
        *self.lie.lock()
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Call<T> = Pin<Box<dyn Future<Output = Result<tonic::Response<Answers<T>>, Status>> + Send>>;

struct Broadcasts(Between);

impl StreamingService<Envelope> for Broadcasts {
    type Response = BroadcastResponse;
    type ResponseStream = Answers<BroadcastResponse>;
    type Future = Call<BroadcastResponse>;

    fn call(&mut self, request: Request<Streaming<Envelope>>) -> Self::Future {
        let between = self.0.clone();
        Box::pin(async move {
            let client = between.client().await;
            let answers = request.into_inner().then(move |envelope| {
                let client = client.clone();
                async move { client.broadcast(envelope?).await }
            });
            Ok(tonic::Response::new(Box::pin(answers) as Answers<_>))
        })
    }
}

struct Delivers(Between);

impl StreamingService<Envelope> for Delivers {
    type Response = DeliverResponse;
    type ResponseStream = Answers<DeliverResponse>;
    type Future = Call<DeliverResponse>;

    fn call(&mut self, request: Request<Streaming<Envelope>>) -> Self::Future {
        let between = self.0.clone();
        Box::pin(async move {
            if between.now() == Lie::Mute {
                return std::future::pending().await;
            }
            let envelope = request.into_inner().message().await?;
            let envelope = envelope.ok_or_else(|| Status::invalid_argument("no request"))?;
            let is_newest = asks_for_newest(&envelope);
            let client = between.client().await;
            let blocks = client.deliver(Delivering::Orderer, envelope).await?;
            let answers =
                stream::unfold((blocks, between), move |(mut blocks, between)| async move {
                    let answer = answer(&mut blocks, &between, is_newest).await?;
                    Some((answer, (blocks, between)))
                });
            Ok(tonic::Response::new(Box::pin(answers) as Answers<_>))
        })
    }
}

fn asks_for_newest(envelope: &Envelope) -> bool {
    let payload = Payload::decode(envelope.payload.clone()).unwrap();
    let info = SeekInfo::decode(payload.data).unwrap();
    let start = info.start.and_then(|start| start.position);
    matches!(start, Some(Position::Newest(_)))
}

async fn answer(
    blocks: &mut Delivered,
    between: &Between,
    is_newest: bool,
) -> Option<Result<DeliverResponse, Status>> {
    let response = match blocks.next().await {
        Ok(response) => response?,
        Err(status) => return Some(Err(status)),
    };
    let lie = between.now();
    if lie == Lie::Withheld && !is_newest {
        return std::future::pending().await;
    }
    if lie == Lie::Trickle && !is_newest {
        tokio::time::sleep(TRICKLE).await;
    }
    Some(Ok(match response {
        Response::Block(block) if !is_newest => said(block, lie).into(),
        other => other.into(),
    }))
}

/// What is said in place of a block.
fn said(mut block: Block, lie: Lie) -> Response {
    let header = block.header.as_mut().unwrap();
    let slots = &mut block.metadata.as_mut().unwrap().metadata;
    match lie {
        Lie::None | Lie::Withheld | Lie::Trickle | Lie::Mute => {}
        Lie::Number => header.number += 1,
        Lie::PreviousHash => header.previous_hash = vec![7; 32].into(),
        Lie::Envelopes => drop(block.data.as_mut().unwrap().data.pop()),
        Lie::Empty => block.data.as_mut().unwrap().data.push(Bytes::new()),
        Lie::Moved => {
            let slot = &mut slots[metadata_slot::SIGNATURES];
            let mut signed = Metadata::decode(slot.clone()).unwrap();
            let header = &mut signed.signatures[0].signature_header;
            *header = [&signed.value[..], &header[..]].concat().into();
            signed.value = Bytes::new();
            *slot = signed.encode_to_vec().into();
        }
        Lie::Unsigned => slots[metadata_slot::SIGNATURES].clear(),
        Lie::Signature | Lie::ManySignatures => {
            let slot = &mut slots[metadata_slot::SIGNATURES];
            let mut signed = Metadata::decode(slot.clone()).unwrap();
            if lie == Lie::ManySignatures {
                signed.signatures = vec![signed.signatures[0].clone(); 10_000];
            } else {
                signed.value = [&signed.value[..], b"\x12\x00"].concat().into();
            }
            *slot = signed.encode_to_vec().into();
        }
        Lie::Slots => {
            for slot in slots.iter_mut().skip(metadata_slot::TRANSACTIONS_FILTER) {
                *slot = b"forged".to_vec().into();
            }
            slots.push(b"\x01forged too!!".to_vec().into());
            slots.push(vec![7; 1 << 20].into());
        }
        Lie::Huge => block
            .data
            .as_mut()
            .unwrap()
            .data
            .push(vec![0; HUGE_BYTES].into()),
        Lie::Crowded => block.data.as_mut().unwrap().data = vec![Bytes::new(); 1_000_000],
        Lie::Filtered => return Response::FilteredBlock(FilteredBlock::default()),
    }
    Response::Block(block)
}
