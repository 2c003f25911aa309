//! Certificates as Fabric's `cryptogen` makes them, extension by extension.

use std::net::IpAddr;

use time::OffsetDateTime;

use super::key::{Key, KeyError};
use crate::der::{
    GENERALIZED_TIME, OBJECT_IDENTIFIER, OCTET_STRING, PRINTABLE_STRING, UTC_TIME, UTF8_STRING,
    bits, constructed, element, integer, sequence, set,
};

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To sign certificates.
    Authority,
    /// To sign transactions and blocks.
    Signing,
    /// Both ends of TLS.
    Tls,
}

/// The parts of a name, in the order in which they are written.
#[derive(Clone, Debug, Default)]
pub(super) struct Name {
    pub(super) country: String,
    pub(super) province: String,
    pub(super) locality: String,
    pub(super) street: String,
    pub(super) postal_code: String,
    pub(super) organization: String,
    pub(super) units: Vec<String>,
    pub(super) common: String,
}

/// All that a certificate says beside its issuer.
pub(super) struct Content<'a> {
    pub(super) purpose: Purpose,
    pub(super) serial: [u8; 16],
    pub(super) not_before: OffsetDateTime,
    pub(super) not_after: OffsetDateTime,
    /// The name in DER.
    pub(super) subject: &'a [u8],
    pub(super) public_info: Vec<u8>,
    /// Of an authority.
    pub(super) subject_key_id: Option<&'a [u8]>,
    /// Names and addresses of a host.
    pub(super) hosts: &'a [String],
}

/// Who signs.
pub(super) struct Issuer<'a> {
    pub(super) name: &'a [u8],
    /// None where the certificate is the issuer's own.
    pub(super) key_id: Option<&'a [u8]>,
    pub(super) key: &'a Key,
}

/// The signed certificate in DER.
pub(super) fn sign(content: &Content<'_>, issuer: &Issuer<'_>) -> Result<Vec<u8>, KeyError> {
    const VERSION_3: u8 = 2;
    let algorithm = issuer.key.signature_algorithm();
    let to_be_signed = sequence(&[
        element(0xa0, &integer(&[VERSION_3])),
        integer(&content.serial),
        algorithm.clone(),
        issuer.name.to_vec(),
        sequence(&[date(content.not_before), date(content.not_after)]),
        content.subject.to_vec(),
        content.public_info.clone(),
        element(0xa3, &sequence(&extensions(content, issuer))),
    ]);
    let signature = issuer.key.sign(&to_be_signed)?;
    Ok(sequence(&[to_be_signed, algorithm, bits(0, &signature)]))
}

impl Name {
    pub(super) fn to_der(&self) -> Vec<u8> {
        const COUNTRY: u8 = 6;
        const ORGANIZATION: u8 = 10;
        const UNIT: u8 = 11;
        const LOCALITY: u8 = 7;
        const PROVINCE: u8 = 8;
        const STREET: u8 = 9;
        const POSTAL_CODE: u8 = 17;
        const COMMON_NAME: u8 = 3;
        let one = std::slice::from_ref::<String>;
        let parts = [
            (COUNTRY, one(&self.country)),
            (PROVINCE, one(&self.province)),
            (LOCALITY, one(&self.locality)),
            (STREET, one(&self.street)),
            (POSTAL_CODE, one(&self.postal_code)),
            (ORGANIZATION, one(&self.organization)),
            (UNIT, self.units.as_slice()),
            (COMMON_NAME, one(&self.common)),
        ];
        let sets = parts.into_iter().filter_map(|(kind, values)| {
            let values = values.iter().filter(|value| !value.is_empty());
            let attributes: Vec<_> = values.map(|value| attribute(kind, value)).collect();
            (!attributes.is_empty()).then(|| set(attributes))
        });
        sequence(&sets.collect::<Vec<_>>())
    }
}

fn attribute(kind: u8, value: &str) -> Vec<u8> {
    let is_printable =
        |letter: char| letter.is_ascii_alphanumeric() || " '()+,-./:=?".contains(letter);
    let tag = if value.chars().all(is_printable) {
        PRINTABLE_STRING
    } else {
        UTF8_STRING
    };
    sequence(&[
        element(OBJECT_IDENTIFIER, &[0x55, 0x04, kind]),
        element(tag, value.as_bytes()),
    ])
}

/// Two digits of the year until 2049, four from then on.
fn date(date: OffsetDateTime) -> Vec<u8> {
    let date = date.to_offset(time::UtcOffset::UTC);
    let rest = format!(
        "{:02}{:02}{:02}{:02}{:02}Z",
        u8::from(date.month()),
        date.day(),
        date.hour(),
        date.minute(),
        date.second()
    );
    let year = date.year();
    if (1950..2050).contains(&year) {
        element(UTC_TIME, format!("{:02}{rest}", year % 100).as_bytes())
    } else {
        element(GENERALIZED_TIME, format!("{year:04}{rest}").as_bytes())
    }
}

fn extensions(content: &Content<'_>, issuer: &Issuer<'_>) -> Vec<Vec<u8>> {
    const KEY_USAGE: u8 = 15;
    const EXTENDED_KEY_USAGE: u8 = 37;
    const BASIC_CONSTRAINTS: u8 = 19;
    const SUBJECT_KEY_ID: u8 = 14;
    const AUTHORITY_KEY_ID: u8 = 35;
    const ALTERNATIVE_NAMES: u8 = 17;
    // Bits from the left: to sign 0, to encrypt keys 2, to sign certificates 5 and revocation lists 6.
    let (usage, extended, constraints) = match content.purpose {
        Purpose::Authority => (
            bits(1, &[0b1010_0110]),
            vec![CLIENT_AUTHENTICATION, SERVER_AUTHENTICATION],
            sequence(&[vec![0x01, 0x01, 0xff]]),
        ),
        Purpose::Signing => (bits(7, &[0b1000_0000]), vec![], sequence(&[])),
        Purpose::Tls => (
            bits(5, &[0b1010_0000]),
            vec![SERVER_AUTHENTICATION, CLIENT_AUTHENTICATION],
            sequence(&[]),
        ),
    };
    let mut extensions = vec![extension(KEY_USAGE, true, &usage)];
    if !extended.is_empty() {
        let purposes = extended.into_iter().map(purpose).collect::<Vec<_>>();
        extensions.push(extension(EXTENDED_KEY_USAGE, false, &sequence(&purposes)));
    }
    extensions.push(extension(BASIC_CONSTRAINTS, true, &constraints));
    if let Some(id) = content.subject_key_id {
        let id = element(OCTET_STRING, id);
        extensions.push(extension(SUBJECT_KEY_ID, false, &id));
    }
    if let Some(id) = issuer.key_id {
        let id = sequence(&[element(0x80, id)]);
        extensions.push(extension(AUTHORITY_KEY_ID, false, &id));
    }
    if !content.hosts.is_empty() {
        let names = alternative_names(content.hosts);
        extensions.push(extension(ALTERNATIVE_NAMES, false, &names));
    }
    extensions
}

const SERVER_AUTHENTICATION: u8 = 1;
const CLIENT_AUTHENTICATION: u8 = 2;

fn purpose(number: u8) -> Vec<u8> {
    element(
        OBJECT_IDENTIFIER,
        &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, number],
    )
}

fn extension(number: u8, critical: bool, content: &[u8]) -> Vec<u8> {
    let mut parts = vec![element(OBJECT_IDENTIFIER, &[0x55, 0x1d, number])];
    if critical {
        parts.push(vec![0x01, 0x01, 0xff]);
    }
    parts.push(element(OCTET_STRING, content));
    sequence(&parts)
}

/// Names first, then addresses.
fn alternative_names(hosts: &[String]) -> Vec<u8> {
    const DNS_NAME: u8 = 0x82;
    const ADDRESS: u8 = 0x87;
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    for host in hosts {
        match host.parse() {
            Ok(IpAddr::V4(address)) => addresses.push(element(ADDRESS, &address.octets())),
            Ok(IpAddr::V6(address)) => addresses.push(element(ADDRESS, &address.octets())),
            Err(_) => names.push(element(DNS_NAME, host.as_bytes())),
        }
    }
    names.append(&mut addresses);
    constructed(0x30, &names)
}
