//! Chaincodes that dial the peer: what a node launched, and what a developer runs.

use std::convert::Infallible;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use quire_chaincode::shim::Stream;
use quire_wire::shim::ChaincodeMessage;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tonic::server::{Grpc, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::pump::{Answers, Outgoing, take_in};
use super::registration::{Opened, Registration};

/// The one method.
const REGISTER: &str = "/protos.ChaincodeSupport/Register";
/// Connections at a time. A chaincode has one.
const MAX_CONNECTIONS: usize = 256;
/// Streams of a connection at a time.
const MAX_STREAMS: u32 = 1;
/// How long accepting rests after the system refused a connection.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a connection whose stream has ended may take to be told so.
const GOODBYE: Duration = Duration::from_secs(5);
/// A connection on which nothing is heard is asked as often whether it is alive, and given up after as long.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of messages that are on their way without being taken.
const WINDOW_BYTES: u32 = 1 << 20;

/// Takes chaincodes in that dial.
pub trait Accept: Debug + Send + Sync {
    /// The stream of a chaincode that has dialled, and has shown this certificate in its handshake, in DER. Its name
    /// is heard when it registers.
    fn accept(&self, certificate: Option<&[u8]>) -> Stream;

    /// What whoever dials may take.
    fn limits(&self) -> DoorLimits;
}

/// What whoever dials may take, before it is known to be a chaincode and after.
#[derive(Clone, Copy, Debug)]
pub struct DoorLimits {
    /// Bytes of a message from a chaincode.
    pub message_bytes: usize,
    /// Connections at a time on which no chaincode has registered.
    pub unregistered: usize,
    /// How long such a connection may be open. The shims register at once.
    pub registration: Duration,
}

/// Serves chaincodes that dial until `stop` is ready; their streams end then.
///
/// # Errors
/// The listener is broken.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    accept: Arc<dyn Accept>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let unregistered = Arc::new(Semaphore::new(accept.limits().unregistered));
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        while connections.try_join_next().is_some() {}
        let (socket, from) = tokio::select! {
            () = &mut stop => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a chaincode's connection is not accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
        };
        let permits = [&room, &unregistered].map(|of| Arc::clone(of).try_acquire_owned());
        let [Ok(permit), Ok(place)] = permits else {
            tracing::warn!(%from, "too many connections of chaincodes");
            continue;
        };
        let (tls, accept) = (tls.clone(), Arc::clone(&accept));
        connections.spawn(async move {
            let _permit = permit;
            let registration = Registration::new(accept.limits().registration, place);
            serve_connection(socket, from, tls, accept, registration).await;
        });
    }
}

async fn serve_connection(
    socket: TcpStream,
    from: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    accept: Arc<dyn Accept>,
    registration: Registration,
) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%from, %error, "a chaincode's connection");
    }
    let served = match tls {
        None => serve_stream(socket, accept, None, registration).await,
        Some(config) => {
            let handshake = TlsAcceptor::from(config).accept(socket);
            match registration.in_time(handshake).await {
                Some(Ok(socket)) => {
                    let shown = socket.get_ref().1.peer_certificates();
                    let shown = shown.and_then(|chain| chain.first());
                    let certificate = shown.map(|one| one.as_ref().to_vec());
                    serve_stream(socket, accept, certificate, registration).await
                }
                Some(Err(error)) => {
                    tracing::warn!(%from, %error, "the handshake with a chaincode failed");
                    return;
                }
                None => return,
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%from, %error, "a chaincode's connection broke off");
    }
}

/// Serves a connection until its stream has ended, or none has begun in time.
async fn serve_stream(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    accept: Arc<dyn Accept>,
    certificate: Option<Vec<u8>>,
    registration: Registration,
) -> hyper::Result<()> {
    let opened = registration.opened();
    let register = Register {
        accept,
        certificate: certificate.map(Arc::from),
        opened,
    };
    let service = service_fn(move |request| {
        let register = register.clone();
        async move { Ok::<_, Infallible>(answer(request, register).await) }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .serve_connection(TokioIo::new(socket), service);
    tokio::pin!(connection);
    tokio::select! {
        served = connection.as_mut() => return served,
        () = registration.over() => connection.as_mut().graceful_shutdown(),
    }
    // Whoever does not take the end of its stream has its connection dropped.
    timeout(GOODBYE, connection).await.unwrap_or(Ok(()))
}

async fn answer(request: http::Request<Incoming>, register: Register) -> http::Response<Body> {
    if request.uri().path() != REGISTER {
        let status = Status::unimplemented("a chaincode registers here, and nothing else");
        let mut refused = status.into_http::<Body>();
        *refused.status_mut() = StatusCode::OK;
        return refused;
    }
    let codec = ProstCodec::<ChaincodeMessage, ChaincodeMessage>::default();
    Grpc::new(codec)
        .max_decoding_message_size(register.accept.limits().message_bytes)
        .max_encoding_message_size(usize::MAX)
        .streaming(register, request)
        .await
}

/// The method.
#[derive(Clone)]
struct Register {
    accept: Arc<dyn Accept>,
    certificate: Option<Arc<[u8]>>,
    opened: Opened,
}

impl StreamingService<ChaincodeMessage> for Register {
    type Response = ChaincodeMessage;
    type ResponseStream = Answers;
    type Future = std::future::Ready<Result<Response<Answers>, Status>>;

    fn call(&mut self, request: Request<Streaming<ChaincodeMessage>>) -> Self::Future {
        let stream = Arc::new(self.accept.accept(self.certificate.as_deref()));
        if !self.opened.begin(&stream) {
            let status = Status::resource_exhausted("a connection is for one chaincode");
            return std::future::ready(Err(status));
        }
        let answers = Answers::new(Outgoing(Arc::clone(&stream)));
        tokio::spawn(async move { take_in(request.into_inner(), &stream).await });
        std::future::ready(Ok(Response::new(answers)))
    }
}
