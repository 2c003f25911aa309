//! `connection.json`: where a chaincode that is a service answers.

use std::fmt;
use std::time::Duration;

use quire_identity::config::parse_duration;
use serde_json::{Value, json};

use super::archive::ArchiveError;
use super::members;

/// How long to try to connect where the file does not say.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
const MEMBERS: [&str; 8] = [
    "address",
    "domain",
    "dial_timeout",
    "tls_required",
    "client_auth_required",
    "client_key",
    "client_cert",
    "root_cert",
];

/// Where a chaincode that is a service answers, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// `host:port`.
    pub address: String,
    /// How long to try to connect.
    pub dial_timeout: Duration,
    /// How it is known that it is the chaincode; none where the connection is in the clear.
    pub tls: Option<ConnectionTls>,
}

/// TLS of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionTls {
    /// PEM certificates of those who may vouch for the chaincode.
    pub root_cert: String,
    /// What to show it; none where it does not ask.
    pub client: Option<ClientPair>,
}

/// Certificate and key for a chaincode that asks who connects.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientPair {
    /// PEM.
    pub certificate: String,
    /// PEM.
    pub key: String,
    /// The name that its certificate has, where that is not the host of the address. Fabric goes by it only
    /// beside a client's certificate.
    pub domain: Option<String>,
}

/// Why a `connection.json` cannot be gone by.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The code that it should be in is no archive.
    #[error(transparent)]
    Code(#[from] ArchiveError),
    /// It has more bytes than anybody needs.
    #[error("connection.json has more than {0} bytes")]
    TooLarge(u64),
    /// It is no JSON object with these members.
    #[error("malformed connection.json: {0}")]
    Json(#[from] serde_json::Error),
    /// The time is none.
    #[error("malformed connection.json: dial_timeout is no duration of 0 or more, such as \"10s\"")]
    DialTimeout,
    /// There is no address.
    #[error("chaincode address not provided")]
    NoAddress,
    /// The address cannot be dialled.
    #[error("chaincode address {0:?} is not host:port")]
    Address(String),
    /// A client's key is called for.
    #[error("chaincode tls key not provided")]
    NoKey,
    /// A client's certificate is called for.
    #[error("chaincode tls cert not provided")]
    NoCertificate,
    /// TLS is called for.
    #[error("chaincode tls root cert not provided")]
    NoRoot,
}

/// The file's members.
#[derive(Default)]
struct File {
    address: String,
    domain: String,
    dial_timeout: Duration,
    tls_required: bool,
    client_auth_required: bool,
    client_key: String,
    client_cert: String,
    root_cert: String,
}

impl Connection {
    /// Reads a `connection.json`.
    ///
    /// # Errors
    /// If it is none, or something is missing in it.
    pub fn read(text: &[u8]) -> Result<Self, ConnectionError> {
        let file = File::read(text)?;
        check_address(&file.address)?;
        let dial_timeout = match file.dial_timeout {
            Duration::ZERO => DIAL_TIMEOUT,
            given => given,
        };
        let tls = file
            .tls_required
            .then(|| ConnectionTls::of(&file))
            .transpose()?;
        Ok(Self {
            address: file.address,
            dial_timeout,
            tls,
        })
    }

    /// The file's text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let tls = self.tls.as_ref();
        let client = tls.and_then(|tls| tls.client.as_ref());
        let pem = |pem: Option<&String>| pem.cloned().unwrap_or_default();
        let domain = client.and_then(|client| client.domain.as_ref());
        json!({
            "address": self.address,
            "domain": pem(domain),
            "dial_timeout": format!("{}ns", self.dial_timeout.as_nanos()),
            "tls_required": tls.is_some(),
            "client_auth_required": client.is_some(),
            "client_key": pem(client.map(|client| &client.key)),
            "client_cert": pem(client.map(|client| &client.certificate)),
            "root_cert": pem(tls.map(|tls| &tls.root_cert)),
        })
        .to_string()
    }
}

impl ConnectionTls {
    fn of(file: &File) -> Result<Self, ConnectionError> {
        if file.client_auth_required && file.client_key.is_empty() {
            return Err(ConnectionError::NoKey);
        }
        if file.client_auth_required && file.client_cert.is_empty() {
            return Err(ConnectionError::NoCertificate);
        }
        if file.root_cert.is_empty() {
            return Err(ConnectionError::NoRoot);
        }
        let client = file.client_auth_required.then(|| ClientPair {
            certificate: file.client_cert.clone(),
            key: file.client_key.clone(),
            domain: (!file.domain.is_empty()).then(|| file.domain.clone()),
        });
        Ok(Self {
            root_cert: file.root_cert.clone(),
            client,
        })
    }
}

impl File {
    fn read(text: &[u8]) -> Result<Self, ConnectionError> {
        let mut file = Self::default();
        for (name, value) in members::read(text, &MEMBERS)? {
            let member = match name {
                "dial_timeout" => {
                    file.dial_timeout = duration(&value).ok_or(ConnectionError::DialTimeout)?;
                    continue;
                }
                "tls_required" | "client_auth_required" => {
                    let flag = members::flag(name, &value)?;
                    match name {
                        "tls_required" => file.tls_required = flag.unwrap_or(file.tls_required),
                        _ => file.client_auth_required = flag.unwrap_or(file.client_auth_required),
                    }
                    continue;
                }
                "address" => &mut file.address,
                "domain" => &mut file.domain,
                "client_key" => &mut file.client_key,
                "client_cert" => &mut file.client_cert,
                _ => &mut file.root_cert,
            };
            if let Some(text) = members::text(name, value)? {
                *member = text;
            }
        }
        Ok(file)
    }
}

/// A text in Go's notation, or a number of nanoseconds.
fn duration(value: &Value) -> Option<Duration> {
    match value {
        Value::String(text) => parse_duration(text),
        Value::Number(nanos) => Duration::try_from_secs_f64(nanos.as_f64()? / 1e9).ok(),
        _ => None,
    }
}

fn check_address(address: &str) -> Result<(), ConnectionError> {
    if address.is_empty() {
        return Err(ConnectionError::NoAddress);
    }
    let parts = address.rsplit_once(':');
    let is_good = parts.is_some_and(|(host, port)| {
        let is_host = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
        let port_digits = port.bytes().all(|byte| byte.is_ascii_digit());
        !host.is_empty() && host.bytes().all(is_host) && port_digits && port.parse::<u16>().is_ok()
    });
    if !is_good {
        return Err(ConnectionError::Address(address.to_owned()));
    }
    Ok(())
}

impl fmt::Debug for ClientPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientPair").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "connection/tests.rs"]
mod tests;
