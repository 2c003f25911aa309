//! Takes, bounds and serves connections, and ends them with an answer.
//!
//! [`Server::run`] takes connections from a listener, and [`Server::connection`] serves one with any kind of
//! stream; a [`Handshake`] is between the two.

pub(crate) mod client_info;
pub(crate) mod cors;
pub(crate) mod date;
mod edge;
pub(crate) mod every_request;
pub(crate) mod handshake;
pub(crate) mod message;
mod pace;
pub(crate) mod request_id;
pub(crate) mod request_log;
mod rest;
mod taken;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, Version, header};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use quire_ledger::Room;
use quire_peer::Threads;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

use crate::backend::Backend;
use crate::gateway::Gateway;
use crate::limits::Limits;
use crate::memory::Kind;
use crate::metrics::Metrics;
use crate::metrics::gauge_guard::GaugeGuard;
use crate::metrics::traffic::Arrival;
use crate::problem::Problem;
use crate::request::body;
use crate::router::{routers, whole};
use client_info::ClientInfo;
use cors::Cors;
use edge::{Answering, Edge, Exchange, Terms};
use handshake::Handshake;
use rest::Rest;
use taken::{Untaken, Watched};

/// Connections that are told of an overload at one time; any further one is closed without an answer.
const REFUSALS: usize = 128;
/// How long such a connection has.
const REFUSAL: Duration = Duration::from_secs(1);
/// How many streams of one HTTP/2 connection may be open.
const STREAMS: u32 = 250;
/// How much a client may send before it is read, in one stream and in all streams of its connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 512 << 10;
/// How much of an answer waits in a stream for its client.
const SEND_BYTES: usize = 64 << 10;
/// The pause when no connection can be taken, for example for lack of files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// The time of connections after the last waiting request was told to end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The HTTP server of a node. A cheap clone.
#[derive(Clone)]
pub struct Server {
    router: Router,
    backend: Arc<dyn Backend>,
    limits: Limits,
    connections: Arc<Semaphore>,
    terms: Terms,
    threads: Threads,
    metrics: Arc<Metrics>,
    /// Streams of one HTTP/2 connection that may be open.
    streams: u32,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// A server of the whole API.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>, limits: Limits, cors: Cors) -> Self {
        let (router, gateway) = whole(Arc::clone(&backend), limits, cors);
        Self::of(router, backend, limits, &gateway)
    }

    /// A server of the API, and a server of the operations at their own address: health, metrics, version,
    /// log levels. Metrics are open there. If other machines may reach it (`is_remote`), everything but
    /// metrics, health and version needs a token.
    #[must_use]
    pub fn pair(
        backend: Arc<dyn Backend>,
        limits: Limits,
        cors: Cors,
        is_remote: bool,
    ) -> (Self, Self) {
        let routers = routers(Arc::clone(&backend), limits, cors, is_remote);
        let gateway = routers.gateway;
        (
            Self::of(routers.api, Arc::clone(&backend), limits, &gateway),
            Self::of(routers.operations, backend, limits, &gateway),
        )
    }

    /// A server of something else besides the API. Its connections are taken, bounded and ended like the
    /// API's.
    #[must_use]
    pub fn beside(&self, router: Router) -> Self {
        Self {
            router,
            connections: Arc::new(Semaphore::new(self.limits.connections)),
            ..self.clone()
        }
    }

    /// The same, with so many streams of one HTTP/2 connection at a time.
    #[must_use]
    pub fn with_streams(self, streams: u32) -> Self {
        Self { streams, ..self }
    }

    /// Room out of the budget for what requests make the node hold, until it is dropped; `None` if there is not
    /// enough.
    #[must_use]
    pub fn room(&self, bytes: usize) -> Option<Room> {
        let share = self.terms.memory.take(Kind::Bodies, bytes);
        share.ok().map(|share| Box::new(share) as Room)
    }

    /// The threads of the API, for what is served beside it.
    #[must_use]
    pub fn threads(&self) -> Threads {
        self.threads.clone()
    }

    fn of(router: Router, backend: Arc<dyn Backend>, limits: Limits, gateway: &Gateway) -> Self {
        let metrics = Arc::clone(&gateway.metrics);
        let (nonces, counters) = (Arc::clone(&backend), Arc::clone(&metrics));
        let terms = Terms {
            head: limits.head_timeout,
            idle: limits.idle_timeout,
            stall: limits.stall_timeout,
            cut_off: metrics.traffic.cut_off.clone(),
            memory: Arc::clone(&gateway.memory),
            refusal: Arc::new(move |problem| {
                counters.traffic.refused_at_edge(problem.kind());
                refusal(nonces.as_ref(), problem)
            }),
        };
        Self {
            router,
            backend,
            limits,
            connections: Arc::new(Semaphore::new(limits.connections)),
            terms,
            threads: gateway.pools.shared(),
            metrics,
            streams: STREAMS,
        }
    }

    /// Takes connections until the node is asked to stop. Returns when all have ended and each request that
    /// had begun has an answer; shortly after `grace` the rest is cut off.
    ///
    /// # Errors
    /// No error of a connection: an error there ends only that connection.
    pub async fn run(self, listener: TcpListener, handshake: impl Handshake) -> io::Result<()> {
        let mut stopping = self.backend.stopping();
        let refusals = Arc::new(Semaphore::new(REFUSALS));
        let traffic = &self.metrics.traffic;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                // An error means that the node is gone, so this stops too.
                _ = stopping.wait_for(|stopping| *stopping) => break,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "no connection can be taken");
                    sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            // An answer is one small write: a wait for a full packet would only delay it.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY");
            }
            if let Ok(place) = Arc::clone(&self.connections).try_acquire_owned() {
                let (server, handshake) = (self.clone(), handshake.clone());
                tokio::spawn(async move {
                    server.shake_and_serve(stream, address, handshake).await;
                    drop(place);
                });
            } else if let Ok(place) = Arc::clone(&refusals).try_acquire_owned() {
                traffic.arrived(Arrival::Refused);
                let answer = (self.terms.refusal)(&Problem::overloaded(REFUSAL));
                let handshake = handshake.clone();
                tokio::spawn(async move {
                    drop(timeout(REFUSAL, refuse(handshake, stream, answer)).await);
                    drop(place);
                });
            } else {
                traffic.arrived(Arrival::Unheard);
            }
        }
        drop(listener);
        let all = u32::try_from(self.limits.connections).unwrap_or(u32::MAX);
        let ended = self.connections.acquire_many(all);
        if timeout(self.limits.grace + LAST_WORDS, ended)
            .await
            .is_err()
        {
            tracing::warn!("connections that did not end in time are cut off");
        }
        Ok(())
    }

    /// Serves a connection to its end, if its handshake succeeds in time.
    async fn shake_and_serve(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        handshake: impl Handshake,
    ) {
        let traffic = &self.metrics.traffic;
        match timeout(self.terms.head, handshake.shake(stream)).await {
            Ok(Ok((stream, mut client))) => {
                client.address = Some(address);
                traffic.arrived(Arrival::Served);
                let _open = GaugeGuard::new(&traffic.connections_open);
                self.connection(stream, client).await;
            }
            Ok(Err(error)) => {
                traffic.arrived(Arrival::HandshakeFailed);
                tracing::debug!(%error, "a handshake failed");
            }
            Err(_) => {
                traffic.arrived(Arrival::HandshakeFailed);
                tracing::debug!("a handshake did not end in time");
            }
        }
    }

    /// The settings for hyper.
    fn builder(&self) -> auto::Builder<TokioExecutor> {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        // The router judges head and headers exactly; hyper's buffer must only hold them.
        let head_bytes = self.limits.header_bytes * 2;
        builder
            .http1()
            .max_buf_size(head_bytes)
            // The router dates its answers itself, by the node's clock.
            .auto_date_header(false);
        builder
            .http2()
            .auto_date_header(false)
            .timer(TokioTimer::new())
            .keep_alive_interval(self.limits.head_timeout)
            .keep_alive_timeout(self.limits.head_timeout)
            .max_concurrent_streams(self.streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BYTES)
            .max_header_list_size(u32::try_from(self.limits.header_bytes).unwrap_or(u32::MAX));
        builder
    }

    /// Serves one connection to its end.
    pub async fn connection(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        client: ClientInfo,
    ) {
        let exchange = Arc::new(Exchange::default());
        let untaken = Arc::new(Untaken::new(self.terms.stall));
        let edge = Edge::new(stream, self.terms.clone(), Arc::clone(&exchange));
        let service = service_fn(|mut request: Request<Incoming>| {
            let answering = exchange.begin();
            request.extensions_mut().insert(client.clone());
            let (router, untaken) = (self.router.clone(), Arc::clone(&untaken));
            let stopping = self.backend.stopping();
            async move {
                let is_http2 = request.version() == Version::HTTP_2;
                // A client that waits to be asked for the body has not sent it.
                let is_held_back = request.headers().contains_key(header::EXPECT);
                let mut left = None;
                let request = request.map(|body| {
                    if is_http2 {
                        return Rest::taken_in(body);
                    }
                    let (body, rest) = Rest::left(body);
                    left = rest;
                    body
                });
                let response = router.oneshot(request).await;
                // A node that stops has no time to read it.
                let is_stopping = *stopping.borrow();
                let left = left.filter(|_| !is_held_back && !is_stopping);
                let left = left.and_then(|left| left.lock().take());
                if let Some(left) = left {
                    body::discard(Body::new(left)).await;
                }
                response.map(|response| {
                    let response = if is_http2 {
                        response.map(|body| Body::new(Watched::new(body, &untaken)))
                    } else {
                        response
                    };
                    guarded(response, answering)
                })
            }
        });
        let builder = self.builder();
        let mut connection = pin!(builder.serve_connection(TokioIo::new(edge), service));
        let mut stopping = self.backend.stopping();
        let served = async {
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = async {
                    tokio::select! {
                        _ = stopping.wait_for(|stopping| *stopping) => {}
                        () = exchange.http2_idles(self.limits.idle_timeout) => {}
                    }
                } => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        };
        tokio::select! {
            ended = served => if let Err(error) = ended {
                tracing::debug!(error, "a connection ended");
            },
            () = untaken.stalls() => {
                self.terms.cut_off.inc();
                tracing::debug!("a client that takes too little of an answer is cut off");
            }
        }
    }
}

/// A response whose body tells when it is gone.
fn guarded(response: Response<Body>, answering: Answering) -> Response<Guarded> {
    response.map(|body| Guarded {
        body,
        _answering: answering,
    })
}

struct Guarded {
    body: Body,
    _answering: Answering,
}

impl hyper::body::Body for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        pin!(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// Tells a connection that there is no room for it, and reads what it still sends.
async fn refuse(handshake: impl Handshake, stream: TcpStream, answer: Bytes) -> io::Result<()> {
    let (mut stream, _) = handshake.shake(stream).await?;
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    let mut heard = [0; 4096];
    while stream.read(&mut heard).await? > 0 {}
    Ok(())
}

/// The bytes of an answer that no handler made.
fn refusal(backend: &dyn Backend, problem: &Problem) -> Bytes {
    let id = request_id::new_id(backend);
    let id = id.to_str().unwrap_or_default();
    let (status, code, _) = problem.kind().row();
    tracing::debug!(request_id = id, code, "refused at the edge");
    let body = problem.document(id);
    let date = date::header(backend.now());
    let date = date.as_ref().map(|date| (header::DATE, date));
    let mut head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\nx-request-id: {id}\r\n\
         connection: close\r\ncontent-length: {}\r\n",
        body.len()
    )
    .into_bytes();
    let headers = problem.headers().iter();
    let headers = headers.map(|(name, value)| (name.clone(), value));
    for (name, value) in headers.chain(date) {
        let value = HeaderValue::as_bytes(value);
        for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(&body);
    head.into()
}
