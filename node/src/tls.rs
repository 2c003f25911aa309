//! TLS: rustls with ring, its certificates from PEM files, and who shows a certificate to us.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quire_gateway::problem::{Problem, ProblemKind};
use quire_gateway::{ClientCertificate, ClientInfo, Handshake, IssuedCertificate};
use quire_wire::hash::sha256;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::{FromDer as _, ParsedExtension, X509Certificate};

use crate::random::random_nonce;

/// The first byte of every TLS connection: a handshake record.
const HANDSHAKE: u8 = 0x16;
/// As much of a plain request as is read before it is refused.
const MAX_PLAIN_BYTES: u64 = 64 << 10;

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("{} cannot be read as PEM", path.display())]
    Pem { path: PathBuf, source: pem::Error },
    #[error("{} holds no certificate", .0.display())]
    NoCertificate(PathBuf),
    #[error("the certificate and its key cannot be used")]
    Certificate(#[source] rustls::Error),
    #[error("{} cannot be used to judge client certificates", path.display())]
    ClientAuthority {
        path: PathBuf,
        source: rustls::Error,
    },
    #[error("client certificates cannot be judged")]
    Verifier(#[from] VerifierBuilderError),
}

/// What is asked of clients: certificates that the authorities in a file have signed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clients<'a> {
    /// None.
    Unknown,
    /// One, of those who have one.
    MayShow(&'a Path),
    /// One, of everybody.
    MustShow(&'a Path),
}

/// Takes connections as the server.
#[derive(Clone)]
pub(crate) struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(..)")
    }
}

impl Tls {
    /// Reads the files.
    pub(crate) fn load(
        certificate: &Path,
        key: &Path,
        clients: Clients<'_>,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Certificate)?;
        let builder = match clients {
            Clients::Unknown => builder.with_no_client_auth(),
            Clients::MayShow(path) | Clients::MustShow(path) => {
                let mut roots = RootCertStore::empty();
                for root in certificates(path)? {
                    roots
                        .add(root)
                        .map_err(|source| TlsError::ClientAuthority {
                            path: path.to_owned(),
                            source,
                        })?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                let verifier = match clients {
                    // Those without a certificate may still show a token.
                    Clients::MayShow(_) => verifier.allow_unauthenticated(),
                    _ => verifier,
                };
                builder.with_client_cert_verifier(verifier.build()?)
            }
        };
        let key = PrivateKeyDer::from_pem_file(key).map_err(pem_error(key))?;
        let mut config = builder
            .with_single_cert(certificates(certificate)?, key)
            .map_err(TlsError::Certificate)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Shakes hands. Whoever speaks plain HTTP instead is told so, and let go.
    pub(crate) async fn accept(&self, tcp: TcpStream) -> io::Result<(Stream, ClientInfo)> {
        let mut first = [0];
        if tcp.peek(&mut first).await? == 1 && first != [HANDSHAKE] {
            return Err(refuse_plain(tcp).await);
        }
        let stream = self.0.accept(tcp).await?;
        let (_, connection) = stream.get_ref();
        let shown = connection.peer_certificates().unwrap_or_default();
        let client = ClientInfo {
            certificate: client_certificate(shown).map(Arc::new),
            certificate_sha256: shown.first().map(|own| sha256([own.as_ref()])),
            address: None,
        };
        Ok((Stream::Tls(Box::new(stream)), client))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let certificates: Vec<_> = certificates.map_err(pem_error(path))?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate(path.to_owned()));
    }
    Ok(certificates)
}

fn pem_error(path: &Path) -> impl FnOnce(pem::Error) -> TlsError {
    let path = path.to_owned();
    move |source| TlsError::Pem { path, source }
}

/// What certificates say that were found valid, the client's own first. Its common name must be one: of
/// several, nobody knows which is meant.
fn client_certificate(shown: &[CertificateDer<'_>]) -> Option<ClientCertificate> {
    let chain: Option<Vec<_>> = shown.iter().map(|one| issued(one)).collect();
    let (_, own) = X509Certificate::from_der(shown.first()?).ok()?;
    let mut names = own.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?;
    let is_one = names.next().is_none();
    Some(ClientCertificate {
        common_name: Some(name).filter(|_| is_one)?.into(),
        chain: chain?,
    })
}

fn issued(certificate: &CertificateDer<'_>) -> Option<IssuedCertificate> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let mut ids = certificate.extensions().iter().filter_map(|extension| {
        match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref(),
            _ => None,
        }
    });
    Some(IssuedCertificate {
        serial: certificate.raw_serial().to_vec(),
        authority_key_id: ids.next().map_or_else(Vec::new, |id| id.0.to_vec()),
    })
}

/// Answers a plain HTTP request with what is wrong with it.
async fn refuse_plain(mut tcp: TcpStream) -> io::Error {
    let kind = ProblemKind::InvalidArgument;
    let id = hex::encode(random_nonce());
    let body = Problem::new(
        kind,
        "This port speaks HTTPS, and the request is plain HTTP.",
    )
    .document(&id);
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nX-Request-Id: {id}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let answered = async {
        tcp.write_all(head.as_bytes()).await?;
        tcp.write_all(&body).await?;
        tcp.shutdown().await?;
        // Bytes that nobody read would make the kernel take the answer back.
        let mut rest = tcp.take(MAX_PLAIN_BYTES);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    match answered.await {
        Ok(_) => io::Error::new(io::ErrorKind::InvalidData, "plain HTTP on the TLS port"),
        Err(error) => error,
    }
}

/// What connections are protected with, if with anything.
#[derive(Clone, Debug)]
pub(crate) struct Security(pub(crate) Option<Tls>);

impl Handshake for Security {
    type Stream = Stream;

    async fn shake(&self, tcp: TcpStream) -> io::Result<(Stream, ClientInfo)> {
        match &self.0 {
            Some(tls) => tls.accept(tcp).await,
            None => Ok((Stream::Plain(tcp), ClientInfo::default())),
        }
    }
}

/// A connection, with or without TLS.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
