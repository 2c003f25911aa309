//! Certificate revocation lists.

use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::certificate::Certificate;
use crate::pem;

/// A list of serial numbers that one CA took back.
#[derive(Debug)]
pub(crate) struct RevocationList {
    der: Vec<u8>,
    /// Key identifier of the CA.
    authority_key_id: Vec<u8>,
    /// Sorted.
    serials: Vec<Vec<u8>>,
}

impl RevocationList {
    /// Reads a list in PEM or in plain DER; one that does not say which key signed it is none.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let der = pem::first_block(bytes, "X509 CRL").unwrap_or_else(|| bytes.to_vec());
        let (authority_key_id, serials) = {
            let list = parse(&der)?;
            let authority_key_id =
                list.extensions().iter().find_map(|extension| {
                    match extension.parsed_extension() {
                        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref(),
                        _ => None,
                    }
                })?;
            let mut serials: Vec<_> = list
                .iter_revoked_certificates()
                .map(|revoked| revoked.raw_serial().to_vec())
                .collect();
            serials.sort_unstable();
            (authority_key_id.0.to_vec(), serials)
        };
        Some(Self {
            der,
            authority_key_id,
            serials,
        })
    }

    /// Whether this list, signed by `issuer`, takes back `certificate`, which `issuer` signed.
    /// When it was taken back does not matter: it counts at once, as in Fabric.
    pub(crate) fn revokes(&self, certificate: &Certificate, issuer: &Certificate) -> bool {
        issuer.subject_key_id.as_deref() == Some(&self.authority_key_id)
            && self.serials.binary_search(&certificate.serial).is_ok()
            && self.is_signed_by(issuer)
    }

    fn is_signed_by(&self, issuer: &Certificate) -> bool {
        let (Some(list), Some(key)) = (parse(&self.der), issuer.key_info()) else {
            return false;
        };
        list.verify_signature(&key).is_ok()
    }
}

fn parse(der: &[u8]) -> Option<CertificateRevocationList<'_>> {
    let (rest, list) = CertificateRevocationList::from_der(der).ok()?;
    rest.is_empty().then_some(list)
}
