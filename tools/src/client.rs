//! One request to a node, by HTTP or HTTPS, and its answer.

use std::fmt;
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

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Most bytes of an answer: more than any block.
const MOST: usize = 256 << 20;

/// What both ends of TLS show each other, PEM.
#[derive(Clone)]
pub struct Tls {
    /// Who vouches for the server.
    pub authorities: Vec<u8>,
    /// The certificate and the key that the client shows.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
    /// When certificates are judged.
    pub now: SystemTime,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

/// What to ask.
pub struct Call {
    method: &'static str,
    path: String,
    content: Content,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut call = f.debug_tuple("Call");
        call.field(&self.method).field(&self.path).finish()
    }
}

/// What a request brings with it.
enum Content {
    Nothing,
    Form(Part),
    Json { bearer: String, text: Vec<u8> },
}

/// A file of a form.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    pub(crate) content: Vec<u8>,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The whole body.
    pub body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No host and port.
    #[error("{0:?} is no address, such as localhost:7053")]
    Address(String),
    /// A name that cannot be a part of a path, or a token that cannot be a header's.
    #[error("what is asked cannot be written as a request: {0}")]
    Request(#[from] http::Error),
    /// A file of TLS.
    #[error("{what} is not what it should be: {reason}")]
    Pem {
        /// Which.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// Nobody is there, or not who should be.
    #[error("connecting to {address}: {reason}")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        reason: std::io::Error,
    },
    /// It takes too long.
    #[error("no answer came within {} seconds", PATIENCE.as_secs())]
    TimeOut,
    /// The connection ended.
    #[error("the connection: {0}")]
    Http(#[from] hyper::Error),
    /// The answer ended, or is too long.
    #[error("the answer: {0}")]
    Body(#[from] axum::Error),
    /// The system has no threads.
    #[error("{0}")]
    Runtime(#[from] std::io::Error),
}

impl Call {
    pub(crate) fn new(method: &'static str, path: String, part: Option<Part>) -> Self {
        Self {
            method,
            path,
            content: part.map_or(Content::Nothing, Content::Form),
        }
    }

    /// A POST of JSON by whoever has a token.
    #[must_use]
    pub fn post(path: String, bearer: &str, text: Vec<u8>) -> Self {
        let bearer = format!("Bearer {bearer}");
        Self {
            method: "POST",
            path,
            content: Content::Json { bearer, text },
        }
    }

    fn request(self, address: &str) -> Result<Request<Body>, http::Error> {
        let request = Request::builder().method(self.method).uri(self.path);
        let request = request.header(header::HOST, address);
        match self.content {
            Content::Nothing => request.body(Body::empty()),
            Content::Form(part) => {
                let boundary = part.boundary();
                let kind = format!("multipart/form-data; boundary={boundary}");
                let body = part.to_form(&boundary);
                request.header(header::CONTENT_TYPE, kind).body(body.into())
            }
            Content::Json { bearer, text } => request
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::AUTHORIZATION, bearer)
                .body(text.into()),
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
///
/// # Errors
/// See [`ClientError`]; an answer of whatever status is none.
pub fn send(address: &str, tls: Option<Tls>, call: Call) -> Result<Reply, ClientError> {
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
            let authority = authority.map_err(|error| wrong("the file of authorities", &error))?;
            let added = roots.add(authority);
            added.map_err(|error| wrong("the file of authorities", &error))?;
        }
        if roots.is_empty() {
            return Err(wrong(
                "the file of authorities",
                &"it has no certificate in PEM",
            ));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_details(provider, Arc::new(Clock(self.now)));
        let config = config.with_safe_default_protocol_versions();
        let config = config.map_err(|error| wrong("the TLS library", &error))?;
        let config = config.with_root_certificates(roots);
        let Some((certificate, key)) = &self.client else {
            return Ok(TlsConnector::from(Arc::new(config.with_no_client_auth())));
        };
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
        let certificates = certificates.map_err(|error| wrong("--client-cert", &error))?;
        let key = PrivateKeyDer::from_pem_slice(key);
        let key = key.map_err(|error| wrong("--client-key", &error))?;
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
