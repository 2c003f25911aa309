//! How many transactions a second does a chaincode's process do, when its peer costs nothing? Listens as a peer does,
//! waits for a process of `examples/transfers` (or of the same in Go) to register, sends it transactions with so many in
//! flight, and answers what it asks for at once, from memory. Nothing is simulated, judged or written.
//!
//! ```sh
//! cargo run --release -p quire-rpc --example echo -- --msp DATA/identities/client/msp --in-flight 1,50,500
//! ```
//!
//! The first line of the output is the address to dial; then there is a JSON object for each load: accounts are opened,
//! then told of.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use clap::Parser;
use futures_core::Stream;
use futures_util::stream::unfold;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use quire_identity::{Msp, MspFolder, MspVersion};
use quire_rpc::Proposing;
use quire_wire::Message as _;
use quire_wire::peer::{ChaincodeInput, Response as Outcome, SignedProposal};
use quire_wire::shim::{
    ChaincodeAdditionalParams, ChaincodeMessage, GetState, MessageType, PutState, WriteBatchState,
};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tonic::server::{Grpc, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// How long the process may take to register, and to answer.
const PATIENCE: Duration = Duration::from_secs(60);
const CHANNEL: &str = "main";
/// Writes of a batch, at most, as a peer says.
const MAX_BATCH: u32 = 1000;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
struct Arguments {
    /// The MSP folder of whoever calls.
    #[arg(long)]
    msp: PathBuf,
    /// The organisation of that.
    #[arg(long, default_value = "QuireMSP")]
    msp_id: String,
    /// Transactions under way at a time, of each load.
    #[arg(long, value_delimiter = ',', default_value = "1,50,500")]
    in_flight: Vec<usize>,
    /// Seconds of each load.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Where the process dials.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let proposal = proposal(&arguments)?;
    let listener = TcpListener::bind(&arguments.listen).await?;
    println!("{}", listener.local_addr()?);
    let (socket, _) = timeout(PATIENCE, listener.accept()).await??;
    socket.set_nodelay(true)?;
    let (arrive, mut arrived) = unbounded_channel();
    tokio::spawn(serve(socket, arrive));
    let connection = timeout(PATIENCE, arrived.recv()).await?;
    let (incoming, outgoing) = connection.ok_or("the process hung up")?;
    let mut peer = Peer {
        incoming,
        outgoing,
        proposal,
        state: HashMap::new(),
        opened: 0,
        sent: 0,
    };
    peer.register().await?;
    let time = Duration::from_secs_f64(arguments.seconds);
    for function in [Function::Open, Function::Account] {
        for &in_flight in &arguments.in_flight {
            let rate = peer.load(function, in_flight, time).await?;
            let line = json!({
                "name": format!("echo: {}, {in_flight} in flight", function.name()),
                "perSecond": rate.round(),
            });
            println!("{line}");
        }
    }
    Ok(())
}

/// What the process is told that a client sent. One is enough: no shim looks at more of it than who signed.
#[expect(
    clippy::disallowed_methods,
    reason = "no test holds the clock of a measurement"
)]
fn proposal(arguments: &Arguments) -> Result<SignedProposal, Failure> {
    let now = SystemTime::now();
    let folder = MspFolder::read(&arguments.msp, &arguments.msp_id)?;
    let msp = Msp::from_config(&folder.config, MspVersion::V1_4_3)?;
    let signer = folder.signer(&msp, now)?;
    let call = Proposing {
        chaincode: "echo".to_owned(),
        args: vec![Bytes::from_static(b"OpenAccount")],
        is_init: false,
        transient: std::collections::BTreeMap::new(),
        nonce: [7; 24],
        now,
    };
    Ok(call.sign(&signer, CHANNEL).proposal)
}

/// What the process is asked for: one reads a key and writes it, one reads a key.
#[derive(Clone, Copy)]
enum Function {
    Open,
    Account,
}

impl Function {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "submit",
            Self::Account => "evaluate",
        }
    }
}

/// The other side of the process.
struct Peer {
    incoming: Streaming<ChaincodeMessage>,
    outgoing: UnboundedSender<ChaincodeMessage>,
    proposal: SignedProposal,
    state: HashMap<String, Bytes>,
    /// Accounts that were opened, by number.
    opened: u64,
    /// Transactions that were sent.
    sent: u64,
}

impl Peer {
    /// The process registers, and is told that it may begin.
    async fn register(&mut self) -> Result<(), Failure> {
        let first = self.next().await?;
        if first.r#type != i32::from(MessageType::Register) {
            return Err(format!("it began with a message of type {}", first.r#type).into());
        }
        self.send(of_type(MessageType::Registered, Bytes::new()))?;
        let params = ChaincodeAdditionalParams {
            use_write_batch: true,
            max_size_write_batch: MAX_BATCH,
            use_get_multiple_keys: true,
            max_size_get_multiple_keys: MAX_BATCH,
        };
        self.send(of_type(MessageType::Ready, params.encode_to_vec().into()))
    }

    /// Keeps so many transactions under way for so long; how many a second were completed.
    async fn load(
        &mut self,
        function: Function,
        in_flight: usize,
        time: Duration,
    ) -> Result<f64, Failure> {
        let begun = Instant::now();
        for _ in 0..in_flight {
            self.begin(function)?;
        }
        let (mut under_way, mut completed) = (in_flight, 0_u32);
        while under_way > 0 {
            let message = self.next().await?;
            if !self.answer(&message)? {
                continue;
            }
            completed += 1;
            if begun.elapsed() < time {
                self.begin(function)?;
            } else {
                under_way -= 1;
            }
        }
        Ok(f64::from(completed) / begun.elapsed().as_secs_f64())
    }

    fn begin(&mut self, function: Function) -> Result<(), Failure> {
        self.sent += 1;
        let args = match function {
            Function::Open => {
                self.opened += 1;
                vec!["OpenAccount".into(), account(self.opened), "100".into()]
            }
            // Consecutive numbers give accounts that lie far apart.
            Function::Account => {
                let any = self.sent.wrapping_mul(0x9e37_79b9_7f4a_7c15) % self.opened + 1;
                vec!["GetAccount".into(), account(any)]
            }
        };
        let input = ChaincodeInput {
            args,
            ..ChaincodeInput::default()
        };
        self.send(ChaincodeMessage {
            txid: format!("{:064x}", self.sent),
            channel_id: CHANNEL.to_owned(),
            proposal: Some(self.proposal.clone()),
            ..of_type(MessageType::Transaction, input.encode_to_vec().into())
        })
    }

    /// Answers a request. Whether the message was the end of a transaction instead.
    fn answer(&mut self, message: &ChaincodeMessage) -> Result<bool, Failure> {
        let payload = message.payload.clone();
        let value = match MessageType::try_from(message.r#type)? {
            MessageType::Keepalive => return Ok(false),
            MessageType::Completed => {
                let outcome = Outcome::decode(payload)?;
                return match outcome.status {
                    200 => Ok(true),
                    status => Err(format!("status {status}: {}", outcome.message).into()),
                };
            }
            MessageType::GetState => {
                let value = self.state.get(&GetState::decode(payload)?.key);
                value.cloned().unwrap_or_default()
            }
            MessageType::PutState => {
                let put = PutState::decode(payload)?;
                self.state.insert(put.key, put.value);
                Bytes::new()
            }
            MessageType::WriteBatchState => {
                let records = WriteBatchState::decode(payload)?.rec.into_iter();
                self.state
                    .extend(records.map(|record| (record.key, record.value)));
                Bytes::new()
            }
            other => return Err(format!("{other:?} is not answered here").into()),
        };
        self.send(ChaincodeMessage {
            txid: message.txid.clone(),
            channel_id: message.channel_id.clone(),
            ..of_type(MessageType::Response, value)
        })?;
        Ok(false)
    }

    async fn next(&mut self) -> Result<ChaincodeMessage, Failure> {
        let message = timeout(PATIENCE, self.incoming.message()).await??;
        message.ok_or_else(|| "the process hung up".into())
    }

    fn send(&self, message: ChaincodeMessage) -> Result<(), Failure> {
        let sent = self.outgoing.send(message);
        sent.map_err(|_| "the process hung up".into())
    }
}

fn account(number: u64) -> Bytes {
    format!("a{number}").into()
}

fn of_type(kind: MessageType, payload: Bytes) -> ChaincodeMessage {
    ChaincodeMessage {
        r#type: kind.into(),
        payload,
        ..ChaincodeMessage::default()
    }
}

/// Both ends of the stream of a process that has dialled.
type Connected = (
    Streaming<ChaincodeMessage>,
    UnboundedSender<ChaincodeMessage>,
);

async fn serve(socket: TcpStream, arrive: UnboundedSender<Connected>) -> hyper::Result<()> {
    let service = service_fn(move |request| {
        let register = Register(arrive.clone());
        async move {
            let codec = ProstCodec::<ChaincodeMessage, ChaincodeMessage>::default();
            Ok::<_, Infallible>(Grpc::new(codec).streaming(register, request).await)
        }
    });
    http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(socket), service)
        .await
}

/// The method, whatever its name is called.
struct Register(UnboundedSender<Connected>);

type Answers = Pin<Box<dyn Stream<Item = Result<ChaincodeMessage, Status>> + Send>>;

impl StreamingService<ChaincodeMessage> for Register {
    type Response = ChaincodeMessage;
    type ResponseStream = Answers;
    type Future = std::future::Ready<Result<Response<Answers>, Status>>;

    fn call(&mut self, request: Request<Streaming<ChaincodeMessage>>) -> Self::Future {
        let (send, messages) = unbounded_channel();
        let arrived = self.0.send((request.into_inner(), send));
        let next = |mut messages: UnboundedReceiver<ChaincodeMessage>| async move {
            Some((Ok(messages.recv().await?), messages))
        };
        let answers: Answers = Box::pin(unfold(messages, next));
        std::future::ready(match arrived {
            Ok(()) => Ok(Response::new(answers)),
            Err(_) => Err(Status::unavailable("nobody takes it in any more")),
        })
    }
}
