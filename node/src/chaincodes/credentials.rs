//! Certificates by which the node knows the processes that it started, as Fabric's peer does.
//!
//! An authority of this run of the node, in memory only, signs one for each process, which finds it in files, under the
//! names that Fabric's shims look for. Who shows it registers as that process's package, and as nothing else.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use quire_wire::hash::sha256;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

/// What the certificate of the node at this door is for.
const SERVER_NAMES: [&str; 2] = ["127.0.0.1", "localhost"];
/// Files of a process: the key and the certificate, each in PEM, and in base64 of PEM, as some shims want them.
const KEY: &str = "client_pem.key";
const CERTIFICATE: &str = "client_pem.crt";
const KEY_BASE64: &str = "client.key";
const CERTIFICATE_BASE64: &str = "client.crt";
/// The certificate of the authority.
const ROOT: &str = "peer.crt";

/// Why a process has no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialError {
    /// The library that writes certificates failed.
    #[error("a certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    /// They cannot be served.
    #[error("the certificates cannot be used")]
    Tls(#[from] rustls::Error),
    /// The same, of those of clients.
    #[error("the certificates of processes cannot be verified")]
    Verifier(#[from] VerifierBuilderError),
    /// Files cannot be written.
    #[error("cannot write {}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// Signs the certificates of this run.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
    /// The package of each process that has a certificate, by that one's hash.
    known: Mutex<HashMap<[u8; 32], String>>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// What a process shows. When this goes, so do its files, and its certificate opens nothing any more.
pub(super) struct Credential {
    folder: PathBuf,
    hash: [u8; 32],
    authority: Weak<Authority>,
}

impl Authority {
    /// A new one.
    pub(super) fn new() -> Result<Self, CredentialError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        let name = "chaincodes of this node";
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            pem: certificate.pem(),
            certificate: certificate.into(),
            issuer: Issuer::new(params, key),
            known: Mutex::default(),
        })
    }

    /// What connections are served with: who shows no certificate of this authority is turned away.
    pub(super) fn server(&self) -> Result<Arc<ServerConfig>, CredentialError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(SERVER_NAMES.map(str::to_owned))?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier.build()?)
            .with_single_cert(vec![certificate.into()], PrivateKeyDer::Pkcs8(key))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }

    /// A certificate for the process of a package, with its files in a new folder.
    pub(super) fn issue(
        self: &Arc<Self>,
        package_id: &str,
        folder: PathBuf,
    ) -> Result<Credential, CredentialError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, package_id);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer)?;
        let hash = sha256([certificate.der().as_ref()]);
        let failed = |source| CredentialError::Io {
            path: folder.clone(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(failed)?;
        let (key, certificate) = (key.serialize_pem(), certificate.pem());
        let files = [
            (KEY_BASE64, STANDARD.encode(&key)),
            (CERTIFICATE_BASE64, STANDARD.encode(&certificate)),
            (KEY, key),
            (CERTIFICATE, certificate),
            (ROOT, self.pem.clone()),
        ];
        // From here on the folder is removed, however this ends.
        let credential = Credential {
            folder,
            hash,
            authority: Arc::downgrade(self),
        };
        for (name, content) in files {
            credential.write(name, &content)?;
        }
        self.known.lock().insert(hash, package_id.to_owned());
        Ok(credential)
    }

    /// Whose process has a certificate.
    pub(super) fn package_of(&self, certificate: &[u8]) -> Option<String> {
        self.known.lock().get(&sha256([certificate])).cloned()
    }
}

impl Credential {
    /// Where a shim finds it, in Fabric's variables.
    pub(super) fn env(&self) -> Vec<(&'static str, String)> {
        let path = |name| self.folder.join(name).to_string_lossy().into_owned();
        vec![
            ("CORE_PEER_TLS_ENABLED", "true".to_owned()),
            ("CORE_TLS_CLIENT_KEY_PATH", path(KEY_BASE64)),
            ("CORE_TLS_CLIENT_CERT_PATH", path(CERTIFICATE_BASE64)),
            ("CORE_TLS_CLIENT_KEY_FILE", path(KEY)),
            ("CORE_TLS_CLIENT_CERT_FILE", path(CERTIFICATE)),
            ("CORE_PEER_TLS_ROOTCERT_FILE", path(ROOT)),
        ]
    }

    fn write(&self, name: &str, content: &str) -> Result<(), CredentialError> {
        let path = self.folder.join(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        file.and_then(|mut file| file.write_all(content.as_bytes()))
            .map_err(|source| CredentialError::Io { path, source })
    }
}

impl Drop for Credential {
    fn drop(&mut self) {
        if let Some(authority) = self.authority.upgrade() {
            authority.known.lock().remove(&self.hash);
        }
        remove(&self.folder);
    }
}

/// Removes the files of processes; also those of a run that was killed, which open nothing any more.
pub(super) fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %folder.display(), %error, "keys of chaincodes' processes are left");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use rustls::pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn the_files_of_a_process_are_its_owners_alone_and_go_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::new().unwrap());
        let folder = dir.path().join("keys/0");
        let credential = authority.issue("cc:ab", folder.clone()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        let paths = credential.env().into_iter().skip(1);
        let paths: Vec<_> = paths.map(|(_, path)| PathBuf::from(path)).collect();
        assert!(paths.iter().all(|path| mode(path) == 0o600));
        let text = fs::read_to_string(&paths[1]).unwrap();
        let pem = fs::read(&paths[3]).unwrap();
        assert_eq!(STANDARD.decode(text).unwrap(), pem);
        drop(credential);
        assert!(!folder.exists());
    }

    #[test]
    fn a_certificate_stands_for_its_package_until_its_process_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::new().unwrap());
        let issue = |package: &str, folder: &str| {
            let credential = authority.issue(package, dir.path().join(folder)).unwrap();
            let pem = fs::read(credential.folder.join(CERTIFICATE)).unwrap();
            (credential, CertificateDer::from_pem_slice(&pem).unwrap())
        };
        let (first, shown) = issue("cc:ab", "0");
        let (_second, other) = issue("cc:cd", "1");
        assert_eq!(authority.package_of(&shown).as_deref(), Some("cc:ab"));
        assert_eq!(authority.package_of(&other).as_deref(), Some("cc:cd"));
        drop(first);
        assert_eq!(authority.package_of(&shown), None);
        assert_eq!(authority.package_of(&other).as_deref(), Some("cc:cd"));
    }
}
