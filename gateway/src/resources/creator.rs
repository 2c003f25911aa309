//! The identity in an envelope: organisation and name, read from the serialized identity.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use quire_wire::Message;
use quire_wire::msp::SerializedIdentity;
use x509_parser::pem::parse_x509_pem;

/// The claimed identity of a creator or endorser. Whether the claim is true was judged at commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Creator {
    pub(crate) msp_id: String,
    /// The certificate's common name; `None` if there is none, or if it is not a certificate.
    pub(crate) name: Option<String>,
    /// The certificate, PEM.
    pub(crate) certificate: String,
}

impl Creator {
    /// Reads a serialized identity; `None` if the bytes are not one.
    pub(crate) fn read(serialized: &[u8]) -> Option<Self> {
        let identity = SerializedIdentity::decode(serialized).ok()?;
        Some(Self {
            name: common_name(&identity.id_bytes),
            msp_id: identity.mspid,
            certificate: String::from_utf8_lossy(&identity.id_bytes).into_owned(),
        })
    }
}

/// The creators of a page. Each is read once, because a few creators make most transactions.
#[derive(Debug, Default)]
pub(crate) struct Creators(HashMap<Bytes, Option<Arc<Creator>>>);

impl Creators {
    /// See [`Creator::read`].
    pub(crate) fn read(&mut self, serialized: &Bytes) -> Option<Arc<Creator>> {
        if let Some(known) = self.0.get(serialized) {
            return known.clone();
        }
        let creator = Creator::read(serialized).map(Arc::new);
        // A slice would keep the whole envelope in memory.
        let serialized = Bytes::copy_from_slice(serialized);
        self.0.insert(serialized, creator.clone());
        creator
    }
}

fn common_name(pem: &[u8]) -> Option<String> {
    let (_, pem) = parse_x509_pem(pem).ok()?;
    let certificate = pem.parse_x509().ok()?;
    let name = certificate.subject().iter_common_name().next()?;
    Some(name.as_str().ok()?.to_owned())
}
