//! Without credentials only this machine's own programs are served.
//!
//! A web page of a stranger can make a browser on this machine send requests here, and a proxy
//! can pass on those of the world. Both are told by their headers.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, header};

use crate::limits::Limits;
use crate::problem::{Problem, ProblemKind};

/// Whoever sends one of these passes on a request of somebody else.
const FORWARDED: [HeaderName; 5] = [
    header::FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-port"),
];

/// Refuses what did not come from here.
pub(crate) fn check(request: &Request, limits: &Limits) -> Result<(), Problem> {
    if !limits.local_only {
        return Ok(());
    }
    let headers = request.headers();
    // HTTP/2 has the host in the target.
    let host = match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => text(headers, &header::HOST)?,
    };
    if host.is_some_and(|host| !is_loopback(host)) {
        return Err(forbidden("Host is not this machine."));
    }
    if let Some(origin) = text(headers, &header::ORIGIN)? {
        let own = origin
            .strip_prefix("http://")
            .or(origin.strip_prefix("https://"));
        if own.is_none() || own != host {
            return Err(forbidden("Origin is another site."));
        }
    }
    if FORWARDED.iter().any(|name| headers.contains_key(name)) {
        return Err(forbidden("The request was forwarded."));
    }
    Ok(())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let value = headers.get(name).map(|value| value.to_str());
    value
        .transpose()
        .map_err(|_| forbidden("A header is not ASCII."))
}

/// Whether `host`, with or without a port, is this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    match bare {
        Some(address) => address
            .parse()
            .is_ok_and(|ip: std::net::Ipv6Addr| ip.is_loopback()),
        None => {
            name.eq_ignore_ascii_case("localhost")
                || name
                    .parse()
                    .is_ok_and(|ip: std::net::Ipv4Addr| ip.is_loopback())
        }
    }
}

fn forbidden(what: &str) -> Problem {
    let detail = format!("{what} Without authentication only local programs are served.");
    Problem::new(ProblemKind::Forbidden, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn only_what_comes_from_here_is_served() {
        let rows: [(&[(&str, &str)], bool); 14] = [
            (&[], true),
            (&[("host", "127.0.0.1:7080")], true),
            (&[("host", "127.0.0.1")], true),
            (&[("host", "localhost:7080")], true),
            (&[("host", "[::1]:7080")], true),
            (&[("host", "[::1]")], true),
            (&[("host", "elsewhere.example")], false),
            (&[("host", "localhost.elsewhere.example:7080")], false),
            (&[("host", "10.0.0.1:7080")], false),
            (
                &[("host", "localhost:1"), ("origin", "http://localhost:1")],
                true,
            ),
            (
                &[("host", "localhost:1"), ("origin", "http://localhost:2")],
                false,
            ),
            (&[("host", "localhost:1"), ("origin", "null")], false),
            (&[("forwarded", "for=10.0.0.1")], false),
            (&[("x-forwarded-for", "10.0.0.1")], false),
        ];
        for (headers, expected) in rows {
            let mut request = axum::http::Request::get("/v1/channels");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let verdict = check(&request.body(Body::empty()).unwrap(), &Limits::default());
            assert_eq!(verdict.is_ok(), expected, "{headers:?}");
        }
    }
}
