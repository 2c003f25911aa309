//! One request to an orderer's admin endpoint.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{Request, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long an orderer may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Most bytes of an answer: more than any block.
const MOST: usize = 256 << 20;

/// What both ends of TLS show each other, PEM.
pub(super) struct Tls {
    pub(super) authorities: Vec<u8>,
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
    /// When certificates are judged.
    pub(super) now: SystemTime,
}

/// What to ask.
pub(super) struct Call {
    method: &'static str,
    path: String,
    part: Option<Part>,
}

/// A file of a form.
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) file: &'static str,
    pub(super) content: Vec<u8>,
}

/// What came back.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("{0:?} is no address of an orderer, such as localhost:7053")]
    Address(String),
    #[error("the channel or block cannot stand in a path: {0}")]
    Path(#[from] http::Error),
    #[error("{what} is not what it should be: {reason}")]
    Pem { what: &'static str, reason: String },
    #[error("connecting to {address}: {reason}")]
    Connect {
        address: String,
        reason: std::io::Error,
    },
    #[error("the orderer did not answer within {} seconds", PATIENCE.as_secs())]
    TimeOut,
    #[error("the connection: {0}")]
    Http(#[from] hyper::Error),
    #[error("the answer: {0}")]
    Body(#[from] axum::Error),
    #[error("{0}")]
    Runtime(#[from] std::io::Error),
}

impl Call {
    pub(super) fn new(method: &'static str, path: String, part: Option<Part>) -> Self {
        Self { method, path, part }
    }

    fn request(self, address: &str) -> Result<Request<Body>, http::Error> {
        let request = Request::builder().method(self.method).uri(self.path);
        let request = request.header(header::HOST, address);
        match self.part {
            None => request.body(Body::empty()),
            Some(part) => {
                let boundary = part.boundary();
                let kind = format!("multipart/form-data; boundary={boundary}");
                let body = part.to_form(&boundary);
                request.header(header::CONTENT_TYPE, kind).body(body.into())
            }
        }
    }
}

impl Part {
    /// A line that does not occur in the content.
    fn boundary(&self) -> String {
        let mut number = 0_u64;
        loop {
            let boundary = format!("osnadmin-{number:020}");
            let mut windows = self.content.windows(boundary.len());
            if !windows.any(|window| window == boundary.as_bytes()) {
                return boundary;
            }
            number += 1;
        }
    }

    fn to_form(&self, boundary: &str) -> Vec<u8> {
        let start = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n",
            self.name, self.file
        );
        let end = format!("\r\n--{boundary}--\r\n");
        [start.as_bytes(), &self.content, end.as_bytes()].concat()
    }
}

/// Asks, and waits for the answer.
pub(super) fn send(address: &str, tls: Option<Tls>, call: Call) -> Result<Reply, ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let exchange = exchange(address, tls, call);
        let timed = tokio::time::timeout(PATIENCE, exchange).await;
        timed.unwrap_or(Err(ClientError::TimeOut))
    })
}

async fn exchange(address: &str, tls: Option<Tls>, call: Call) -> Result<Reply, ClientError> {
    let request = call.request(address)?;
    let failed = |reason| ClientError::Connect {
        address: address.to_owned(),
        reason,
    };
    let tls = tls.map(|tls| Ok::<_, ClientError>((tls.connector()?, server_name(address)?)));
    let tls = tls.transpose()?;
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    match tls {
        None => over(stream, request).await,
        Some((connector, name)) => {
            let stream = connector.connect(name, stream).await.map_err(failed)?;
            over(stream, request).await
        }
    }
}

async fn over<S>(stream: S, request: Request<Body>) -> Result<Reply, ClientError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The connection lives while the answer is read, and ends with the runtime.
    let driven = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = to_bytes(Body::new(response.into_body()), MOST).await?;
    driven.abort();
    Ok(Reply { status, body })
}

fn server_name(address: &str) -> Result<ServerName<'static>, ClientError> {
    let wrong = || ClientError::Address(address.to_owned());
    let (host, _) = address.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|_| wrong())
}

impl Tls {
    fn connector(&self) -> Result<TlsConnector, ClientError> {
        let wrong = |what, reason: &dyn ToString| ClientError::Pem {
            what,
            reason: reason.to_string(),
        };
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(&self.authorities) {
            let authority = authority.map_err(|error| wrong("--ca-file", &error))?;
            let added = roots.add(authority);
            added.map_err(|error| wrong("--ca-file", &error))?;
        }
        if roots.is_empty() {
            return Err(wrong("--ca-file", &"it has no certificate in PEM"));
        }
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(&self.certificate).collect();
        let certificates = certificates.map_err(|error| wrong("--client-cert", &error))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key);
        let key = key.map_err(|error| wrong("--client-key", &error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_details(provider, Arc::new(Clock(self.now)));
        let config = config.with_safe_default_protocol_versions();
        let config = config.map_err(|error| wrong("the TLS library", &error))?;
        let config = config.with_root_certificates(roots);
        let config = config.with_client_auth_cert(certificates, key);
        let config = config.map_err(|error| wrong("--client-cert with --client-key", &error))?;
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// A clock that stands.
#[derive(Debug)]
struct Clock(SystemTime);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let since = self.0.duration_since(UNIX_EPOCH).ok()?;
        Some(UnixTime::since_unix_epoch(since))
    }
}
