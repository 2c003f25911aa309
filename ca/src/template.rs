//! What a certificate says, by the profile that it is asked for with.

use std::net::IpAddr;
use std::time::Duration;

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use yasna::{DERWriterSeq, Tag, construct_der};

use crate::der::{
    COMMON_NAME, COUNTRY, LOCALITY, ORGANIZATION, STATE, UNIT, oid, signed, time, write_algorithm,
    write_extension, write_name, write_time,
};
use crate::error::{Code, Refusal};
use crate::issuer::{Issuer, IssuerFacts};
use crate::settings::{AUTHORITY_LIFE, Settings};
use crate::signing_request::{Chosen, OtherName};

/// Extensions (RFC 5280, section 4.2.1).
const SUBJECT_KEY_ID: &[u64] = &[2, 5, 29, 14];
const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const OTHER_NAMES: &[u64] = &[2, 5, 29, 17];
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const AUTHORITY_KEY_ID: &[u64] = &[2, 5, 29, 35];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
const SERVER: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 1];
const CLIENT: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 2];
/// Where Fabric keeps attributes.
const ATTRIBUTES: &[u64] = &[1, 2, 3, 4, 5, 6, 7, 8, 1];

/// What a key may be used for, as bits of the extension, the first of them the highest.
const DIGITAL_SIGNATURE: u16 = 1 << 15;
const KEY_ENCIPHERMENT: u16 = 1 << 13;
const KEY_AGREEMENT: u16 = 1 << 11;
const CERTIFICATE_SIGN: u16 = 1 << 10;
const CRL_SIGN: u16 = 1 << 9;

/// How long before now a certificate begins: clocks differ.
const BACKDATED: i64 = 5 * 60;

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Signing transactions.
    Identity,
    /// TLS, as server and as client.
    Tls,
    /// Issuing certificates of identities.
    Authority,
}

impl Profile {
    /// The profile of a name.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn of(name: &str) -> Result<Self, Refusal> {
        match name {
            "" | "default" => Ok(Self::Identity),
            "tls" => Ok(Self::Tls),
            "ca" => Ok(Self::Authority),
            _ => {
                let detail = format!("Invalid profile: '{name}'");
                Err(Refusal::new(400, Code::BadSigningRequest, detail))
            }
        }
    }

    fn life(self, settings: &Settings) -> Duration {
        match self {
            Self::Identity | Self::Tls => settings.certificate_life,
            Self::Authority => AUTHORITY_LIFE,
        }
    }

    fn key_usage(self) -> u16 {
        match self {
            Self::Identity => DIGITAL_SIGNATURE,
            Self::Tls => DIGITAL_SIGNATURE | KEY_ENCIPHERMENT | KEY_AGREEMENT,
            Self::Authority => CERTIFICATE_SIGN | CRL_SIGN,
        }
    }
}

/// The seconds in which a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first.
    pub not_before: i64,
    /// The last.
    pub not_after: i64,
}

impl Validity {
    /// As long as the profile says, within the issuer's own.
    #[must_use]
    pub fn of(profile: Profile, settings: &Settings, issuer: &IssuerFacts, now: i64) -> Self {
        let life = i64::try_from(profile.life(settings).as_secs()).unwrap_or(i64::MAX);
        Self {
            not_before: now.saturating_sub(BACKDATED).max(issuer.not_before),
            not_after: now.saturating_add(life).min(issuer.not_after),
        }
    }
}

/// What a certificate says.
#[derive(Debug)]
pub struct Template<'a> {
    /// What it is for.
    pub profile: Profile,
    /// Its number.
    pub serial: [u8; 20],
    /// The subject's name.
    pub common_name: &'a str,
    /// The type and the affiliation, one unit each.
    pub units: Vec<String>,
    /// The rest of the subject.
    pub chosen: &'a Chosen,
    /// When it is good.
    pub validity: Validity,
    /// DER of the public key with its algorithm.
    pub key_info: &'a [u8],
    /// The bits of the public key.
    pub key_bits: &'a [u8],
    /// Other names.
    pub other_names: &'a [OtherName],
    /// JSON of attributes.
    pub attributes: Option<&'a [u8]>,
}

impl Template<'_> {
    /// The certificate, in DER.
    ///
    /// # Errors
    /// If a date cannot be written, or what was written is not read as it was meant.
    pub fn sign(&self, issuer: &dyn Issuer, facts: &IssuerFacts) -> Result<Vec<u8>, Refusal> {
        let not_before = time(self.validity.not_before)?;
        let not_after = time(self.validity.not_after)?;
        let common_name = [self.common_name.to_owned()];
        let subject: [(&[u64], &[String]); 6] = [
            (COUNTRY, &self.chosen.countries),
            (STATE, &self.chosen.states),
            (LOCALITY, &self.chosen.localities),
            (ORGANIZATION, &self.chosen.organizations),
            (UNIT, &self.units),
            (COMMON_NAME, &common_name),
        ];
        let content = construct_der(|writer| {
            writer.write_sequence(|writer| {
                // Version 3.
                writer
                    .next()
                    .write_tagged(Tag::context(0), |writer| writer.write_u8(2));
                writer.next().write_bigint_bytes(&self.serial, true);
                write_algorithm(writer.next());
                writer.next().write_der(&facts.subject);
                writer.next().write_sequence(|writer| {
                    write_time(writer.next(), not_before);
                    write_time(writer.next(), not_after);
                });
                write_name(writer.next(), &subject);
                writer.next().write_der(self.key_info);
                writer.next().write_tagged(Tag::context(3), |writer| {
                    writer.write_sequence(|writer| self.write_extensions(writer, facts));
                });
            });
        });
        let der = signed(&content, &issuer.sign(&content));
        self.check_written(&der)?;
        Ok(der)
    }

    /// Makes sure that a certificate is one, and of this key and nothing beside it.
    fn check_written(&self, der: &[u8]) -> Result<(), Refusal> {
        let read = X509Certificate::from_der(der).ok();
        let read = read.filter(|(rest, _)| rest.is_empty());
        if read.is_some_and(|(_, read)| read.public_key().raw == self.key_info) {
            return Ok(());
        }
        let detail = "a certificate was not written as it was meant";
        Err(Refusal::new(500, Code::Unknown, detail))
    }

    fn write_extensions(&self, writer: &mut DERWriterSeq<'_>, facts: &IssuerFacts) {
        let usage = key_usage(self.profile.key_usage());
        write_extension(writer, KEY_USAGE, true, &usage);
        if self.profile == Profile::Tls {
            let usage = construct_der(|writer| {
                writer.write_sequence(|writer| {
                    writer.next().write_oid(&oid(SERVER));
                    writer.next().write_oid(&oid(CLIENT));
                });
            });
            write_extension(writer, EXTENDED_KEY_USAGE, false, &usage);
        }
        let is_authority = self.profile == Profile::Authority;
        let constraints = construct_der(|writer| {
            writer.write_sequence(|writer| {
                if is_authority {
                    writer.next().write_bool(true);
                    writer.next().write_u8(0);
                }
            });
        });
        write_extension(writer, BASIC_CONSTRAINTS, true, &constraints);
        let key_id = construct_der(|writer| writer.write_bytes(&key_id(self.key_bits)));
        write_extension(writer, SUBJECT_KEY_ID, false, &key_id);
        write_authority_key_id(writer, facts);
        if !self.other_names.is_empty() {
            write_extension(writer, OTHER_NAMES, false, &other_names(self.other_names));
        }
        if let Some(attributes) = self.attributes {
            write_extension(writer, ATTRIBUTES, false, attributes);
        }
    }
}

/// Says which key signed a certificate or a list.
pub(crate) fn write_authority_key_id(writer: &mut DERWriterSeq<'_>, facts: &IssuerFacts) {
    let id = construct_der(|writer| {
        writer.write_sequence(|writer| {
            let writer = writer.next();
            writer.write_tagged_implicit(Tag::context(0), |writer| {
                writer.write_bytes(&facts.key_id);
            });
        });
    });
    write_extension(writer, AUTHORITY_KEY_ID, false, &id);
}

/// What a key is called: the first 20 bytes of its hash, as the organisation's own are.
fn key_id(key_bits: &[u8]) -> Vec<u8> {
    let digest = ring::digest::digest(&ring::digest::SHA256, key_bits);
    digest.as_ref().iter().take(20).copied().collect()
}

fn key_usage(bits: u16) -> Vec<u8> {
    let len = usize::try_from(16 - bits.trailing_zeros()).unwrap_or(16);
    construct_der(|writer| {
        let bytes = bits.to_be_bytes();
        let bytes = bytes.get(..len.div_ceil(8)).unwrap_or(&bytes);
        writer.write_bitvec_bytes(bytes, len);
    })
}

fn other_names(names: &[OtherName]) -> Vec<u8> {
    construct_der(|writer| {
        writer.write_sequence(|writer| {
            for name in names {
                let (tag, bytes) = match name {
                    OtherName::Email(text) => (1, text.as_bytes().to_vec()),
                    OtherName::Dns(text) => (2, text.as_bytes().to_vec()),
                    OtherName::Uri(text) => (6, text.as_bytes().to_vec()),
                    OtherName::Ip(IpAddr::V4(address)) => (7, address.octets().to_vec()),
                    OtherName::Ip(IpAddr::V6(address)) => (7, address.octets().to_vec()),
                };
                let writer = writer.next();
                writer
                    .write_tagged_implicit(Tag::context(tag), |writer| writer.write_bytes(&bytes));
            }
        });
    })
}
