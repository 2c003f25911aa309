//! A certificate as the registry remembers it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A certificate that was issued.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateRecord {
    /// Its number, in hex without leading zeros.
    pub serial: String,
    /// The key that signed it, likewise.
    pub authority_key_id: String,
    /// The identity it was issued to.
    pub owner: String,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
    /// The certificate itself.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub der: Vec<u8>,
    /// When and why it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revoked>,
}

/// When and why a certificate was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// Seconds since 1970.
    pub at: i64,
    /// RFC 5280's number of the reason.
    pub reason: u8,
}

impl CertificateRecord {
    /// Whether its time is over at that second.
    #[must_use]
    pub fn is_expired(&self, second: i64) -> bool {
        self.not_after < second
    }
}

/// A number or key in hex as the registry has it: lower case, no colons, no leading zeros.
#[must_use]
pub fn plain_hex(text: &str) -> String {
    let digits: String = text
        .chars()
        .filter(|char| *char != ':')
        .map(|char| char.to_ascii_lowercase())
        .collect();
    digits.trim_start_matches('0').to_owned()
}

fn to_base64<S: Serializer>(der: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(der))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}
