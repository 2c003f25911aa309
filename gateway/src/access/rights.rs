//! The role that a request needs: the table of the contract, in one place.

use axum::http::Method;
use quire_identity::AccessRole;

/// The beginning of paths with a channel.
pub(crate) const OF_A_CHANNEL: &str = "/v1/channels/{channel}";

/// Where another node becomes one of the organisation.
const JOIN: &str = "/v1/join";

/// Whether anybody may ask: monitoring has no token, and a node that joins has one of another kind, which its handler
/// looks at. Metrics tell more, and are open only if the door says so.
pub(crate) fn is_open(method: &Method, route: Option<&str>, opens_metrics: bool) -> bool {
    let is_join = method == Method::POST && route == Some(JOIN);
    is_join
        || is_read(method)
            && match route {
                Some("/healthz" | "/readyz" | "/version") => true,
                Some("/metrics") => opens_metrics,
                _ => false,
            }
}

/// The role that a request needs. A route that is not listed needs an admin, so that a forgotten route is
/// closed rather than open; a path without a route tells any caller so.
pub(crate) fn needed(method: &Method, route: Option<&str>) -> AccessRole {
    let Some(route) = route else {
        return AccessRole::Reader;
    };
    let in_channel = route.strip_prefix(OF_A_CHANNEL);
    match (method.as_str(), in_channel) {
        (
            "POST",
            Some("/evaluate" | "/state/{namespace}/_find" | "/state/{namespace}/_explain"),
        ) => AccessRole::Reader,
        ("POST", Some("/transactions" | "/transactions:batch"))
        | ("PUT" | "PATCH" | "DELETE", Some("/state/{namespace}/{key}" | "/state/{namespace}/")) => {
            AccessRole::Writer
        }
        // Log levels may tell what others do, backups where they are.
        (_, None) if matches!(route, "/logspec" | "/v1/backups") => AccessRole::Admin,
        _ if is_read(method) => AccessRole::Reader,
        _ => AccessRole::Admin,
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use AccessRole::{Admin, Reader, Writer};

    const KEY: &str = "/v1/channels/{channel}/state/{namespace}/{key}";

    #[test]
    fn roles_are_those_of_the_contract_and_the_rest_is_closed() {
        for (method, route, expected) in [
            ("GET", "/v1/channels", Reader),
            ("POST", "/v1/channels", Admin),
            ("GET", "/v1/channels/{channel}", Reader),
            ("POST", "/v1/channels/{channel}/evaluate", Reader),
            ("GET", "/v1/channels/{channel}/transactions", Reader),
            ("POST", "/v1/channels/{channel}/transactions", Writer),
            ("POST", "/v1/channels/{channel}/transactions:batch", Writer),
            ("GET", "/v1/channels/{channel}/events", Reader),
            ("GET", "/v1/channels/{channel}/chaincodes", Reader),
            (
                "GET",
                "/v1/channels/{channel}/chaincodes/{chaincode}",
                Reader,
            ),
            ("POST", "/v1/channels/{channel}/chaincodes", Admin),
            (
                "POST",
                "/v1/channels/{channel}/state/{namespace}/_find",
                Reader,
            ),
            (
                "POST",
                "/v1/channels/{channel}/state/{namespace}/_index",
                Admin,
            ),
            ("GET", "/metrics", Reader),
            ("GET", "/logspec", Admin),
            ("GET", "/v1/backups", Admin),
            ("POST", "/v1/backups", Admin),
            ("PUT", "/logspec", Admin),
            ("GET", "/openapi.json", Reader),
            ("GET", "/docs", Reader),
            ("GET", KEY, Reader),
            ("HEAD", KEY, Reader),
            ("PUT", KEY, Writer),
            ("PATCH", KEY, Writer),
            ("DELETE", KEY, Writer),
            ("POST", KEY, Admin),
            ("GET", "/v1/channels/{channel}/blocks/{number}", Reader),
            ("POST", "/v1/channels/{channel}/something-new", Admin),
            ("OPTIONS", "/v1/channels", Admin),
            ("PUT", "/something-new", Admin),
        ] {
            let method = method.parse().unwrap();
            assert_eq!(needed(&method, Some(route)), expected, "{method} {route}");
            assert!(!is_open(&method, Some(route), false));
        }
        assert_eq!(needed(&Method::POST, None), Reader);
        for route in ["/healthz", "/readyz", "/version"] {
            assert!(is_open(&Method::GET, Some(route), false));
            assert!(!is_open(&Method::PUT, Some(route), true));
        }
        assert!(is_open(&Method::POST, Some(JOIN), false));
        assert!(!is_open(&Method::GET, Some(JOIN), false));
        assert!(is_open(&Method::GET, Some("/metrics"), true));
        assert!(!is_open(&Method::GET, Some("/logspec"), true));
        assert!(!is_open(&Method::GET, None, true));
    }
}
