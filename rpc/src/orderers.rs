//! The way to the orderers of channels, by Fabric's `orderer.AtomicBroadcast`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use quire_peer::orderers::{Blocks, Endpoint, Network, NoAnswer, Wait};
use quire_wire::common::Envelope;
use quire_wire::deliver::{BroadcastResponse, Response};
use quire_wire::hash::{Hash, sha256};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::runtime::{Builder, Handle, Runtime};
use tonic::Status;

use crate::client::{Client, Delivered, Delivering};
use crate::dial::Target;
use crate::tls::{Tls, TlsError};

/// How long a connection may take, as Fabric's peers have it.
const DIAL: Duration = Duration::from_secs(3);
/// Connections that are kept. There are as many as orderers, and those of former configurations.
const CONNECTIONS: usize = 64;
/// Threads that wait for orderers.
const THREADS: usize = 2;

/// How orderers are reached.
#[derive(Clone, Default)]
pub struct OrdererSettings {
    /// Where an orderer is, by the address that a configuration names it by; `host:port` both.
    pub overrides: BTreeMap<String, String>,
    /// Nothing is protected: no TLS.
    pub is_plain: bool,
    /// The authorities for TLS, PEM; none for those of the orderers' organisations.
    pub roots: Option<Bytes>,
    /// The certificate chain that this node shows, and its key; both PEM.
    pub client: Option<(Bytes, Bytes)>,
}

impl fmt::Debug for OrdererSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrdererSettings")
            .field("overrides", &self.overrides)
            .field("is_plain", &self.is_plain)
            .finish_non_exhaustive()
    }
}

impl OrdererSettings {
    /// Whether certificates and keys can be used.
    ///
    /// # Errors
    /// See [`OrderersError`].
    pub fn check(&self) -> Result<(), OrderersError> {
        if let Some(roots) = &self.roots {
            tls(self, roots, "localhost")?;
        }
        self.certificate().map(drop)
    }

    /// SHA-256 of the certificate that this node shows.
    fn certificate(&self) -> Result<Option<Hash>, OrderersError> {
        let Some((chain, _)) = &self.client else {
            return Ok(None);
        };
        let shown = CertificateDer::from_pem_slice(chain);
        let shown = shown.map_err(|error| TlsError::Client(error.to_string()))?;
        Ok(Some(sha256([&shown[..]])))
    }
}

/// Why orderers cannot be reached with these settings.
#[derive(Debug, thiserror::Error)]
pub enum OrderersError {
    /// A certificate or a key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The operating system starts no threads.
    #[error("no threads can be started that wait for orderers")]
    Threads(#[source] io::Error),
}

/// The way to the orderers of all channels of a node.
#[derive(Debug)]
pub struct Orderers {
    shared: Arc<Shared>,
    certificate: Option<Hash>,
    /// It is there until this is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
}

#[derive(Debug)]
struct Shared {
    settings: OrdererSettings,
    connections: Mutex<HashMap<Endpoint, Client>>,
}

impl Orderers {
    /// Reaches them by these settings. Nobody is dialled yet.
    ///
    /// # Errors
    /// See [`OrderersError`].
    pub fn new(settings: OrdererSettings) -> Result<Self, OrderersError> {
        let certificate = settings.certificate()?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("orderers")
            .enable_all()
            .build()
            .map_err(OrderersError::Threads)?;
        Ok(Self {
            shared: Arc::new(Shared {
                settings,
                connections: Mutex::default(),
            }),
            certificate,
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }
}

impl Drop for Orderers {
    fn drop(&mut self) {
        // The last one who has it may be one of its own threads.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Network for Orderers {
    fn certificate(&self) -> Option<Hash> {
        self.certificate
    }

    fn deliver(
        &self,
        orderer: &Endpoint,
        request: Envelope,
        max_bytes: usize,
    ) -> Wait<'static, Result<Box<dyn Blocks>, String>> {
        let (shared, orderer) = (Arc::clone(&self.shared), orderer.clone());
        Box::pin(async move {
            // A connection of its own: a channel that takes no blocks now holds nobody else's up.
            let client = shared.dial(&orderer).await?;
            let asked = client.deliver_small(Delivering::Orderer, request, max_bytes);
            let blocks = asked.await.map_err(|status| told(&status))?;
            Ok(Box::new(blocks) as Box<dyn Blocks>)
        })
    }

    fn broadcast(
        &self,
        orderer: &Endpoint,
        envelope: Envelope,
    ) -> Wait<'static, Result<BroadcastResponse, NoAnswer>> {
        let (shared, orderer) = (Arc::clone(&self.shared), orderer.clone());
        Box::pin(async move {
            let client = shared.client(&orderer).await.map_err(NoAnswer::NotSent)?;
            client.broadcast(envelope).await.map_err(|status| {
                shared.forget(&orderer);
                NoAnswer::Unknown(told(&status))
            })
        })
    }

    fn runtime(&self) -> &Handle {
        &self.handle
    }
}

impl Blocks for Delivered {
    fn next(&mut self) -> Wait<'_, Result<Option<Response>, String>> {
        Box::pin(async {
            let message = self.0.message().await.map_err(|status| told(&status))?;
            Ok(message.and_then(|message| message.response))
        })
    }
}

impl Shared {
    /// The connection for envelopes to an orderer: the one there is, or a new one.
    async fn client(&self, orderer: &Endpoint) -> Result<Client, String> {
        if let Some(client) = self.connections.lock().get(orderer) {
            return Ok(client.clone());
        }
        let client = self.dial(orderer).await?;
        let mut connections = self.connections.lock();
        if connections.len() >= CONNECTIONS {
            connections.clear();
        }
        connections.insert(orderer.clone(), client.clone());
        Ok(client)
    }

    /// A new connection to an orderer.
    async fn dial(&self, orderer: &Endpoint) -> Result<Client, String> {
        let client = Client::connect(&self.target(orderer)?).await;
        client.map_err(|error| quire_ledger::chain_of(&error))
    }

    /// A connection failed: the next one is a new one.
    fn forget(&self, orderer: &Endpoint) {
        self.connections.lock().remove(orderer);
    }

    fn target(&self, orderer: &Endpoint) -> Result<Target, String> {
        let settings = &self.settings;
        let address = settings.overrides.get(&orderer.address);
        let address = address.unwrap_or(&orderer.address).clone();
        let tls = if settings.is_plain {
            None
        } else {
            let roots = settings.roots.as_ref().map(|roots| roots.to_vec());
            let roots = roots.unwrap_or_else(|| orderer.roots.join(&b'\n'));
            if roots.is_empty() {
                return Err("its organisation has no authorities for TLS".to_owned());
            }
            let (host, _) = address.rsplit_once(':').unwrap_or((&address, ""));
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Some(tls(settings, &roots, host).map_err(|error| quire_ledger::chain_of(&error))?)
        };
        Ok(Target {
            address,
            dial_timeout: DIAL,
            tls,
        })
    }
}

fn tls(settings: &OrdererSettings, roots: &[u8], host: &str) -> Result<Tls, TlsError> {
    let client = settings.client.as_ref();
    Tls::new(
        roots,
        client.map(|(chain, key)| (&chain[..], &key[..])),
        host,
    )
}

/// What ended a call, in words.
fn told(status: &Status) -> String {
    let mut cause = std::error::Error::source(status);
    while let Some(deeper) = cause.and_then(std::error::Error::source) {
        cause = Some(deeper);
    }
    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{}: {}{cause}", status.code(), status.message())
}
