//! Decides which web pages of other sites may ask: none, unless the operator names their origins.

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};

/// The origins, such as `https://shop.example`, whose pages may send requests and read the answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    origins: Vec<HeaderValue>,
}

/// The text is not an origin: a scheme, a host and perhaps a port, in lower case, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an origin such as https://shop.example")]
pub struct NotAnOrigin(pub String);

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "Accept, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, \
     Last-Event-ID, Prefer, Quire-Max-Attempts, X-Request-Id",
);
const ANSWER_HEADERS: HeaderValue = HeaderValue::from_static(
    "ETag, Idempotency-Replayed, Location, Quire-Height, Quire-Transaction-Id, Retry-After, \
     WWW-Authenticate, X-Request-Id",
);
/// Seconds for which a browser may remember the answer.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

impl Cors {
    /// Takes the origins as browsers send them.
    ///
    /// # Errors
    /// If one is not an origin: it could never match.
    pub fn new<'a>(origins: impl IntoIterator<Item = &'a str>) -> Result<Self, NotAnOrigin> {
        let origins = origins.into_iter().map(|origin| {
            let value = HeaderValue::from_str(origin).ok();
            let value = value.filter(|_| is_origin(origin));
            value.ok_or_else(|| NotAnOrigin(origin.to_owned()))
        });
        Ok(Self {
            origins: origins.collect::<Result<_, _>>()?,
        })
    }

    /// The request's origin, if it is one of these origins.
    pub(crate) fn origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        self.origins.contains(origin).then(|| origin.clone())
    }

    /// Whether a browser asks if it may send a request.
    pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
        *method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// The answer that allows it.
    pub(crate) fn preflight() -> Response {
        let headers = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
            (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        ];
        (StatusCode::NO_CONTENT, headers).into_response()
    }

    /// Tells the browser that the page at `origin` may read this answer.
    pub(crate) fn finish(&self, headers: &mut HeaderMap, origin: Option<HeaderValue>) {
        if self.origins.is_empty() {
            return;
        }
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = origin {
            let mut set = |name: HeaderName, value| headers.insert(name, value);
            set(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            set(header::ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
        }
    }
}

fn is_origin(text: &str) -> bool {
    let host = text
        .strip_prefix("http://")
        .or(text.strip_prefix("https://"));
    host.is_some_and(|host| {
        let allowed = |byte: u8| {
            matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b':' | b'[' | b']')
        };
        !host.is_empty() && host.bytes().all(allowed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_browser_would_send_is_an_origin() {
        for (text, expected) in [
            ("https://shop.example", true),
            ("http://localhost:3000", true),
            ("http://[::1]:3000", true),
            ("https://shop.example/", false),
            ("https://Shop.example", false),
            ("https://*.example", false),
            ("shop.example", false),
            ("*", false),
            ("null", false),
            ("", false),
            ("https://", false),
            ("https://a\r\nb", false),
        ] {
            assert_eq!(Cors::new([text]).is_ok(), expected, "{text}");
        }
    }
}
