//! Certificate revocation lists.

use crate::certificate::{Certificate, SignatureAlgorithm};
use crate::der::{BOOLEAN, Der, INTEGER, OCTET_STRING, SEQUENCE, context, context_of_elements};
use crate::pem;
use crate::signature::Numbers;

/// How a text must begin to be taken for PEM.
const PEM_BEGIN: &[u8] = b"-----BEGIN X509 CRL";
const PEM_LABEL: &[u8] = b"X509 CRL";

const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];

/// A list of serial numbers that one CA took back.
#[derive(Debug)]
pub(crate) struct RevocationList {
    /// The part that the CA signed.
    signed: Vec<u8>,
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
    /// Key identifier of the CA; `None` if the list does not say whose it is.
    authority_key_id: Option<Vec<u8>>,
    /// Sorted.
    serials: Vec<Box<[u8]>>,
}

impl RevocationList {
    /// Reads a list in PEM or in plain DER.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let is_pem = bytes.starts_with(PEM_BEGIN);
        let block = is_pem.then(|| pem::Block::first(bytes)).flatten();
        let block = block.filter(|block| block.label == PEM_LABEL);
        let der = block.as_ref().map_or(bytes, |block| &block.content);
        let mut input = Der::new(der);
        let mut outer = input.inner(SEQUENCE).filter(|_| input.is_empty())?;
        let signed = outer.whole(SEQUENCE)?;
        let algorithm = SignatureAlgorithm::read(outer.content(SEQUENCE)?)?;
        let mut signature = outer.bits()?;
        if algorithm.is_ecdsa() {
            signature = Numbers::read(&signature)?.to_der();
        }
        let mut list = Self {
            signed: signed.to_vec(),
            algorithm,
            signature,
            authority_key_id: None,
            serials: Vec::new(),
        };
        list.read_signed(Der::new(signed).inner(SEQUENCE)?)?;
        list.serials.sort_unstable();
        Some(list)
    }

    fn read_signed(&mut self, mut signed: Der<'_>) -> Option<()> {
        if signed.is_next(INTEGER) {
            signed.count()?;
        }
        signed.content(SEQUENCE)?;
        signed.content(SEQUENCE)?;
        signed.time()?;
        let is_end = signed.is_empty();
        if !is_end && !signed.is_next(SEQUENCE) && !signed.is_next(context_of_elements(0)) {
            signed.time()?;
        }
        if let Some(revoked) = signed.optional(SEQUENCE).ok()? {
            let mut revoked = Der::new(revoked);
            while !revoked.is_empty() {
                let mut entry = revoked.inner(SEQUENCE)?;
                self.serials.push(entry.integer()?.into());
                entry.time()?;
            }
        }
        if let Some(extensions) = signed.optional(context_of_elements(0)).ok()? {
            let mut extensions = Der::new(extensions).inner(SEQUENCE)?;
            while !extensions.is_empty() {
                self.read_extension(extensions.inner(SEQUENCE)?)?;
            }
        }
        Some(())
    }

    fn read_extension(&mut self, mut extension: Der<'_>) -> Option<()> {
        let oid = extension.oid()?;
        if extension.is_next(BOOLEAN) {
            extension.boolean()?;
        }
        let value = extension.content(OCTET_STRING)?;
        if oid == AUTHORITY_KEY_ID && self.authority_key_id.is_none() {
            let id = Der::new(value)
                .inner(SEQUENCE)
                .and_then(|mut id| id.optional(context(0)).ok());
            self.authority_key_id = id.map(|id| id.unwrap_or_default().to_vec());
        }
        Some(())
    }

    /// Whether another list is of the same CA, so that one of them can stand in the place of the other.
    pub(crate) fn is_of_the_authority_of(&self, other: &Self) -> bool {
        self.authority_key_id == other.authority_key_id
    }

    /// Whether the list says whose it is. One that does not makes every certificate invalid.
    pub(crate) fn names_authority(&self) -> bool {
        self.authority_key_id.is_some()
    }

    /// Whether this list, signed by `issuer`, takes back `certificate`, which `issuer` signed.
    /// When it was taken back does not matter: it counts at once, as in Fabric.
    pub(crate) fn revokes(&self, certificate: &Certificate, issuer: &Certificate) -> bool {
        let is_of_issuer = self.authority_key_id.is_some()
            && self.authority_key_id == issuer.extensions.subject_key_id;
        let serial = &certificate.serial[..];
        is_of_issuer
            && self
                .serials
                .binary_search_by(|known| (**known).cmp(serial))
                .is_ok()
            && issuer.has_signed(self.algorithm, &self.signed, &self.signature)
    }
}
