//! PKCS#10: what somebody who enrols wants signed.

use std::net::IpAddr;

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_X509_COUNTRY_NAME,
    OID_X509_LOCALITY_NAME, OID_X509_ORGANIZATION_NAME, OID_X509_STATE_OR_PROVINCE_NAME, Oid,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};
use yasna::construct_der;

use crate::der::oid;
use crate::error::{Code, Refusal};
use crate::pem;

/// Most other names of a certificate.
const MAX_OTHER_NAMES: usize = 64;
/// Most bytes of one.
const MAX_OTHER_NAME_BYTES: usize = 253;
/// Most values of one kind in a subject.
const MAX_VALUES: usize = 8;

/// Most bytes of a subject's parts (RFC 5280, appendix A.1).
const MAX_COMMON_NAME: usize = 64;
const MAX_ORGANIZATION: usize = 64;
const MAX_COUNTRY: usize = 2;
const MAX_LOCALITY: usize = 128;
const MAX_STATE: usize = 128;

/// `id-ecPublicKey`, and the curves of its keys (RFC 5480).
const EC_PUBLIC_KEY: &[u64] = &[1, 2, 840, 10045, 2, 1];
const P256: &[u64] = &[1, 2, 840, 10045, 3, 1, 7];
const P384: &[u64] = &[1, 3, 132, 0, 34];
/// What a point that is not compressed begins with.
const UNCOMPRESSED: u8 = 4;

/// Another name of a certificate's subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OtherName {
    /// The name of a machine.
    Dns(String),
    /// Its address.
    Ip(IpAddr),
    /// An address of mail.
    Email(String),
    /// A URI.
    Uri(String),
}

impl OtherName {
    /// What a text names, as Fabric CA's clients write hosts.
    #[must_use]
    pub fn of_host(text: &str) -> Self {
        if let Ok(address) = text.parse() {
            return Self::Ip(address);
        }
        if text.contains("://") {
            return Self::Uri(text.to_owned());
        }
        if text.contains('@') {
            return Self::Email(text.to_owned());
        }
        Self::Dns(text.to_owned())
    }

    fn is_writable(&self) -> bool {
        match self {
            Self::Ip(_) => true,
            Self::Dns(text) | Self::Email(text) | Self::Uri(text) => {
                (1..=MAX_OTHER_NAME_BYTES).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_graphic())
            }
        }
    }
}

/// The parts of a subject that the requester chooses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Two letters each.
    pub countries: Vec<String>,
    /// States and provinces.
    pub states: Vec<String>,
    /// Cities.
    pub localities: Vec<String>,
    /// Organisations.
    pub organizations: Vec<String>,
}

/// A request whose signature was found right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningRequest {
    /// The one common name.
    pub common_name: String,
    /// The rest of the subject, units left out: those are not the requester's to choose.
    pub chosen: Chosen,
    /// DER of the public key with its algorithm, written by the CA itself.
    pub key_info: Vec<u8>,
    /// The bits of the public key.
    pub key_bits: Vec<u8>,
    /// Other names.
    pub other_names: Vec<OtherName>,
    /// Whether it wants to be an authority.
    pub wants_authority: bool,
}

impl SigningRequest {
    /// Reads a request in PEM, and makes sure that its key signed it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_pem(text: &str) -> Result<Self, Refusal> {
        let labels = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];
        let der = pem::first(text.as_bytes(), &labels);
        let der = der.ok_or_else(|| bad("it is no PEM block CERTIFICATE REQUEST"))?;
        let (rest, request) =
            X509CertificationRequest::from_der(&der).map_err(|_| bad("it is not PKCS#10"))?;
        if !rest.is_empty() {
            return Err(bad("something follows it"));
        }
        let info = &request.certification_request_info;
        let key = &info.subject_pki;
        let key_info = key_info(key)?;
        let signed = request.verify_signature();
        signed.map_err(|_| bad("its signature is not its key's"))?;
        let mut made = Self {
            common_name: common_name(&info.subject)?,
            chosen: chosen(&info.subject)?,
            key_info,
            key_bits: key.subject_public_key.data.to_vec(),
            other_names: Vec::new(),
            wants_authority: false,
        };
        for extension in request.requested_extensions().into_iter().flatten() {
            made.read_extension(extension);
        }
        check_other_names(&made.other_names)?;
        Ok(made)
    }

    fn read_extension(&mut self, extension: &ParsedExtension<'_>) {
        match extension {
            ParsedExtension::BasicConstraints(constraints) => {
                self.wants_authority |= constraints.ca;
            }
            ParsedExtension::SubjectAlternativeName(names) => {
                let names = names.general_names.iter();
                self.other_names.extend(names.filter_map(other_name));
            }
            _ => {}
        }
    }
}

/// Makes sure that other names can be written into a certificate.
///
/// # Errors
/// If there are too many, or one is empty, too long or not ASCII.
pub fn check_other_names(names: &[OtherName]) -> Result<(), Refusal> {
    if names.len() > MAX_OTHER_NAMES {
        let detail = format!("a certificate has at most {MAX_OTHER_NAMES} other names");
        return Err(bad(&detail));
    }
    if names.iter().all(OtherName::is_writable) {
        return Ok(());
    }
    Err(bad("one of its other names cannot be written"))
}

fn other_name(name: &GeneralName<'_>) -> Option<OtherName> {
    match name {
        GeneralName::DNSName(text) => Some(OtherName::Dns((*text).to_owned())),
        GeneralName::RFC822Name(text) => Some(OtherName::Email((*text).to_owned())),
        GeneralName::URI(text) => Some(OtherName::Uri((*text).to_owned())),
        GeneralName::IPAddress(bytes) => {
            let four: Result<[u8; 4], _> = (*bytes).try_into();
            let sixteen: Result<[u8; 16], _> = (*bytes).try_into();
            let four = four.map(IpAddr::from);
            let address = four.or_else(|_| sixteen.map(IpAddr::from));
            address.ok().map(OtherName::Ip)
        }
        _ => None,
    }
}

/// A key of those that identities of Fabric sign with, written anew: the parser passes over bytes that a
/// requester put after the key, and in a certificate those would be read as what the CA says.
fn key_info(key: &SubjectPublicKeyInfo<'_>) -> Result<Vec<u8>, Refusal> {
    let curve = key.algorithm.parameters.as_ref();
    let curve = curve.and_then(|curve| curve.as_oid().ok());
    let curve = curve.filter(|_| key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY);
    let (curve, coordinate_bytes) = match curve {
        Some(curve) if curve == OID_EC_P256 => (P256, 32),
        Some(curve) if curve == OID_NIST_EC_P384 => (P384, 48),
        _ => return Err(bad("its key is not ECDSA on P-256 or P-384")),
    };
    let bits = &key.subject_public_key;
    let point: &[u8] = &bits.data;
    if bits.unused_bits != 0
        || point.len() != 1 + 2 * coordinate_bytes
        || point.first() != Some(&UNCOMPRESSED)
    {
        return Err(bad("its key is no uncompressed point of its curve"));
    }
    let written = construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_sequence(|writer| {
                writer.next().write_oid(&oid(EC_PUBLIC_KEY));
                writer.next().write_oid(&oid(curve));
            });
            writer.next().write_bitvec_bytes(point, point.len() * 8);
        });
    });
    if written != key.raw {
        return Err(bad("something else is with its key"));
    }
    Ok(written)
}

fn common_name(subject: &X509Name<'_>) -> Result<String, Refusal> {
    let mut names = subject.iter_common_name();
    let first = names.next().and_then(|name| name.as_str().ok());
    let first = first.filter(|_| names.next().is_none());
    let name = first.ok_or_else(|| bad("its subject has not one common name"))?;
    within("common name", name, MAX_COMMON_NAME)?;
    Ok(name.to_owned())
}

fn chosen(subject: &X509Name<'_>) -> Result<Chosen, Refusal> {
    let values = |oid: &Oid<'_>, what: &str, most: usize| {
        let values = subject.iter_by_oid(oid);
        let texts: Vec<_> = values.filter_map(|value| value.as_str().ok()).collect();
        if texts.len() > MAX_VALUES {
            return Err(too_long(what, MAX_VALUES));
        }
        let texts = texts.into_iter().filter(|text| !text.is_empty());
        texts
            .map(|text| within(what, text, most).map(|()| text.to_owned()))
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(Chosen {
        countries: values(&OID_X509_COUNTRY_NAME, "country", MAX_COUNTRY)?,
        states: values(&OID_X509_STATE_OR_PROVINCE_NAME, "state", MAX_STATE)?,
        localities: values(&OID_X509_LOCALITY_NAME, "locality", MAX_LOCALITY)?,
        organizations: values(
            &OID_X509_ORGANIZATION_NAME,
            "organization",
            MAX_ORGANIZATION,
        )?,
    })
}

fn within(what: &str, text: &str, most: usize) -> Result<(), Refusal> {
    if text.len() <= most {
        return Ok(());
    }
    Err(too_long(what, most))
}

fn too_long(what: &str, most: usize) -> Refusal {
    let detail = format!("CSR input validation failed: the {what} exceeds the limit of {most}");
    Refusal::new(400, Code::InvalidSubject, detail)
}

fn bad(what: &str) -> Refusal {
    let detail = format!("The certificate signing request cannot be used: {what}");
    Refusal::new(400, Code::BadSigningRequest, detail)
}

#[cfg(test)]
mod tests;
