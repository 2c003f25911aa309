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
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tonic::server::{Grpc, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::pump::{Answers, Outgoing, take_in};

/// The one method.
const REGISTER: &str = "/protos.ChaincodeSupport/Register";
/// Connections at a time. A chaincode has one.
const MAX_CONNECTIONS: usize = 256;
/// Streams of a connection at a time.
const MAX_STREAMS: u32 = 1;
/// How long a handshake may take, and how long accepting rests after the system refused a connection.
const HANDSHAKE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
/// A connection on which nothing is heard is asked as often whether it is alive, and given up after as long.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of messages that are on their way without being taken.
const WINDOW_BYTES: u32 = 1 << 20;

/// Takes chaincodes in that dial.
pub trait Accept: Debug + Send + Sync {
    /// The stream of a chaincode that has dialled. Its name is heard when it registers.
    fn accept(&self) -> Stream;

    /// Bytes of a message from a chaincode, at most.
    fn message_bytes(&self) -> usize;
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
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            tracing::warn!(%from, "too many connections of chaincodes");
            continue;
        };
        let (tls, accept) = (tls.clone(), Arc::clone(&accept));
        connections.spawn(async move {
            let _permit = permit;
            serve_connection(socket, from, tls, accept).await;
        });
    }
}

async fn serve_connection(
    socket: TcpStream,
    from: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    accept: Arc<dyn Accept>,
) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%from, %error, "a chaincode's connection");
    }
    let served = match tls {
        None => serve_streams(socket, accept).await,
        Some(config) => {
            let handshake = TlsAcceptor::from(config).accept(socket);
            match tokio::time::timeout(HANDSHAKE, handshake).await {
                Ok(Ok(socket)) => serve_streams(socket, accept).await,
                Ok(Err(error)) => {
                    tracing::warn!(%from, %error, "the handshake with a chaincode failed");
                    return;
                }
                Err(_) => return,
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%from, %error, "a chaincode's connection broke off");
    }
}

async fn serve_streams(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    accept: Arc<dyn Accept>,
) -> hyper::Result<()> {
    let service = service_fn(move |request| {
        let accept = Arc::clone(&accept);
        async move { Ok::<_, Infallible>(answer(request, accept).await) }
    });
    http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .serve_connection(TokioIo::new(socket), service)
        .await
}

async fn answer(request: http::Request<Incoming>, accept: Arc<dyn Accept>) -> http::Response<Body> {
    if request.uri().path() != REGISTER {
        let status = Status::unimplemented("a chaincode registers here, and nothing else");
        let mut refused = status.into_http::<Body>();
        *refused.status_mut() = StatusCode::OK;
        return refused;
    }
    let codec = ProstCodec::<ChaincodeMessage, ChaincodeMessage>::default();
    Grpc::new(codec)
        .max_decoding_message_size(accept.message_bytes())
        .max_encoding_message_size(usize::MAX)
        .streaming(Register(accept), request)
        .await
}

/// The method.
struct Register(Arc<dyn Accept>);

impl StreamingService<ChaincodeMessage> for Register {
    type Response = ChaincodeMessage;
    type ResponseStream = Answers;
    type Future = std::future::Ready<Result<Response<Answers>, Status>>;

    fn call(&mut self, request: Request<Streaming<ChaincodeMessage>>) -> Self::Future {
        let stream = Arc::new(self.0.accept());
        let answers = Answers(Outgoing(Arc::clone(&stream)));
        tokio::spawn(async move { take_in(request.into_inner(), &stream).await });
        std::future::ready(Ok(Response::new(answers)))
    }
}
