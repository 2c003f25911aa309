//! Whom a request's headers give away: web pages of strangers, and those behind a proxy.
//!
//! A web page can make a browser on this machine send requests here, and a proxy can pass on those
//! of the world. While nobody has to show a credential, only this machine's own programs are
//! served; and a page of another site is refused in any case, because browsers show remembered
//! passwords and client certificates without being asked.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, header};

use crate::gateway::Gateway;
use crate::grammar;
use crate::problem::{Problem, ProblemKind};

/// What a proxy adds, and what all of its other additions begin with.
const FORWARDED: &str = "forwarded";
const X_FORWARDED: &str = "x-forwarded-";

/// Refuses what did not come from here, or came from a page of another site.
pub(crate) fn check(request: &Request, gateway: &Gateway) -> Result<(), Problem> {
    let headers = request.headers();
    // HTTP/2 has the host in the target, and both may be there.
    let authority = request
        .uri()
        .authority()
        .map(axum::http::uri::Authority::as_str);
    // What needs a credential at a door for other machines is refused without one later on.
    let is_local = gateway.limits.local_only && !gateway.door.is_remote();
    if is_local && !gateway.backend.authentication_required() {
        check_local(headers, authority)?;
    }
    let host = match authority {
        Some(authority) => Some(authority),
        None => text(headers, &header::HOST)?,
    };
    if let Some(origin) = text(headers, &header::ORIGIN)? {
        let own = origin
            .strip_prefix("http://")
            .or(origin.strip_prefix("https://"));
        let is_own = own.zip(host);
        let is_own = is_own.is_some_and(|(own, host)| own.eq_ignore_ascii_case(host));
        // Of two origins, the other one may be the page's.
        let is_one = headers.get_all(header::ORIGIN).iter().count() == 1;
        if !is_one || !is_own && gateway.cors.origin(headers).is_none() {
            return Err(forbidden(
                "Origin is another site; --cors-origin names those that may ask.",
            ));
        }
    }
    Ok(())
}

fn check_local(headers: &HeaderMap, authority: Option<&str>) -> Result<(), Problem> {
    const WHY: &str = "Without authentication only local programs are served.";
    let hosts = headers.get_all(header::HOST).iter().map(grammar::text);
    // Of several, a proxy or browser may have meant any.
    let are_ours = hosts.into_iter().all(|host| is_loopback(&host));
    if !are_ours || authority.is_some_and(|host| !is_loopback(host)) {
        return Err(forbidden(format!("Host is not this machine. {WHY}")));
    }
    let is_forwarded = |name: &HeaderName| {
        let name = name.as_str();
        name == FORWARDED || name.starts_with(X_FORWARDED)
    };
    if headers.keys().any(is_forwarded) {
        return Err(forbidden(format!("The request was forwarded. {WHY}")));
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

fn forbidden(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Forbidden, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_s_names_are_loopback() {
        for (host, expected) in [
            ("127.0.0.1:7080", true),
            ("127.0.0.1", true),
            ("127.8.8.8", true),
            ("localhost:7080", true),
            ("LocalHost", true),
            ("[::1]:7080", true),
            ("[::1]", true),
            ("", false),
            ("elsewhere.example", false),
            ("localhost.elsewhere.example:7080", false),
            ("localhost@elsewhere.example", false),
            ("elsewhere.example:7080:127.0.0.1", false),
            ("127.0.0.1.elsewhere.example", false),
            ("10.0.0.1:7080", false),
            ("0.0.0.0", false),
            ("127.1", false),
            ("[::]", false),
            ("::1", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }
}
