//! Builds answers.

pub(crate) mod document;
pub(crate) mod event;
pub(crate) mod pages;
pub(crate) mod value;

use axum::body::Body;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;

use crate::memory::SMALL_BYTES;
use crate::problem::Problem;
use crate::request::accept::PROTOBUF;
use crate::write::idempotency::IdempotencyKey;

/// The height that a read saw.
pub(crate) const QUIRE_HEIGHT: HeaderName = HeaderName::from_static("quire-height");
/// The transaction that wrote a value.
pub(crate) const QUIRE_TRANSACTION_ID: HeaderName = HeaderName::from_static("quire-transaction-id");
/// Marks an answer that was given before.
pub(crate) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Names a preference that was honoured.
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Characters that a query value must escape.
const QUERY_VALUE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, document: &impl Serialize) -> Result<Response, Problem> {
    let mut body = serde_json::to_vec(document).map_err(Problem::internal)?;
    // A buffer can be twice as large as its content, and may wait long until it is taken.
    if body.capacity() > SMALL_BYTES {
        body.shrink_to_fit();
    }
    Ok(of_type("application/json", Body::from(body), status))
}

/// An answer of Fabric's bytes.
pub(crate) fn protobuf(bytes: impl Into<Body>) -> Response {
    of_type(PROTOBUF, bytes.into(), StatusCode::OK)
}

/// An answer of any type.
pub(crate) fn of_type(media: &'static str, body: Body, status: StatusCode) -> Response {
    let mut response = (status, body).into_response();
    let media = HeaderValue::from_static(media);
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

/// Adds the height that a read saw.
pub(crate) fn at_height(mut response: Response, height: u64) -> Response {
    response
        .headers_mut()
        .insert(QUIRE_HEIGHT, HeaderValue::from(height));
    response
}

/// Marks a resource with two forms.
pub(crate) fn negotiated(mut response: Response) -> Response {
    vary(response.headers_mut());
    response
}

/// A problem of a resource with two forms, whose caller asked for one of them.
pub(crate) fn negotiated_problem(problem: Problem) -> Problem {
    problem.with_header(header::VARY, HeaderValue::from_static("Accept"))
}

fn vary(headers: &mut HeaderMap) {
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
}

/// A cache may keep state, but must ask for it again each time.
pub(crate) fn no_cache(mut response: Response) -> Response {
    let value = HeaderValue::from_static("no-cache");
    response.headers_mut().insert(header::CACHE_CONTROL, value);
    response
}

/// A problem of a read of state, with the headers of such a read.
pub(crate) fn state_problem(problem: Problem, height: u64) -> Problem {
    problem
        .with_header(QUIRE_HEIGHT, HeaderValue::from(height))
        .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))
}

/// The location of a transaction.
pub(crate) fn transaction_location(channel: &str, tx_id: &str) -> HeaderValue {
    let tx_id = utf8_percent_encode(tx_id, percent_encoding::NON_ALPHANUMERIC);
    location(&format!("/v1/channels/{channel}/transactions/{tx_id}"))
}

/// The location of a chaincode.
pub(crate) fn chaincode_location(channel: &str, name: &str) -> HeaderValue {
    let name = utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    location(&format!("/v1/channels/{channel}/chaincodes/{name}"))
}

/// The location of a key's outcome.
pub(crate) fn key_location(channel: &str, key: &IdempotencyKey) -> HeaderValue {
    let key = utf8_percent_encode(key.as_str(), QUERY_VALUE);
    location(&format!(
        "/v1/channels/{channel}/transactions?idempotencyKey={key}"
    ))
}

/// A header value made of a path that is ASCII by construction.
pub(crate) fn location(path: &str) -> HeaderValue {
    HeaderValue::from_str(path).unwrap_or_else(|_| HeaderValue::from_static("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_way_through_a_location() {
        let every: String = (0x21..0x7f).map(char::from).collect();
        let bare = every.replace('"', "");
        for key in ["k", "a/b:c", bare.as_str()] {
            let key = IdempotencyKey::parse(key).unwrap();
            let location = key_location("main", &key);
            let uri: axum::http::Uri = location.to_str().unwrap().parse().unwrap();
            let query =
                crate::request::url_query::UrlQuery::parse(&uri, &["idempotencyKey"]).unwrap();
            assert_eq!(query.get("idempotencyKey"), Some(key.as_str()));
        }
    }
}
