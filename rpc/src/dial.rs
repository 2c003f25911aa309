//! Connections to servers of gRPC.

use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::tls::Tls;

/// Bytes of messages that are on their way in either direction without being taken: of a stream, and of a
/// connection.
const WINDOW_BYTES: u32 = 1 << 20;
/// A connection on which nothing is heard is asked as often whether it is alive, and given up after as long.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// A server of gRPC.
#[derive(Clone, Debug)]
pub struct Target {
    /// `host:port`.
    pub address: String,
    /// How long dialling may take.
    pub dial_timeout: Duration,
    /// None for a connection in plain.
    pub tls: Option<Tls>,
}

/// Why a server is not reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Its address is none.
    #[error("{0:?} is no address of the form host:port")]
    Address(String),
    /// It does not answer, or not as a server of gRPC does.
    #[error("it cannot be reached")]
    Unreachable(#[source] tonic::transport::Error),
}

impl Target {
    /// Connects.
    ///
    /// # Errors
    /// See [`DialError`].
    pub(crate) async fn dial(&self) -> Result<Channel, DialError> {
        let bad_address = || DialError::Address(self.address.clone());
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address));
        let endpoint = endpoint
            .map_err(|_| bad_address())?
            .connect_timeout(self.dial_timeout)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        let has_port = endpoint.uri().port().is_some();
        if !has_port || endpoint.uri().path() != "/" {
            return Err(bad_address());
        }
        let connected = match self.tls.clone() {
            None => endpoint.connect().await,
            Some(tls) => {
                let connector = service_fn(move |uri: Uri| handshake(uri, tls.clone()));
                endpoint.connect_with_connector(connector).await
            }
        };
        connected.map_err(DialError::Unreachable)
    }
}

async fn handshake(
    uri: Uri,
    tls: Tls,
) -> std::io::Result<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>> {
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let socket = TcpStream::connect(authority).await?;
    socket.set_nodelay(true)?;
    let connector = TlsConnector::from(tls.config);
    let stream = connector.connect(tls.name, socket).await?;
    Ok(TokioIo::new(stream))
}
