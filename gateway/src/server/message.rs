//! Rules for every request that came over a connection: it must have one host, and no other coding than
//! chunks (RFC 9112, sections 3.2 and 6.1; RFC 9113, section 8.3.1).
//!
//! A missing or doubtful host matters: browsers cannot leave it out, and the permission of a request may
//! depend on it.

use axum::extract::Request;
use axum::http::{Version, header};

use super::client_info::ClientInfo;
use crate::problem::Problem;
use crate::request::grammar::{elements, text};

/// Refuses a request that cannot be meant as it is.
pub(crate) fn check(request: &Request) -> Result<(), Problem> {
    // A request that was handed over in memory needs no host.
    if request.extensions().get::<ClientInfo>().is_none() {
        return Ok(());
    }
    check_host(request)?;
    let headers = request.headers();
    let codings = headers.get_all(header::TRANSFER_ENCODING).iter().map(text);
    let codings: Vec<_> = codings.collect();
    let mut codings = codings.iter().flat_map(|list| elements(list));
    if codings.any(|coding| !coding.eq_ignore_ascii_case("chunked")) {
        return Err(Problem::invalid_argument(
            "Transfer-Encoding is something else than chunked.",
        ));
    }
    Ok(())
}

fn check_host(request: &Request) -> Result<(), Problem> {
    let bad = |detail: &str| Err(Problem::invalid_argument(detail));
    let hosts = request.headers().get_all(header::HOST);
    let authority = request
        .uri()
        .authority()
        .map(axum::http::uri::Authority::as_str);
    let hosts: Vec<_> = hosts.iter().map(text).collect();
    let mut all = hosts.iter().map(AsRef::as_ref).chain(authority);
    if !all.all(is_host) {
        return bad("Host is not a host with or without a port.");
    }
    let is_missing = match request.version() {
        // These versions need no host, and no current browser uses them.
        Version::HTTP_09 | Version::HTTP_10 => false,
        // The target may name a host too, but does not replace the header.
        Version::HTTP_11 => hosts.is_empty(),
        _ => hosts.is_empty() && authority.is_none(),
    };
    if is_missing {
        return bad("The request has no Host.");
    }
    Ok(())
}

/// Refuses a request that names two hosts, even if both are the same: a proxy may have used the other one.
/// This is checked after the hosts are known not to be strangers.
pub(crate) fn check_one_host(request: &Request) -> Result<(), Problem> {
    let hosts = request.headers().get_all(header::HOST);
    let mut hosts = hosts.iter().map(text);
    let (first, second) = (hosts.next(), hosts.next());
    let authority = request.uri().authority();
    // In HTTP/1.1 the target counts, and Host must be ignored (RFC 9112, section 3.2.2).
    let is_http2 = request.version() >= Version::HTTP_2;
    let differs = is_http2
        && first
            .zip(authority)
            .is_some_and(|(host, authority)| !host.eq_ignore_ascii_case(authority.as_str()));
    if second.is_some() || differs {
        return Err(Problem::invalid_argument("The request has two hosts."));
    }
    Ok(())
}

/// `uri-host [ ":" port ]` of RFC 3986, not empty, and without user information before it.
fn is_host(text: &str) -> bool {
    let name = match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => text,
    };
    let literal = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let (inside, marks) = match literal {
        Some(inside) => (inside, ":.%-_~".as_bytes()),
        None => (name, "-._~!$&'()*+,;=%".as_bytes()),
    };
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || marks.contains(&byte);
    !inside.is_empty() && inside.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for (text, expected) in [
            ("127.0.0.1:7080", true),
            ("localhost", true),
            ("ledger_1.example:", true),
            ("[::1]:7080", true),
            ("[fe80::1%25eth0]", true),
            ("", false),
            (":7080", false),
            ("::1", false),
            ("[]", false),
            ("[::1", false),
            ("localhost:http", false),
            ("user@localhost", false),
            ("localhost/path", false),
            ("local host", false),
            ("localhost, elsewhere", false),
            ("h\u{fffd}st", false),
        ] {
            assert_eq!(is_host(text), expected, "{text}");
        }
    }
}
