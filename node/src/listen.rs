//! Addresses to listen on: `HOST:PORT` as somebody types it, and what it comes to on this machine.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;

use tokio::net::TcpListener;

/// How often another free port is tried for where a name has several addresses.
const ATTEMPTS: usize = 8;

/// An address as it was typed: a host and a port. Whether there is such a host is found out by
/// [`ListenAddress::resolve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddress {
    host: String,
    port: u16,
}

/// Where Fabric's clients are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GrpcListen {
    Nowhere,
    At(ListenAddress),
}

impl FromStr for GrpcListen {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        match text {
            "none" => Ok(Self::Nowhere),
            address => address.parse().map(Self::At),
        }
    }
}

/// Why a text is no address. It says what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAnAddress {
    #[error("it has no port: write {0}:7080, say, or {0}:0 for a free one")]
    NoPort(String),
    #[error("{0:?} is no port, which is a number from 0 to 65535: 127.0.0.1:7080")]
    Port(String),
    #[error(
        "it has no host: 127.0.0.1:{0} is this machine alone, 0.0.0.0:{0} every address that it has"
    )]
    NoHost(u16),
    #[error("an IPv6 address stands in brackets: [{0}]:7080")]
    NoBrackets(Ipv6Addr),
    #[error("it is a host and a port, as 127.0.0.1:7080, localhost:7080 or [::1]:7080, and no URL")]
    Url,
    #[error("{0:?} is no host: 127.0.0.1:7080, localhost:7080 or [::1]:7080 would be an address")]
    Host(String),
}

/// Why an address is none of this machine's.
#[derive(Debug, thiserror::Error)]
#[error("{flag} {address} is no address: the name is not known")]
pub(crate) struct ResolveError {
    flag: &'static str,
    address: ListenAddress,
    source: io::Error,
}

impl FromStr for ListenAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        if text.contains('/') {
            return Err(NotAnAddress::Url);
        }
        if let Ok(bare) = text.parse::<Ipv6Addr>() {
            return Err(NotAnAddress::NoBrackets(bare));
        }
        if text.is_empty() || text.parse::<u16>().is_ok() {
            return Err(NotAnAddress::NoPort("127.0.0.1".to_owned()));
        }
        let is_whole = text.ends_with(']') && text.starts_with('[');
        let (host, port) = match text.rsplit_once(':') {
            Some(parts) if !is_whole => parts,
            _ => return Err(NotAnAddress::NoPort(text.to_owned())),
        };
        let is_number = !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
        let port = port.parse().ok().filter(|_| is_number);
        let port = port.ok_or_else(|| {
            NotAnAddress::Port(text.rsplit(':').next().unwrap_or_default().to_owned())
        })?;
        let is_host = match host.strip_prefix('[') {
            Some(inner) => inner
                .strip_suffix(']')
                .is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok() || is_scoped(inner)),
            None => is_host(host),
        };
        match host {
            "" => Err(NotAnAddress::NoHost(port)),
            _ if !is_host => Err(NotAnAddress::Host(host.to_owned())),
            _ => Ok(Self {
                host: host.to_owned(),
                port,
            }),
        }
    }
}

/// An address of one link: `fe80::1%2`.
fn is_scoped(inner: &str) -> bool {
    format!("[{inner}]:0").parse::<SocketAddr>().is_ok()
}

/// Whether it is an IPv4 address, or could be a name. What looks like an address that was mistyped is
/// asked of no name server.
fn is_host(host: &str) -> bool {
    let numeric = host
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    if numeric {
        return host.parse::<IpAddr>().is_ok();
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    host.len() <= 253 && host.bytes().all(allowed) && !host.starts_with(['.', '-'])
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl ListenAddress {
    /// The addresses of this host, each once, in the order that the system gives them.
    pub(crate) fn resolve(&self, flag: &'static str) -> Result<Listen, ResolveError> {
        let failed = |source| ResolveError {
            flag,
            address: self.clone(),
            source,
        };
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in self.to_string().to_socket_addrs().map_err(failed)? {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(failed(ErrorKind::NotFound.into()));
        }
        Ok(Listen {
            flag,
            text: self.to_string(),
            addresses,
        })
    }
}

/// What to listen on: one address, or all that a name has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) flag: &'static str,
    /// As it was typed.
    pub(crate) text: String,
    addresses: Vec<SocketAddr>,
}

impl Listen {
    /// Where clients look for a peer of Fabric.
    pub(crate) fn fabric_peer(flag: &'static str) -> Self {
        Self::local(flag, 7051)
    }

    /// Where they look for an orderer.
    pub(crate) fn fabric_orderer(flag: &'static str) -> Self {
        Self::local(flag, 7050)
    }

    fn local(flag: &'static str, port: u16) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            flag,
            text: address.to_string(),
            addresses: vec![address],
        }
    }

    /// What clients call it that listens at `addresses`: by the name that was typed, or else by the first address.
    pub(crate) fn named(&self, addresses: &[SocketAddr]) -> String {
        let Some(first) = addresses.first() else {
            return self.text.clone();
        };
        match self.text.rsplit_once(':') {
            Some((host, _)) if !host.starts_with('[') && host.parse::<IpAddr>().is_err() => {
                format!("{host}:{}", first.port())
            }
            _ => first.to_string(),
        }
    }

    /// Whether another machine may reach any of them.
    pub(crate) fn is_remote(&self) -> bool {
        self.addresses
            .iter()
            .any(|address| !address.ip().is_loopback())
    }

    pub(crate) fn port(&self) -> u16 {
        self.addresses.first().map_or(0, SocketAddr::port)
    }

    /// Listens on all of them, at one port. Of a name that has several, those that this machine does
    /// not have are left out, as `::1` where IPv6 is switched off; a port that somebody else has is
    /// an error, because clients would find either.
    pub(crate) async fn bind(&self) -> io::Result<Vec<TcpListener>> {
        for attempt in 1.. {
            match self.bind_once().await {
                Err(error) if self.is_lost(&error) && attempt < ATTEMPTS => {}
                other => return other,
            }
        }
        Ok(Vec::new())
    }

    /// Whether a port that was free at one address is taken at another.
    fn is_lost(&self, error: &io::Error) -> bool {
        self.port() == 0 && self.addresses.len() > 1 && error.kind() == ErrorKind::AddrInUse
    }

    async fn bind_once(&self) -> io::Result<Vec<TcpListener>> {
        let mut listeners: Vec<TcpListener> = Vec::new();
        let mut absent = None;
        for address in &self.addresses {
            let mut address = *address;
            if let Some(first) = listeners.first() {
                address.set_port(first.local_addr()?.port());
            }
            match TcpListener::bind(address).await {
                Ok(listener) => listeners.push(listener),
                Err(error) if is_absent(&error) => absent = Some(error),
                Err(error) => return Err(error),
            }
        }
        match absent {
            Some(error) if listeners.is_empty() => Err(error),
            _ => Ok(listeners),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether this machine has no such address, or none of its family.
fn is_absent(error: &io::Error) -> bool {
    /// Linux's number for an address family that is switched off.
    const NO_FAMILY: i32 = 97;
    error.kind() == ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(NO_FAMILY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_know_it_by_the_name_that_was_typed_and_by_an_address_where_none_was() {
        let at: SocketAddr = "127.0.0.1:4711".parse().unwrap();
        for (typed, known) in [
            ("peer0.org1.example.com:0", "peer0.org1.example.com:4711"),
            ("localhost:0", "localhost:4711"),
            ("127.0.0.1:0", "127.0.0.1:4711"),
            ("[::1]:0", "127.0.0.1:4711"),
        ] {
            let listen = Listen {
                flag: "--grpc-listen",
                text: typed.to_owned(),
                addresses: vec![at],
            };
            assert_eq!(listen.named(&[at]), known);
        }
    }

    #[test]
    fn an_address_is_a_host_and_a_port_and_anything_else_is_told_what_would_be_right() {
        for text in [
            "127.0.0.1:7080",
            "0.0.0.0:0",
            "[::1]:0",
            "[::]:65535",
            "localhost:7080",
            "node-1.example:7443",
            "my_host:1",
        ] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        for (text, expected) in [
            (":7080", "127.0.0.1:7080 is this machine alone"),
            ("7080", "127.0.0.1:7080"),
            ("localhost", "localhost:7080"),
            ("127.0.0.1", "127.0.0.1:7080"),
            ("[::1]", "[::1]:7080"),
            ("::1", "[::1]:7080"),
            ("::1:7080", "in brackets"),
            ("fe80::1:x", "127.0.0.1:7080"),
            ("http://127.0.0.1:7080", "no URL"),
            ("127.0.0.1:7080/v1", "no URL"),
            ("127.0.0.1:", "0 to 65535"),
            ("127.0.0.1:port", "0 to 65535"),
            ("127.0.0.1:+80", "0 to 65535"),
            ("127.0.0.1:65536", "0 to 65535"),
            ("127.0.0.1:-1", "0 to 65535"),
            ("300.0.0.1:80", "no host"),
            ("127.0.1:80", "no host"),
            ("[localhost]:80", "no host"),
            ("*:80", "no host"),
            ("a b:80", "no host"),
            ("", "it has no port"),
        ] {
            let error = text.parse::<ListenAddress>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_name_is_local_when_all_that_it_comes_to_is() {
        let listen = |addresses: &[&str]| Listen {
            flag: "--listen",
            text: String::new(),
            addresses: addresses.iter().map(|one| one.parse().unwrap()).collect(),
        };
        assert!(!listen(&["127.0.0.1:1", "[::1]:1"]).is_remote());
        assert!(listen(&["127.0.0.1:1", "10.0.0.1:1"]).is_remote());
        assert!(listen(&["[::]:1"]).is_remote());
        let named: ListenAddress = "localhost:0".parse().unwrap();
        assert!(!named.resolve("--listen").unwrap().is_remote());
        // RFC 6761: never a name of anything.
        let nobody: ListenAddress = "nobody.invalid:1".parse().unwrap();
        let error = nobody.resolve("--listen").unwrap_err();
        assert!(error.to_string().contains("--listen nobody.invalid:1"));
    }

    #[tokio::test]
    async fn all_addresses_of_a_name_get_one_port() {
        let listen = Listen {
            flag: "--listen",
            text: "name:0".to_owned(),
            addresses: ["127.0.0.1:0", "127.0.0.2:0"]
                .map(|one| one.parse().unwrap())
                .into(),
        };
        let listeners = listen.bind().await.unwrap();
        let bound: Vec<_> = listeners
            .iter()
            .map(|one| one.local_addr().unwrap())
            .collect();
        assert_eq!(bound.len(), 2);
        assert_eq!(bound[0].port(), bound[1].port());
        // 192.0.2.0/24 is nobody's (RFC 5737): what is not here is left out where something is.
        let some = Listen {
            addresses: ["192.0.2.1:0", "127.0.0.1:0"]
                .map(|one| one.parse().unwrap())
                .into(),
            ..listen.clone()
        };
        assert_eq!(some.bind().await.unwrap().len(), 1);
        let none = Listen {
            addresses: vec!["192.0.2.1:0".parse().unwrap()],
            ..listen.clone()
        };
        assert!(none.bind().await.is_err());
        let taken = Listen {
            addresses: vec![bound[0]],
            ..listen
        };
        assert_eq!(taken.bind().await.unwrap_err().kind(), ErrorKind::AddrInUse);
    }
}
