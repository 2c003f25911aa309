//! Recognises by its headers a request of a stranger's web page, or one that came through a proxy.
//!
//! A web page can make a browser on this machine send requests here, and a proxy can pass on requests from
//! anywhere. While no credential is required, only this machine's own programs are served. A page of another
//! site is always refused, because browsers show remembered passwords and client certificates without being
//! asked.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, header};

use crate::gateway::Gateway;
use crate::problem::{Problem, ProblemKind};
use crate::request::grammar;

/// Headers that a proxy, a load balancer or a content network adds: first those of standards (RFC 7239, RFC
/// 9110, RFC 8586), then those of products.
const OF_PROXIES: [&str; 36] = [
    "forwarded",
    "via",
    "cdn-loop",
    "akamai-origin-hop",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-ipcountry",
    "cf-pseudo-ipv4",
    "cf-ray",
    "cf-visitor",
    "client-ip",
    "disguised-host",
    "do-connecting-ip",
    "fastly-client",
    "fastly-client-ip",
    "fastly-ff",
    "fly-client-ip",
    "forwarded-for",
    "front-end-https",
    "proxy-client-ip",
    "true-client-ip",
    "was-default-hostname",
    "wl-proxy-client-ip",
    "x-amz-cf-id",
    "x-amzn-trace-id",
    "x-appgw-trace-id",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-host",
    "x-nf-client-connection-ip",
    "x-proxyuser-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-true-client-ip",
    "x-varnish",
];
/// The prefixes of further families of headers.
const OF_PROXIES_BEGIN: [&str; 9] = [
    "x-forwarded-",
    "x-real-",
    "x-original-",
    "x-envoy-",
    "x-akamai-",
    "x-appengine-",
    "x-arr-",
    "x-azure-",
    "x-vercel-",
];

/// Refuses a request that did not come from this machine, or came from a page of another site.
pub(crate) fn check(request: &Request, gateway: &Gateway) -> Result<(), Problem> {
    let headers = request.headers();
    // In HTTP/2 the target has the host, and there may also be a `Host` header.
    let authority = request
        .uri()
        .authority()
        .map(axum::http::uri::Authority::as_str);
    // At a door for other machines, a missing credential is refused later on.
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
        // If there are two origins, the page's origin may be the other one.
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
    // If there are several hosts, a proxy or browser may have meant any of them.
    let are_ours = hosts.into_iter().all(|host| is_loopback(&host));
    if !are_ours || authority.is_some_and(|host| !is_loopback(host)) {
        return Err(forbidden(format!("Host is not this machine. {WHY}")));
    }
    match headers.keys().find(|name| is_of_a_proxy(name)) {
        Some(name) => Err(forbidden(format!(
            "The request was forwarded: it has the header {name}. {WHY}"
        ))),
        None => Ok(()),
    }
}

/// Whether a header tells that the request was passed on.
fn is_of_a_proxy(name: &HeaderName) -> bool {
    let name = name.as_str();
    OF_PROXIES.contains(&name) || OF_PROXIES_BEGIN.iter().any(|start| name.starts_with(start))
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
    fn headers_of_proxies_are_known_and_those_of_clients_are_none() {
        for name in [
            "Forwarded",
            "Via",
            "CDN-Loop",
            "X-Real-IP",
            "X-Real-Port",
            "X-Forwarded",
            "X-Forwarded-For",
            "X-Forwarded-Client-Cert",
            "X-Original-Forwarded-For",
            "X-Original-Host",
            "X-Client-IP",
            "X-Cluster-Client-IP",
            "CF-Connecting-IP",
            "CF-Ray",
            "True-Client-IP",
            "Fastly-Client-IP",
            "Akamai-Origin-Hop",
            "X-Akamai-Edgescape",
            "X-Azure-ClientIP",
            "X-Azure-FDID",
            "X-ARR-LOG-ID",
            "X-AppGW-Trace-Id",
            "X-Envoy-External-Address",
            "X-Amzn-Trace-Id",
            "X-Amz-Cf-Id",
            "X-Appengine-User-IP",
            "Fly-Client-IP",
            "X-Vercel-Forwarded-For",
        ] {
            assert!(is_of_a_proxy(&name.parse().unwrap()), "{name}");
        }
        for name in [
            "Accept",
            "Authorization",
            "Content-Type",
            "Host",
            "Idempotency-Key",
            "Last-Event-ID",
            "Origin",
            "Prefer",
            "Quire-Max-Attempts",
            "Traceparent",
            "User-Agent",
            "Viable",
            "X-Request-Id",
        ] {
            assert!(!is_of_a_proxy(&name.parse().unwrap()), "{name}");
        }
    }

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
