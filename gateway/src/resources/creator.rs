//! Who stands in an envelope: organisation and name, out of the serialized identity.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use quire_wire::Message;
use quire_wire::msp::SerializedIdentity;
use x509_parser::pem::parse_x509_pem;

/// A creator or endorser as it claims to be; whether it is was judged at commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Creator {
    pub(crate) msp_id: String,
    /// The certificate's common name; none where it has none or is none.
    pub(crate) name: Option<String>,
    /// The certificate, PEM.
    pub(crate) certificate: String,
}

impl Creator {
    /// Reads a serialized identity; none where the bytes are none.
    pub(crate) fn read(serialized: &[u8]) -> Option<Self> {
        let identity = SerializedIdentity::decode(serialized).ok()?;
        Some(Self {
            name: common_name(&identity.id_bytes),
            msp_id: identity.mspid,
            certificate: String::from_utf8_lossy(&identity.id_bytes).into_owned(),
        })
    }
}

/// Creators of a page, each read once: a few make most transactions.
#[derive(Debug, Default)]
pub(crate) struct Creators(HashMap<Bytes, Option<Arc<Creator>>>);

impl Creators {
    /// As [`Creator::read`].
    pub(crate) fn read(&mut self, serialized: &Bytes) -> Option<Arc<Creator>> {
        if let Some(known) = self.0.get(serialized) {
            return known.clone();
        }
        let creator = Creator::read(serialized).map(Arc::new);
        // A part of an envelope would keep the whole of it.
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
