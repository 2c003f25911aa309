//! The node that invites: where it is, who vouches for it, and what it answers.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::net::ToSocketAddrs as _;
use std::path::PathBuf;

use clap::Args;
use quire_gateway::joining::GrantedAdmission;
use quire_tools::client::{self, Call, ClientError, Tls};
use serde::{Deserialize, Serialize};

use crate::clock;

/// Most bytes of a token, and of the file that it is in.
const MAX_TOKEN_BYTES: usize = 1024;
/// Most characters that are told of what a node says.
const MAX_TOLD_CHARS: usize = 1000;

/// Where the node is that invites, and the token that it gave.
#[derive(Clone, Debug, Args)]
pub(super) struct AskArguments {
    /// Where a node of the organisation is: http://HOST:PORT or https://HOST:PORT.
    url: String,
    /// The token that `quire org invite` printed there. Others see the command line: --token-file.
    #[arg(
        long,
        value_name = "TOKEN",
        conflicts_with = "token_file",
        required_unless_present = "token_file"
    )]
    token: Option<String>,
    /// The file with that token.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The authorities, PEM, that vouch for the node at an https URL.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Send the token in plain to a node that is not on this machine: whoever is on the way can become a node in this
    /// one's place.
    #[arg(long)]
    insecure_plain_http: bool,
}

/// Why the node did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("{0:?} is no address of a node, as https://node1.example.com:7080 is")]
    Url(String),
    #[error("{} cannot be read", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} has more than {MAX_TOKEN_BYTES} bytes, and holds no token", .0.display())]
    NoToken(PathBuf),
    #[error("an https URL needs --ca-file: the authorities that vouch for the node there")]
    NoAuthorities,
    #[error("--ca-file makes no sense with a URL of plain HTTP")]
    PlainAndAuthorities,
    #[error("{0} is not this machine, and the token would cross the network in plain")]
    Plain(String),
    #[error("the node at {url} cannot be asked")]
    Client { url: String, source: ClientError },
    #[error("the node at {url} refuses ({status} {code}): {detail}")]
    Refused {
        url: String,
        status: u16,
        code: String,
        detail: String,
    },
    #[error("the answer of {url} is none of a node (status {status})")]
    Stranger { url: String, status: u16 },
}

impl AskError {
    pub(super) fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Plain(_) => {
                Some("Give an https URL and --ca-file, or accept that with --insecure-plain-http.")
            }
            Self::Refused { status: 401, .. } => {
                Some("`quire org invite NAME` prints another one, at the node that has the CA.")
            }
            Self::Refused { code, .. } if code == "INVITATION_USED" => Some(
                "If it was not your node that used it, somebody else has the token: revoke what it was given.",
            ),
            _ => None,
        }
    }
}

/// What is asked.
#[derive(Serialize)]
struct Question<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    requests: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    channels: &'a [String],
}

/// What is read of a problem document.
#[derive(Deserialize)]
struct Problem {
    code: String,
    #[serde(default)]
    detail: String,
}

/// Where a node is.
struct Place<'a> {
    is_tls: bool,
    host: &'a str,
    /// With the port.
    address: String,
}

/// The node that invites.
pub(super) struct Inviting {
    url: String,
    /// One after the other is dialled until somebody is there.
    addresses: Vec<String>,
    tls: Option<Tls>,
    token: String,
}

impl Inviting {
    /// Asks for certificates, if there are requests for them, and for the first blocks of channels.
    pub(super) fn ask(
        self,
        requests: &BTreeMap<String, String>,
        channels: &[String],
    ) -> Result<GrantedAdmission, AskError> {
        let question = Question { requests, channels };
        // A document of texts can be written.
        let text = serde_json::to_vec(&question).unwrap_or_default();
        let call = || Call::post("/v1/join".to_owned(), &self.token, text.clone());
        let mut reply = Err(ClientError::Address(self.url.clone()));
        for address in &self.addresses {
            reply = client::send(address, self.tls.clone(), call());
            if !matches!(reply, Err(ClientError::Connect { .. })) {
                break;
            }
        }
        let url = || self.url.clone();
        let reply = reply.map_err(|source| AskError::Client { url: url(), source })?;
        let status = reply.status;
        if status == 200 {
            let granted = serde_json::from_slice(&reply.body);
            return granted.map_err(|_| AskError::Stranger { url: url(), status });
        }
        match serde_json::from_slice(&reply.body) {
            Ok(Problem { code, detail }) => Err(AskError::Refused {
                url: url(),
                status,
                code: printable(&code),
                detail: printable(&detail),
            }),
            Err(_) => Err(AskError::Stranger { url: url(), status }),
        }
    }
}

/// What a node says, for a terminal that obeys control characters.
fn printable(text: &str) -> String {
    let mut shown = String::new();
    for one in text.chars().take(MAX_TOLD_CHARS) {
        if one.is_control() {
            shown.extend(one.escape_default());
        } else {
            shown.push(one);
        }
    }
    shown
}

impl AskArguments {
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Makes sure that the node can be asked. Nobody is dialled yet.
    pub(super) fn check(&self) -> Result<Inviting, AskError> {
        let place = self.place()?;
        // A name that is asked for again may be another machine's by then.
        let here = if place.is_tls {
            Vec::new()
        } else {
            addresses_here(&place.address)
        };
        let tls = self.tls(&place, &here)?;
        Ok(Inviting {
            url: self.url.clone(),
            tls,
            addresses: if here.is_empty() {
                vec![place.address]
            } else {
                here
            },
            token: self.token()?,
        })
    }

    fn place(&self) -> Result<Place<'_>, AskError> {
        let wrong = || AskError::Url(self.url.clone());
        let (scheme, rest) = self.url.split_once("://").ok_or_else(wrong)?;
        let is_tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(wrong()),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.is_empty() || authority.contains(['/', '?', '#', '@', ' ']) {
            return Err(wrong());
        }
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port {
            authority.to_owned()
        } else {
            format!("{authority}:{}", if is_tls { 443 } else { 80 })
        };
        let host = authority.rsplit_once(':').filter(|_| has_port);
        let host = host.map_or(authority, |(host, _)| host);
        Ok(Place {
            is_tls,
            host: host.trim_start_matches('[').trim_end_matches(']'),
            address,
        })
    }

    /// Whom to trust; the token goes in plain to this machine alone.
    fn tls(&self, place: &Place<'_>, here: &[String]) -> Result<Option<Tls>, AskError> {
        match (&self.ca_file, place.is_tls) {
            (Some(path), true) => Ok(Some(Tls {
                authorities: read(path, usize::MAX)?,
                client: None,
                now: clock::now(),
            })),
            (None, true) => Err(AskError::NoAuthorities),
            (Some(_), false) => Err(AskError::PlainAndAuthorities),
            (None, false) if self.insecure_plain_http || !here.is_empty() => Ok(None),
            (None, false) => Err(AskError::Plain(place.host.to_owned())),
        }
    }

    fn token(&self) -> Result<String, AskError> {
        let path = match (&self.token, &self.token_file) {
            (Some(token), _) => return Ok(token.clone()),
            (None, Some(path)) => path,
            (None, None) => return Ok(String::new()),
        };
        let text = read(path, MAX_TOKEN_BYTES)?;
        let text = String::from_utf8(text).map_err(|_| AskError::NoToken(path.clone()))?;
        Ok(text.trim().to_owned())
    }
}

fn read(path: &PathBuf, most: usize) -> Result<Vec<u8>, AskError> {
    const MOST: u64 = 1 << 20;
    let limit = u64::try_from(most).unwrap_or(MOST).min(MOST);
    let mut content = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut content));
    read.map_err(|source| AskError::File {
        path: path.clone(),
        source,
    })?;
    if content.len() as u64 > limit {
        return Err(AskError::NoToken(path.clone()));
    }
    Ok(content)
}

/// The addresses of a host with a port, where all of them are this machine's own; else none.
fn addresses_here(address: &str) -> Vec<String> {
    let found: Vec<_> = address.to_socket_addrs().into_iter().flatten().collect();
    if !found.iter().all(|one| one.ip().is_loopback()) {
        return Vec::new();
    }
    found.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> AskArguments {
        AskArguments {
            url: url.to_owned(),
            token: Some("t".to_owned()),
            token_file: None,
            ca_file: None,
            insecure_plain_http: false,
        }
    }

    #[test]
    fn a_url_names_a_host_and_perhaps_a_port() {
        for (url, address) in [
            ("http://127.0.0.1:7080", "127.0.0.1:7080"),
            ("http://localhost:7080/", "localhost:7080"),
            ("https://node1.example.com", "node1.example.com:443"),
            ("http://[::1]:1", "[::1]:1"),
            ("http://h", "h:80"),
        ] {
            let arguments = at(url);
            assert_eq!(arguments.place().unwrap().address, address, "{url}");
        }
        for url in [
            "",
            "h:1",
            "ftp://h",
            "http://",
            "http://u@h",
            "http://h/v1",
            "http://h?x",
        ] {
            assert!(at(url).place().is_err(), "{url}");
        }
    }

    #[test]
    fn what_is_dialled_in_plain_is_what_was_found_to_be_here() {
        let here = addresses_here("localhost:7080");
        assert!(!here.is_empty());
        let mut addresses = here.iter().map(|one| one.parse::<std::net::SocketAddr>());
        assert!(addresses.all(|one| one.unwrap().ip().is_loopback()));
        assert_eq!(at("http://localhost:7080").check().unwrap().addresses, here);
        assert!(addresses_here("192.0.2.1:1").is_empty());
    }

    #[test]
    fn what_a_node_says_moves_no_cursor() {
        assert_eq!(printable("Nö.\u{1b}[2J\n"), "Nö.\\u{1b}[2J\\n");
        assert_eq!(
            printable(&"x".repeat(MAX_TOLD_CHARS + 1)).len(),
            MAX_TOLD_CHARS
        );
    }

    #[test]
    fn a_token_goes_in_plain_to_this_machine_alone() {
        let tls = |arguments: &AskArguments| {
            let place = arguments.place().unwrap();
            let here = addresses_here(&place.address);
            arguments.tls(&place, &here).map(|tls| tls.is_some())
        };
        for url in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"] {
            assert!(!tls(&at(url)).unwrap(), "{url}");
        }
        let elsewhere = at("http://192.0.2.1:1");
        assert!(matches!(tls(&elsewhere), Err(AskError::Plain(_))));
        let accepted = AskArguments {
            insecure_plain_http: true,
            ..elsewhere
        };
        assert!(!tls(&accepted).unwrap());
        let unknown = tls(&at("https://192.0.2.1:1"));
        assert!(matches!(unknown, Err(AskError::NoAuthorities)));
    }
}
