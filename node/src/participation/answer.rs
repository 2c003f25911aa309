//! What is answered, in Fabric's JSON.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;

/// Where the channels are.
pub(super) const CHANNELS: &str = "/participation/v1/channels";

/// The channels of an orderer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChannelList {
    /// Orderers from 3.0 on have none.
    pub(super) system_channel: Option<ChannelName>,
    /// None where there are none, as Go writes it.
    pub(super) channels: Option<Vec<ChannelName>>,
}

/// A channel in a list.
#[derive(Debug, Serialize)]
pub(super) struct ChannelName {
    pub(super) name: String,
    pub(super) url: String,
}

/// One channel.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChannelInfo {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) consensus_relation: Relation,
    pub(super) status: Status,
    pub(super) height: u64,
}

/// What an orderer has to do with a channel's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Relation {
    /// It orders, as the one who takes part in Raft.
    Consenter,
    /// It has blocks that others ordered.
    Follower,
    /// It orders, by something that is no protocol of several.
    Other,
}

/// Whether an orderer takes blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Active,
    Inactive,
    Failed,
}

/// Why a request is not done.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    reason: String,
    allowed: Option<&'static str>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            allowed: None,
        }
    }

    pub(super) fn bad(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    /// One that another method would not get.
    pub(super) fn not_allowed(reason: impl Into<String>, allowed: &'static str) -> Self {
        Self {
            allowed: Some(allowed),
            ..Self::new(StatusCode::METHOD_NOT_ALLOWED, reason)
        }
    }
}

#[derive(Serialize)]
struct ErrorResponse<'a> {
    error: &'a str,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let error = &self.reason;
        tracing::info!(
            status = self.status.as_u16(),
            error,
            "participation refused"
        );
        let mut response = json(self.status, &ErrorResponse { error });
        if let Some(allowed) = self.allowed {
            let allowed = HeaderValue::from_static(allowed);
            response.headers_mut().insert(header::ALLOW, allowed);
        }
        response
    }
}

/// A channel that was made or changed.
pub(super) struct Created(pub(super) ChannelInfo);

impl IntoResponse for Created {
    fn into_response(self) -> Response {
        let mut response = json(StatusCode::CREATED, &self.0);
        if let Ok(url) = HeaderValue::from_str(&self.0.url) {
            response.headers_mut().insert(header::LOCATION, url);
        }
        response
    }
}

pub(super) fn ok(content: &impl Serialize) -> Response {
    not_stored(json(StatusCode::OK, content))
}

pub(super) fn bytes(content: Bytes) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    not_stored((kind, content).into_response())
}

fn not_stored(mut response: Response) -> Response {
    let value = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, value);
    response
}

/// With a line's end, as Go's encoder writes it.
fn json(status: StatusCode, content: &impl Serialize) -> Response {
    let mut text = serde_json::to_vec(content).unwrap_or_default();
    text.push(b'\n');
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, text).into_response()
}
