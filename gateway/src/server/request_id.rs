//! The name of a request: its caller's name for it, or one of our own.

use axum::extract::Request;
use axum::http::header::{HeaderName, HeaderValue};

use crate::backend::Backend;

/// Names a request in answers and in the log.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id of a caller that is accepted.
const MAX_ID_BYTES: usize = 128;

/// The request's name, for handlers that make problem documents themselves.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// The id that the layer gave the request.
    pub(crate) fn of(request: &Request) -> Self {
        let id = request.extensions().get::<Self>().cloned();
        id.unwrap_or_else(|| Self(HeaderValue::from_static("none")))
    }

    /// Gives the request its caller's id, if that is sane, or one of our own.
    pub(crate) fn give(request: &mut Request, backend: &dyn Backend) -> HeaderValue {
        let given = request.headers().get(X_REQUEST_ID);
        let given = given.filter(|id| is_sane(id.as_bytes())).cloned();
        let id = given.unwrap_or_else(|| new_id(backend));
        request.extensions_mut().insert(Self(id.clone()));
        id
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Visible ASCII of a sensible length: safe to echo and to log.
fn is_sane(id: &[u8]) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// A request id of our own.
pub(crate) fn new_id(backend: &dyn Backend) -> HeaderValue {
    let id = hex::encode(backend.random_nonce());
    let (id, _) = id.split_at(32);
    HeaderValue::from_str(id).unwrap_or_else(|_| HeaderValue::from_static("none"))
}
