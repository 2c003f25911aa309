//! What the client of a TLS connection goes by.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

/// How a client speaks TLS: whom it trusts, and as whom it shows itself.
#[derive(Clone)]
pub struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    /// The name that the server's certificate must have.
    pub(crate) name: ServerName<'static>,
}

/// Why TLS cannot be spoken as asked.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificates of whom to trust cannot be read, or there are none.
    #[error("the root certificates cannot be used: {0}")]
    Roots(String),
    /// The client's certificate or its key cannot be read, or they do not belong together.
    #[error("the client's certificate and key cannot be used: {0}")]
    Client(String),
    /// The server's name is none that a certificate could have.
    #[error("{name:?} is no name of a server")]
    Name {
        /// The name.
        name: String,
        /// Why.
        source: InvalidDnsNameError,
    },
}

impl Tls {
    /// Trusts the certificates in `roots`, and shows a certificate with its key where one is given; all PEM. The
    /// server must be `name`: a DNS name or an address.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn new(roots: &[u8], client: Option<(&[u8], &[u8])>, name: &str) -> Result<Self, TlsError> {
        let mut store = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(roots) {
            let root = root.map_err(|error| TlsError::Roots(error.to_string()))?;
            let added = store.add(root);
            added.map_err(|error| TlsError::Roots(error.to_string()))?;
        }
        if store.is_empty() {
            return Err(TlsError::Roots("there are none".to_owned()));
        }
        let config = ClientConfig::builder().with_root_certificates(store);
        let refused = |error: &dyn std::fmt::Display| TlsError::Client(error.to_string());
        let mut config = match client {
            None => config.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
                let chain = chain.map_err(|error| refused(&error))?;
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| refused(&error))?;
                let config = config.with_client_auth_cert(chain, key);
                config.map_err(|error| refused(&error))?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let server = ServerName::try_from(name.to_owned());
        let name = server.map_err(|source| TlsError::Name {
            name: name.to_owned(),
            source,
        })?;
        Ok(Self {
            config: Arc::new(config),
            name,
        })
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
