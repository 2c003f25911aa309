//! Errors as the client sees them: RFC 9457 problem documents.
//!
//! A handler returns a [`Problem`]; `every_request` renders it, because the request's id is known only there.
//! What the client must not see goes into the log together with the detail.

mod causes;
mod endorsers;
mod kind;

use std::fmt;
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use quire_chaincode::{Call, Chaincodes};
use quire_ledger::Height;
use quire_peer::{Ended, Failure};
use serde::Serialize;

use endorsers::EndorserDocument;
pub use kind::ProblemKind;

/// An error for the client.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: ProblemKind,
    detail: String,
    /// For the log only.
    cause: Option<String>,
    transaction_id: Option<String>,
    block_number: Option<u64>,
    subject: Option<Box<Subject>>,
    /// The peers that were asked to endorse, and have not.
    endorsers: Vec<Failure>,
    /// CouchDB's `error`, and its `reason` if that is not the detail.
    couch: Option<(&'static str, Option<String>)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The part of a request, or of the state that it met, that caused a problem.
#[derive(Clone, Debug, Default)]
struct Subject {
    /// The operation of a transaction, counted from 0.
    operation: Option<usize>,
    namespace: Option<String>,
    key: Option<String>,
    /// The version that the key has, if it was looked at.
    version: Option<Found>,
}

/// The version of a key; `None` if the key does not exist.
type Found = Option<Height>;

/// When to try a full queue again, if no better time is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Somebody must look at the disk first.
const RETRY_AFTER_STORAGE: Duration = Duration::from_secs(30);

impl Problem {
    /// A problem whose details the caller may know.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            cause: None,
            transaction_id: None,
            block_number: None,
            subject: None,
            endorsers: Vec::new(),
            couch: None,
            headers: Vec::new(),
        }
    }

    /// A parameter, header or member that is unknown or has an impossible value.
    pub fn invalid_argument(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::InvalidArgument, detail)
    }

    /// A fault of the server; `cause` goes to the log.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::new(
            ProblemKind::Internal,
            "The server failed; its log says more.",
        )
        .because(cause)
    }

    /// It is ordered, but its outcome is not known yet.
    #[must_use]
    pub fn commit_timeout() -> Self {
        Self::new(
            ProblemKind::CommitTimeout,
            "The outcome is not known yet. Retrying with the same Idempotency-Key is safe.",
        )
    }

    fn unavailable(kind: ProblemKind, detail: &str, retry_after: Duration) -> Self {
        let millis = retry_after.as_millis();
        let seconds = u64::try_from(millis.div_ceil(1000))
            .unwrap_or(u64::MAX)
            .max(1);
        Self::new(kind, detail).with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The caller has not proved who it is.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        let challenge = HeaderValue::from_static("Bearer");
        Self::new(ProblemKind::Unauthenticated, detail)
            .with_header(header::WWW_AUTHENTICATE, challenge)
    }

    /// Says in the challenge that the caller's credential is not valid, as RFC 6750 demands.
    pub(crate) fn bad_token(mut self) -> Self {
        let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        self.headers = vec![(header::WWW_AUTHENTICATE, challenge)];
        self
    }

    /// The token makes more requests than it may.
    #[must_use]
    pub fn rate_limited(retry_after: Duration) -> Self {
        let detail = "The token makes more requests than it may; nothing was done.";
        Self::unavailable(ProblemKind::RateLimited, detail, retry_after)
    }

    /// Queues are full.
    #[must_use]
    pub fn overloaded(retry_after: Duration) -> Self {
        Self::unavailable(
            ProblemKind::Overloaded,
            "The server is overloaded; nothing was ordered.",
            retry_after,
        )
    }

    /// A shared resource is used up; nothing was done.
    pub(crate) fn busy(why: &str, retry_after: Duration) -> Self {
        let detail = format!("{why}; nothing was ordered.");
        Self::unavailable(ProblemKind::Overloaded, &detail, retry_after)
    }

    /// The node starts or stops.
    #[must_use]
    pub fn not_ready() -> Self {
        let detail = "The server starts or stops; nothing was ordered.";
        Self::unavailable(ProblemKind::NotReady, detail, RETRY_AFTER)
    }

    fn state_unavailable() -> Self {
        let detail = "The state database does not answer; nothing was ordered.";
        Self::unavailable(ProblemKind::StateUnavailable, detail, RETRY_AFTER)
    }

    fn orderer_unavailable() -> Self {
        let detail = "What holds the channel's order does not answer; nothing was ordered.";
        Self::unavailable(ProblemKind::OrdererUnavailable, detail, RETRY_AFTER)
    }

    fn storage_failed() -> Self {
        let detail = "The server cannot write to its disk.";
        Self::unavailable(ProblemKind::StorageFailed, detail, RETRY_AFTER_STORAGE)
    }

    /// The channel did not open when the node started.
    pub(crate) fn channel_closed(name: &str) -> Self {
        let detail = format!(
            "Channel {name} does not open: its files are damaged or cannot be used, and an operator has \
             to see to them; nothing was ordered."
        );
        Self::unavailable(ProblemKind::StorageFailed, &detail, RETRY_AFTER_STORAGE)
    }

    /// Too few other organisations have endorsed a transaction.
    fn not_endorsed(detail: &str, endorsers: Vec<Failure>) -> Self {
        let is_away = |one: &Failure| one.ended == Ended::Unreachable;
        let problem = if endorsers.iter().any(is_away) {
            Self::unavailable(ProblemKind::EndorsersUnavailable, detail, RETRY_AFTER)
        } else {
            Self::new(ProblemKind::EndorsementFailed, detail)
        };
        Self {
            endorsers,
            ..problem
        }
    }

    /// Whether other peers may only have been behind this one, or ahead of it: all that were asked answered, and some came
    /// to another outcome.
    pub(crate) fn may_be_of_heights(&self) -> bool {
        let is_other = |one: &Failure| matches!(one.ended, Ended::Differs | Ended::Failed);
        self.kind == ProblemKind::EndorsementFailed && self.endorsers.iter().any(is_other)
    }

    /// Adds what only the log may say.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// Names the transaction.
    #[must_use]
    pub fn with_transaction(mut self, id: impl Into<String>) -> Self {
        self.transaction_id = Some(id.into());
        self
    }

    /// Names the block.
    #[must_use]
    pub fn with_block(mut self, number: u64) -> Self {
        self.block_number = Some(number);
        self
    }

    /// Names the operation of a transaction, counted from 0.
    #[must_use]
    pub fn at_operation(mut self, position: usize) -> Self {
        self.subject.get_or_insert_default().operation = Some(position);
        self
    }

    /// Names the namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.subject.get_or_insert_default().namespace = Some(namespace.into());
        self
    }

    /// Names the key.
    #[must_use]
    pub fn about_key(mut self, namespace: impl Into<String>, key: impl Into<String>) -> Self {
        self.subject.get_or_insert_default().key = Some(key.into());
        self.in_namespace(namespace)
    }

    /// Names the version of the key that was found; `None` if the key does not exist.
    #[must_use]
    pub fn at_version(mut self, version: Option<Height>) -> Self {
        self.subject.get_or_insert_default().version = Some(version);
        self
    }

    /// Names the subject of a call, in a 422 without one: the one key that it touches, or else the namespace
    /// that its chaincode governs.
    #[must_use]
    pub(crate) fn about_call(self, chaincodes: &Chaincodes, call: &Call) -> Self {
        if !self.lacks_subject() {
            return self;
        }
        match chaincodes.hints(call).keys.as_deref() {
            Some([(namespace, key)]) => self.at_operation(0).about_key(namespace, key),
            // Operations name their namespaces, and there may be many.
            Some([_, _, ..]) => self,
            _ => self.in_namespace(&call.chaincode),
        }
    }

    /// Names the namespace of a query, in a 422 that has no subject yet.
    #[must_use]
    pub(crate) fn about_query_of(self, namespace: &str) -> Self {
        if self.lacks_subject() {
            return self.in_namespace(namespace);
        }
        self
    }

    /// Whether it is a 422 without a subject.
    fn lacks_subject(&self) -> bool {
        self.subject.is_none() && self.kind.row().0 == StatusCode::UNPROCESSABLE_ENTITY
    }

    /// Adds the members that CouchDB's clients look for, if they are not there yet.
    #[must_use]
    pub fn with_couch(mut self, error: &'static str, reason: Option<String>) -> Self {
        self.couch.get_or_insert((error, reason));
        self
    }

    /// Adds CouchDB's word for the status, if there is no better one yet.
    #[must_use]
    pub fn for_couch(self) -> Self {
        let error = match self.kind.row().0 {
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::NOT_ACCEPTABLE => "not_acceptable",
            StatusCode::PAYLOAD_TOO_LARGE => "too_large",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "bad_content_type",
            status if status.is_client_error() => "bad_request",
            StatusCode::SERVICE_UNAVAILABLE => "service_unavailable",
            _ => "internal_server_error",
        };
        self.with_couch(error, None)
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The headers of its answer, without those of every problem.
    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// The transaction that it is about, if there is one.
    pub(crate) fn transaction_id(&self) -> Option<&str> {
        self.transaction_id.as_deref()
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// The document for the client. Also logs a fault of the server.
    #[must_use]
    pub fn document(&self, request_id: &str) -> Vec<u8> {
        let (status, code, title) = self.kind.row();
        let transaction = self.transaction_id.as_deref();
        if let Some(cause) = &self.cause {
            tracing::error!(request_id, code, transaction, cause, "request failed");
        } else if status.is_server_error() {
            // Problems of full queues and slow blocks are many, and the metrics count them.
            tracing::debug!(request_id, code, transaction, "request failed");
        }
        let code = match self.kind {
            // Codes without a name in Fabric are named by their number.
            ProblemKind::Invalid(code) => code.to_string(),
            _ => code.to_owned(),
        };
        let subject = self.subject.as_deref();
        let document = ProblemDocument {
            r#type: format!("urn:quire:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            code: &code,
            request_id,
            transaction_id: self.transaction_id.as_deref(),
            block_number: self.block_number,
            operation: subject.and_then(|subject| subject.operation),
            namespace: subject.and_then(|subject| subject.namespace.as_deref()),
            key: subject.and_then(|subject| subject.key.as_deref()),
            version: subject.and_then(|subject| {
                let version = subject.version?;
                Some(version.map(|version| version.to_string()).into())
            }),
            endorsers: endorsers::documents(&self.endorsers),
            error: self.couch.as_ref().map(|(error, _)| *error),
            reason: self
                .couch
                .as_ref()
                .map(|(_, reason)| reason.as_deref().unwrap_or(&self.detail)),
        };
        // Strings and numbers always serialize.
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProblemDocument<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    /// Null if the key does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<serde_json::Value>,
    /// Only where others were asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    endorsers: Vec<EndorserDocument<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl IntoResponse for Problem {
    /// Status, headers and the problem as an extension; `every_request` adds the body.
    fn into_response(self) -> Response {
        let (status, _, _) = self.kind.row();
        let mut response = status.into_response();
        for (name, value) in &self.headers {
            response.headers_mut().append(name.clone(), value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use quire_wire::Code;

    use super::*;

    #[test]
    fn every_kind_has_its_row_of_the_contract() {
        use ProblemKind as K;
        for (kind, status, code) in [
            (K::InvalidJson, 400, "INVALID_JSON"),
            (K::InvalidName, 400, "INVALID_NAME"),
            (K::InvalidArgument, 400, "INVALID_ARGUMENT"),
            (K::ReservedMember, 400, "RESERVED_MEMBER"),
            (K::Forbidden, 403, "FORBIDDEN"),
            (K::InvitationUsed, 403, "INVITATION_USED"),
            (K::ChannelNotFound, 404, "CHANNEL_NOT_FOUND"),
            (K::KeyNotFound, 404, "KEY_NOT_FOUND"),
            (K::BlockNotFound, 404, "BLOCK_NOT_FOUND"),
            (K::TransactionNotFound, 404, "TRANSACTION_NOT_FOUND"),
            (K::ChaincodeNotFound, 404, "CHAINCODE_NOT_FOUND"),
            (K::RouteNotFound, 404, "ROUTE_NOT_FOUND"),
            (K::MethodNotAllowed, 405, "METHOD_NOT_ALLOWED"),
            (K::NotAcceptable, 406, "NOT_ACCEPTABLE"),
            (K::RequestTimeout, 408, "REQUEST_TIMEOUT"),
            (
                K::Invalid(Code::MVCC_READ_CONFLICT),
                409,
                "MVCC_READ_CONFLICT",
            ),
            (
                K::Invalid(Code::PHANTOM_READ_CONFLICT),
                409,
                "PHANTOM_READ_CONFLICT",
            ),
            (K::Invalid(Code(77)), 409, "UNKNOWN_77"),
            (K::ChannelExists, 409, "CHANNEL_EXISTS"),
            (K::ChannelReadOnly, 409, "CHANNEL_READ_ONLY"),
            (K::ConfigConflict, 409, "CONFIG_CONFLICT"),
            (K::CannotJoin, 409, "CANNOT_JOIN"),
            (K::BlockNotKept, 410, "BLOCK_NOT_KEPT"),
            (K::InvalidConfig, 422, "INVALID_CONFIG"),
            (K::PreconditionFailed, 412, "PRECONDITION_FAILED"),
            (K::QueryTooExpensive, 422, "QUERY_TOO_EXPENSIVE"),
            (K::TooLarge, 413, "TOO_LARGE"),
            (K::UnsupportedMediaType, 415, "UNSUPPORTED_MEDIA_TYPE"),
            (K::IdempotencyKeyReused, 422, "IDEMPOTENCY_KEY_REUSED"),
            (K::ChaincodeError, 422, "CHAINCODE_ERROR"),
            (K::HeadersTooLarge, 431, "HEADERS_TOO_LARGE"),
            (K::Internal, 500, "INTERNAL"),
            (K::BlockCorrupt, 500, "BLOCK_CORRUPT"),
            (K::StateCorrupt, 500, "STATE_CORRUPT"),
            (K::Overloaded, 503, "OVERLOADED"),
            (K::NotReady, 503, "NOT_READY"),
            (K::StateUnavailable, 503, "STATE_UNAVAILABLE"),
            (K::OrdererUnavailable, 503, "ORDERER_UNAVAILABLE"),
            (K::StorageFailed, 503, "STORAGE_FAILED"),
            (K::ChaincodeUnavailable, 502, "CHAINCODE_UNAVAILABLE"),
            (K::ChaincodeTimeout, 504, "CHAINCODE_TIMEOUT"),
            (K::EndorsementFailed, 502, "ENDORSEMENT_FAILED"),
            (K::EndorsersUnavailable, 503, "ENDORSERS_UNAVAILABLE"),
            (K::CommitTimeout, 504, "COMMIT_TIMEOUT"),
        ] {
            let document = Problem::new(kind, "because").document("id-1");
            let document: serde_json::Value = serde_json::from_slice(&document).unwrap();
            assert_eq!(kind.row().0.as_u16(), status, "{code}");
            assert_eq!(document["status"], status, "{code}");
            assert_eq!(document["code"], code);
            assert_eq!(document["type"], format!("urn:quire:problem:{code}"));
        }
    }
}
