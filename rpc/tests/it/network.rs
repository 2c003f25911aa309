//! Two organisations with a channel: the first orders it, the second gets its blocks and endorses at a socket.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use parking_lot::Mutex;
use quire_chaincode::{Call, Invocation, Reach};
use quire_identity::config::{edit, organization_group};
use quire_ledger::{Block, Meter};
use quire_peer::{
    Deliveries, Ended, Nobody, NotTaken, OpenChannel, Outcome, Proposal, SubmitError, Submitted,
};
use quire_rpc::{PeerObserver, PeerSettings, Peers};
use quire_wire::hash::sha256;
use quire_wire::tx_id::tx_id;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::kit::Node;

pub(crate) const CHANNEL: &str = "main";
/// How long a peer may take.
pub(crate) const PATIENCE: Duration = Duration::from_millis(700);

/// What was told of peers that were asked.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<Vec<(String, Ended)>>);

impl PeerObserver for Told {
    fn asked(&self, msp_id: &str, ended: Ended, _: Duration) {
        self.0.lock().push((msp_id.to_owned(), ended));
    }
}

/// Both organisations.
pub(crate) struct Network {
    pub(crate) one: Node,
    pub(crate) first: Arc<OpenChannel>,
    pub(crate) two: Arc<Node>,
    pub(crate) second: Arc<OpenChannel>,
    /// Up to which height the second gets blocks.
    pub(crate) gate: watch::Sender<u64>,
    told: Arc<Told>,
}

impl Network {
    /// Both must endorse. The second's peers are at these addresses.
    pub(crate) async fn new(addresses: &[String]) -> Self {
        let told = Arc::new(Told::default());
        let settings = PeerSettings {
            timeout: PATIENCE,
            overrides: BTreeMap::new(),
            client: None,
        };
        let peers = Peers::new(settings, Arc::clone(&told) as Arc<_>);
        let one = Node::of("Org1MSP", Arc::new(peers));
        let two = Arc::new(Node::of("Org2MSP", Arc::new(Nobody)));
        let first = one.create(CHANNEL);
        let (second, deliveries) = two.join(CHANNEL, delivered(&first, 0));
        let gate = watch::Sender::new(u64::MAX);
        tokio::spawn(pump(Arc::clone(&first), deliveries, gate.subscribe()));
        let network = Self {
            one,
            first,
            two,
            second,
            gate,
            told,
        };
        network.let_both_endorse(addresses).await;
        network
    }

    async fn let_both_endorse(&self, addresses: &[String]) {
        let group = organization_group(&self.two.organization.msp_config());
        self.configure("ANY Endorsement", |config| {
            edit::add_organization(config, edit::Part::Application, "Org2MSP", group).unwrap();
            edit::set(config, "anchor-peers.Org2MSP", &addresses.join(" ")).unwrap();
        })
        .await;
        self.set_policy("AND('Org1MSP.peer', 'Org2MSP.peer')").await;
    }

    /// Says who must endorse.
    pub(crate) async fn set_policy(&self, policy: &str) {
        self.configure(policy, |_| ()).await;
    }

    /// Changes the configuration, and says who must endorse.
    pub(crate) async fn configure(
        &self,
        endorsement: &str,
        change: impl FnOnce(&mut quire_wire::config::Config),
    ) {
        let update = self.one.update(&self.first, |config| {
            change(config);
            for path in ["Admins", "Endorsement"] {
                let policy = if path == "Admins" {
                    "ANY Admins"
                } else {
                    endorsement
                };
                let path = format!("/Channel/Application/{path}");
                edit::set_policy(config, &path, policy).unwrap();
            }
        });
        let outcome = self.first.channel.submitter.order(update).unwrap();
        assert!(outcome.await.unwrap().unwrap().code.is_valid());
        self.reach(&self.second).await;
    }

    /// Returns when a channel has the blocks of the first.
    pub(crate) async fn reach(&self, channel: &OpenChannel) {
        let height = self.first.channel.reader.height();
        let mut heights = channel.channel.heights.clone();
        heights
            .wait_for(|reached| *reached >= height)
            .await
            .unwrap();
    }

    /// A call of the first's client by REST; `name` makes its transaction id.
    pub(crate) fn proposal(&self, name: &str, function: &str, args: &[&str]) -> Proposal {
        let nonce = sha256([name.as_bytes()])[..24].try_into().unwrap();
        let args = args.iter().map(|arg| Bytes::from((*arg).to_owned()));
        Proposal {
            identity: Arc::clone(&self.one.client),
            nonce,
            tx_id: tx_id(&nonce, self.one.client.serialized()),
            call: Call {
                chaincode: "orders".to_owned(),
                function: function.to_owned(),
                args: args.collect(),
            },
            is_init: false,
            decoration: None,
            meter: Meter::default(),
            reach: Reach::default(),
        }
    }

    pub(crate) async fn submit(&self, proposal: Proposal) -> Result<Submitted, SubmitError> {
        let submitter = Arc::clone(&self.first.channel.submitter);
        let mut invocation = submitter.submit(proposal);
        loop {
            invocation = match invocation {
                Invocation::Done(done) => return done,
                Invocation::Waiting(waiting) => waiting.await.run(None),
            };
        }
    }

    /// Puts something, and returns what became of it.
    pub(crate) async fn put(&self, key: &str) -> Result<Outcome, SubmitError> {
        let proposal = self.proposal(key, "put", &[&format!("{key:?}"), r#"{"n":1}"#]);
        let submitted = self.submit(proposal).await?;
        Ok(submitted.outcome.await.unwrap().unwrap())
    }

    /// What was told of peers since this was asked last.
    pub(crate) fn told(&self) -> Vec<(String, Ended)> {
        std::mem::take(&mut self.told.0.lock())
    }
}

/// A block as an orderer delivers it.
fn delivered(open: &OpenChannel, number: u64) -> Block {
    let block = open.channel.reader.block(number).unwrap().unwrap();
    let mut block = Block::clone(&block);
    block.metadata.truncate(2);
    block
}

/// Hands the blocks of a channel in elsewhere, as far as the gate is open.
async fn pump(from: Arc<OpenChannel>, to: Deliveries, mut gate: watch::Receiver<u64>) {
    let mut heights = from.channel.heights.clone();
    let mut next = 1;
    loop {
        let end = (*heights.borrow_and_update()).min(*gate.borrow_and_update());
        while next < end {
            match to.deliver(delivered(&from, next)) {
                Ok(_) => next += 1,
                Err(NotTaken::Full) => tokio::task::yield_now().await,
                Err(_) => return,
            }
        }
        tokio::select! {
            changed = heights.changed() => if changed.is_err() { return },
            changed = gate.changed() => if changed.is_err() { return },
        }
    }
}

/// A place to listen, and its address.
pub(crate) async fn place() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// Serves a peer, and counts what it is asked.
pub(crate) fn serve(listener: TcpListener, router: Router) -> Arc<AtomicUsize> {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let router = router.layer(from_fn(move |request: Request, next: Next| {
        counted.fetch_add(1, Ordering::SeqCst);
        next.run(request)
    }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    asked
}

/// A message as gRPC frames it.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap();
    [&[0], &length.to_be_bytes()[..], message].concat().into()
}

/// The only message of a body.
pub(crate) async fn message_of(body: Body) -> Bytes {
    let mut body = body;
    let mut all = Vec::new();
    while let Some(frame) =
        std::future::poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut body), context))
            .await
    {
        if let Ok(data) = frame.unwrap().into_data() {
            all.extend_from_slice(&data);
        }
    }
    Bytes::from(all).slice(5..)
}

/// A body with a status behind it.
struct Answered(Vec<Frame<Bytes>>);

impl http_body::Body for Answered {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.pop().map(Ok))
    }
}

/// The answer to a call: bytes of messages, and the status.
pub(crate) fn answered(data: Bytes, code: i32, text: &str) -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.into());
    trailers.insert("grpc-message", HeaderValue::from_str(text).unwrap());
    let frames = vec![Frame::trailers(trailers), Frame::data(data)];
    let mut response = Response::new(Body::new(Answered(frames)));
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    response
}
