//! Peers and orderers that a verb speaks with: which, and how they are reached.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use quire_rpc::{Client, Target, Tls};
use quire_wire::hash::sha256;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::error::PeerError;
use super::settings::{ClientFiles, Settings};
use crate::files;

/// A server, before it is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// `host:port`.
    pub(super) address: String,
    pub(super) dial_timeout: Duration,
    /// None for a connection in plain.
    pub(super) tls: Option<EndpointTls>,
}

/// How TLS is spoken with a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EndpointTls {
    /// The file of whoever vouches for it.
    pub(super) roots: PathBuf,
    /// The name in its certificate, where that is not its host's.
    pub(super) host_override: Option<String>,
    pub(super) client: Option<ClientFiles>,
}

/// The peers of a command line.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct PeerOptions {
    /// The addresses of the peers to connect to
    #[arg(long = "peerAddresses")]
    peer_addresses: Vec<String>,
    /// If TLS is enabled, the paths to the TLS root cert files of the peers to connect to. The order and number of
    /// certs specified should match the --peerAddresses flag
    #[arg(long = "tlsRootCertFiles")]
    tls_root_cert_files: Vec<PathBuf>,
}

impl PeerOptions {
    /// The only peer that `verb` speaks with.
    pub(super) fn one(&self, verb: &str, settings: Settings<'_>) -> Result<Endpoint, PeerError> {
        if self.peer_addresses.len() > 1 {
            return Err(PeerError::Usage(format!(
                "'{verb}' command supports one peer. {} peers provided",
                self.peer_addresses.len()
            )));
        }
        let mut endpoints = self.all(settings)?.into_iter();
        endpoints.next().map_or_else(|| peer(settings), Ok)
    }

    /// Those that are named, or the one of the environment.
    pub(super) fn all(&self, settings: Settings<'_>) -> Result<Vec<Endpoint>, PeerError> {
        let (addresses, roots) = (&self.peer_addresses, &self.tls_root_cert_files);
        if addresses.is_empty() {
            return Ok(vec![peer(settings)?]);
        }
        let is_tls = settings.is_tls_enabled();
        if is_tls && roots.len() != addresses.len() {
            return Err(PeerError::Usage(format!(
                "number of peer addresses ({}) does not match the number of TLS root cert files ({})",
                addresses.len(),
                roots.len()
            )));
        }
        let roots = roots.iter().map(|path| is_tls.then(|| path.clone()));
        let roots = roots.chain(std::iter::repeat(None));
        let named = addresses.iter().zip(roots);
        named
            .map(|(address, roots)| peer_at(address.clone(), roots, settings))
            .collect()
    }
}

/// The peer of the environment.
pub(super) fn peer(settings: Settings<'_>) -> Result<Endpoint, PeerError> {
    let is_tls = settings.is_tls_enabled();
    let roots = is_tls.then(|| settings.root_certificates()).transpose()?;
    peer_at(settings.address(), roots, settings)
}

fn peer_at(
    address: String,
    roots: Option<PathBuf>,
    settings: Settings<'_>,
) -> Result<Endpoint, PeerError> {
    let client = settings.client_files()?;
    Ok(Endpoint {
        address,
        dial_timeout: settings.connect_timeout()?,
        tls: roots.map(|roots| EndpointTls {
            roots,
            host_override: settings.host_override(),
            client,
        }),
    })
}

impl Endpoint {
    /// Connects.
    pub(super) async fn connect(&self) -> Result<Client, PeerError> {
        let address = &self.address;
        let target = Target {
            address: address.clone(),
            dial_timeout: self.dial_timeout,
            tls: self
                .tls
                .as_ref()
                .map(|tls| tls.speak(address))
                .transpose()?,
        };
        // The time is that of the handshakes too.
        let connected = tokio::time::timeout(self.dial_timeout, Client::connect(&target)).await;
        let connected = connected.map_err(|_| PeerError::NoConnection(address.clone()))?;
        connected.map_err(|source| PeerError::Dial {
            address: address.clone(),
            source,
        })
    }

    /// What binds a request for blocks to the connection: the hash of the certificate that is shown on it.
    pub(super) fn certificate_hash(&self) -> Result<Bytes, PeerError> {
        let client = self.tls.as_ref().and_then(|tls| tls.client.as_ref());
        let Some(client) = client else {
            return Ok(Bytes::new());
        };
        let pem = files::read(&client.certificate)?;
        // One that is none has been refused when the connection was made.
        let first = CertificateDer::from_pem_slice(&pem);
        Ok(first.map_or_else(
            |_| Bytes::new(),
            |certificate| Bytes::copy_from_slice(&sha256([&certificate[..]])),
        ))
    }
}

impl EndpointTls {
    fn speak(&self, address: &str) -> Result<Tls, PeerError> {
        let roots = files::read(&self.roots)?;
        let client = match &self.client {
            None => None,
            Some(client) => Some((files::read(&client.certificate)?, files::read(&client.key)?)),
        };
        let client = client.as_ref();
        let client = client.map(|(certificate, key)| (&certificate[..], &key[..]));
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = self.host_override.as_deref().unwrap_or(host);
        Tls::new(&roots, client, name).map_err(|source| PeerError::Tls {
            address: address.to_owned(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(peers: &[&str], roots: &[&str], is_tls: &str) -> Result<Vec<Endpoint>, PeerError> {
        let options = PeerOptions {
            peer_addresses: peers.iter().map(|peer| (*peer).to_owned()).collect(),
            tls_root_cert_files: roots.iter().map(PathBuf::from).collect(),
        };
        let lookup = |name: &str| match name {
            "CORE_PEER_TLS_ENABLED" => Some(is_tls.to_owned()),
            "CORE_PEER_ADDRESS" => Some("own:7051".to_owned()),
            "CORE_PEER_TLS_ROOTCERT_FILE" => Some("own.crt".to_owned()),
            "CORE_PEER_TLS_SERVERHOSTOVERRIDE" => Some("name".to_owned()),
            _ => None,
        };
        options.all(Settings::new(&lookup))
    }

    #[test]
    fn named_peers_have_their_own_roots_and_without_names_it_is_the_environments() {
        let of = |endpoints: Vec<Endpoint>| -> Vec<_> {
            let each = endpoints.into_iter();
            each.map(|one| {
                (
                    one.address,
                    one.tls.map(|tls| (tls.roots, tls.host_override)),
                )
            })
            .collect()
        };
        let tls = |roots: &str| Some((PathBuf::from(roots), Some("name".to_owned())));
        let found = of(named(&[], &[], "true").unwrap());
        assert_eq!(found, [("own:7051".to_owned(), tls("own.crt"))]);
        let found = of(named(&["a:1", "b:2"], &["a.crt", "b.crt"], "true").unwrap());
        let expected = [
            ("a:1".to_owned(), tls("a.crt")),
            ("b:2".to_owned(), tls("b.crt")),
        ];
        assert_eq!(found, expected);
        let found = of(named(&["a:1"], &["a.crt"], "false").unwrap());
        assert_eq!(found, [("a:1".to_owned(), None)]);
        let refused = named(&["a:1", "b:2"], &["a.crt"], "true").unwrap_err();
        let expected =
            "number of peer addresses (2) does not match the number of TLS root cert files (1)";
        assert_eq!(refused.to_string(), expected);
    }
}
