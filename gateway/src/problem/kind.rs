//! What can go wrong, by the stable `code` of the contract.

use axum::http::StatusCode;
use axum::http::StatusCode as S;
use quire_wire::Code;

/// What went wrong, by the stable `code` of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// Not JSON, or JSON that no two readers understand alike.
    InvalidJson,
    /// A name breaks its rule, or the request's target is badly encoded.
    InvalidName,
    /// A parameter, header or member is unknown or has an impossible value.
    InvalidArgument,
    /// A selector that CouchDB would refuse too.
    InvalidSelector,
    /// A document has a top-level member that belongs to the server.
    ReservedMember,
    /// No such channel.
    ChannelNotFound,
    /// No such key.
    KeyNotFound,
    /// No such block.
    BlockNotFound,
    /// No such transaction.
    TransactionNotFound,
    /// No such chaincode.
    ChaincodeNotFound,
    /// No such query index.
    IndexNotFound,
    /// No such route.
    RouteNotFound,
    /// The route has no such method.
    MethodNotAllowed,
    /// There is no form that the caller accepts.
    NotAcceptable,
    /// The request did not arrive in time.
    RequestTimeout,
    /// The body is not of a type that is read here.
    UnsupportedMediaType,
    /// Target and headers are too large.
    HeadersTooLarge,
    /// The transaction is final and invalid.
    Invalid(Code),
    /// There is a channel of that name.
    ChannelExists,
    /// The channel takes no writes.
    ChannelReadOnly,
    /// The update was computed from another configuration than the one in force.
    ConfigConflict,
    /// No node can join the organisation by way of this one.
    CannotJoin,
    /// The caller has not proved who it is.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// The invitation was used, and gives nothing to this caller.
    InvitationUsed,
    /// A version or existence did not hold.
    PreconditionFailed,
    /// The body, value or transaction is too large.
    TooLarge,
    /// The key names another request.
    IdempotencyKeyReused,
    /// The chaincode refused.
    ChaincodeError,
    /// A query is too large, or takes too much work.
    QueryTooExpensive,
    /// A configuration that cannot take effect.
    InvalidConfig,
    /// The token makes more requests than it may.
    RateLimited,
    /// Queues are full.
    Overloaded,
    /// The node starts or stops.
    NotReady,
    /// The state database does not answer.
    StateUnavailable,
    /// What holds the channel's order does not answer.
    OrdererUnavailable,
    /// A write to disk failed, or the channel did not open.
    StorageFailed,
    /// A fault of the server.
    Internal,
    /// The chain begins with a later block here.
    BlockNotKept,
    /// A block is damaged.
    BlockCorrupt,
    /// A document of the state database is damaged.
    StateCorrupt,
    /// The chaincode's process is not running, or ended. Nothing was ordered.
    ChaincodeUnavailable,
    /// The chaincode took too long. Nothing was ordered.
    ChaincodeTimeout,
    /// Peers of other organisations that must endorse it do not answer. Nothing was ordered.
    EndorsersUnavailable,
    /// Too few other organisations have endorsed it, though they answer. Nothing was ordered.
    EndorsementFailed,
    /// It is ordered, but its outcome is not known yet.
    CommitTimeout,
}

impl ProblemKind {
    /// The row of the contract's table: status, code, title.
    #[must_use]
    pub fn row(self) -> (StatusCode, &'static str, &'static str) {
        let (unprocessable, not_allowed) = (S::UNPROCESSABLE_ENTITY, S::METHOD_NOT_ALLOWED);
        match self {
            Self::InvalidJson => (S::BAD_REQUEST, "INVALID_JSON", "Invalid JSON"),
            Self::InvalidName => (S::BAD_REQUEST, "INVALID_NAME", "Invalid name"),
            Self::InvalidArgument => (S::BAD_REQUEST, "INVALID_ARGUMENT", "Invalid argument"),
            Self::InvalidSelector => (S::BAD_REQUEST, "INVALID_SELECTOR", "Invalid selector"),
            Self::ReservedMember => (S::BAD_REQUEST, "RESERVED_MEMBER", "Reserved member"),
            Self::ChannelNotFound => (S::NOT_FOUND, "CHANNEL_NOT_FOUND", "Channel not found"),
            Self::KeyNotFound => (S::NOT_FOUND, "KEY_NOT_FOUND", "Key not found"),
            Self::BlockNotFound => (S::NOT_FOUND, "BLOCK_NOT_FOUND", "Block not found"),
            Self::TransactionNotFound => (
                S::NOT_FOUND,
                "TRANSACTION_NOT_FOUND",
                "Transaction not found",
            ),
            Self::IndexNotFound => (S::NOT_FOUND, "INDEX_NOT_FOUND", "Index not found"),
            Self::RouteNotFound => (S::NOT_FOUND, "ROUTE_NOT_FOUND", "Route not found"),
            Self::MethodNotAllowed => (not_allowed, "METHOD_NOT_ALLOWED", "Method not allowed"),
            Self::NotAcceptable => (S::NOT_ACCEPTABLE, "NOT_ACCEPTABLE", "Not acceptable"),
            Self::RequestTimeout => (S::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", "Request timeout"),
            Self::UnsupportedMediaType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "UNSUPPORTED_MEDIA_TYPE",
                "Unsupported media type",
            ),
            Self::HeadersTooLarge => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "HEADERS_TOO_LARGE",
                "Headers too large",
            ),
            Self::Invalid(code) => (S::CONFLICT, code.name(), "Transaction invalid"),
            Self::ChannelExists => (S::CONFLICT, "CHANNEL_EXISTS", "Channel exists"),
            Self::ChannelReadOnly => (S::CONFLICT, "CHANNEL_READ_ONLY", "Channel is read-only"),
            Self::ConfigConflict => (S::CONFLICT, "CONFIG_CONFLICT", "Configuration conflict"),
            Self::CannotJoin => (S::CONFLICT, "CANNOT_JOIN", "Cannot join"),
            Self::Unauthenticated => (S::UNAUTHORIZED, "UNAUTHENTICATED", "Unauthenticated"),
            Self::Forbidden | Self::InvitationUsed => self.row_of_forbidden(),
            Self::PreconditionFailed => (
                S::PRECONDITION_FAILED,
                "PRECONDITION_FAILED",
                "Precondition failed",
            ),
            Self::BlockNotKept => (S::GONE, "BLOCK_NOT_KEPT", "Block not kept"),
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "TOO_LARGE", "Too large"),
            Self::IdempotencyKeyReused => (
                unprocessable,
                "IDEMPOTENCY_KEY_REUSED",
                "Idempotency key reused",
            ),
            Self::EndorsementFailed => (S::BAD_GATEWAY, "ENDORSEMENT_FAILED", "Endorsement failed"),
            Self::ChaincodeError
            | Self::ChaincodeNotFound
            | Self::ChaincodeUnavailable
            | Self::ChaincodeTimeout => self.row_of_chaincode(),
            Self::QueryTooExpensive => {
                (unprocessable, "QUERY_TOO_EXPENSIVE", "Query too expensive")
            }
            Self::InvalidConfig => (unprocessable, "INVALID_CONFIG", "Invalid configuration"),
            Self::RateLimited => (S::TOO_MANY_REQUESTS, "RATE_LIMITED", "Rate limited"),
            Self::Overloaded
            | Self::NotReady
            | Self::StateUnavailable
            | Self::OrdererUnavailable
            | Self::EndorsersUnavailable
            | Self::StorageFailed => self.row_of_later(),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "INTERNAL", "Internal error"),
            Self::BlockCorrupt => (S::INTERNAL_SERVER_ERROR, "BLOCK_CORRUPT", "Block corrupt"),
            Self::StateCorrupt => (S::INTERNAL_SERVER_ERROR, "STATE_CORRUPT", "State corrupt"),
            Self::CommitTimeout => (S::GATEWAY_TIMEOUT, "COMMIT_TIMEOUT", "Commit timeout"),
        }
    }

    /// The rows of what a caller may not do.
    fn row_of_forbidden(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::InvitationUsed => (S::FORBIDDEN, "INVITATION_USED", "Invitation used"),
            _ => (S::FORBIDDEN, "FORBIDDEN", "Forbidden"),
        }
    }

    /// The rows of what may go better later.
    fn row_of_later(self) -> (StatusCode, &'static str, &'static str) {
        let (code, title) = match self {
            Self::Overloaded => ("OVERLOADED", "Overloaded"),
            Self::NotReady => ("NOT_READY", "Not ready"),
            Self::StateUnavailable => ("STATE_UNAVAILABLE", "State unavailable"),
            Self::OrdererUnavailable => ("ORDERER_UNAVAILABLE", "Orderer unavailable"),
            Self::EndorsersUnavailable => ("ENDORSERS_UNAVAILABLE", "Endorsers unavailable"),
            _ => ("STORAGE_FAILED", "Storage failed"),
        };
        (S::SERVICE_UNAVAILABLE, code, title)
    }

    /// The rows of chaincodes that refused, do not exist, or do not answer.
    fn row_of_chaincode(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::ChaincodeNotFound => (S::NOT_FOUND, "CHAINCODE_NOT_FOUND", "Chaincode not found"),
            Self::ChaincodeUnavailable => (
                S::BAD_GATEWAY,
                "CHAINCODE_UNAVAILABLE",
                "Chaincode unavailable",
            ),
            Self::ChaincodeTimeout => {
                (S::GATEWAY_TIMEOUT, "CHAINCODE_TIMEOUT", "Chaincode timeout")
            }
            _ => (
                S::UNPROCESSABLE_ENTITY,
                "CHAINCODE_ERROR",
                "Chaincode refused",
            ),
        }
    }

    /// The kind of an error that the HTTP framework made by itself.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::RouteNotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::NOT_ACCEPTABLE => Self::NotAcceptable,
            StatusCode::REQUEST_TIMEOUT => Self::RequestTimeout,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE | StatusCode::URI_TOO_LONG => {
                Self::HeadersTooLarge
            }
            status if status.is_client_error() => Self::InvalidArgument,
            _ => Self::Internal,
        }
    }
}
