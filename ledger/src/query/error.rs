//! What is wrong with a query or an index definition, in CouchDB's words.

use serde_json::Value;

use super::erlang::{Plain, Pretty};
use crate::json::JsonError;

/// What is wrong with a request; `Display` is CouchDB's `reason`, [`QueryError::error`] its `error`.
/// The caller fixes the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The body is not JSON.
    #[error("invalid UTF-8 JSON")]
    InvalidJson,
    /// The body is JSON, but is refused: it names a member twice, is nested too deep, or has a number that is
    /// too long.
    #[error(transparent)]
    RefusedJson(JsonError),
    /// The body is not a JSON object.
    #[error("Request body must be a JSON object")]
    NotAnObject,
    /// A member that does not belong here.
    #[error("Invalid key {0} for this request.")]
    InvalidKey(String),
    /// A member that must be there.
    #[error("Missing required key: {0}")]
    MissingKey(&'static str),
    /// A member of the wrong type or out of range.
    #[error("{reason}")]
    InvalidOption {
        /// CouchDB's `error`.
        error: &'static str,
        /// CouchDB's `reason`.
        reason: String,
    },
    /// An unknown operator.
    #[error("Invalid operator: {0}")]
    InvalidOperator(String),
    /// An operator that CouchDB knows but does not support either.
    #[error("Unsupported operator: {0}")]
    UnsupportedOperator(String),
    /// An operator with an argument that it cannot take.
    #[error("Bad argument for operator {operator}: {argument}")]
    BadArgument {
        /// The operator.
        operator: &'static str,
        /// The argument, as Erlang writes it.
        argument: String,
    },
    /// A regular expression that cannot be matched in linear time, or that is not one.
    #[error("Bad argument for operator $regex: {0}")]
    BadRegex(String),
    /// `$text` in a place where it is not allowed.
    #[error("Invalid field normalization on selector: {0}")]
    BadField(String),
    /// A condition without a field.
    #[error("One or more conditions is missing a field name.")]
    MissingFieldName,
    /// A path with an empty name in it.
    #[error("Invalid field name: {0}")]
    InvalidFieldName(String),
    /// Ascending and descending order at once.
    #[error("Sorts currently only support a single direction for all fields.")]
    MixedSort,
    /// No index gives the order that is asked for.
    #[error("No index exists for this sort, try indexing by the sort fields.")]
    NoUsableIndex,
    /// The index that must be used cannot be used.
    #[error("{0} specified by `use_index` could not be found or it is not suitable.")]
    InvalidIndex(String),
    /// Only `_all_docs` is left, and it may not be used.
    #[error("No index exists for this selector, and falling back to all documents is not allowed.")]
    NoFallback,
    /// More than any query may have, whatever its documents are.
    #[error("The query is too large: {0}.")]
    TooLarge(String),
    /// A text that is not a bookmark, or a bookmark of another query.
    #[error("Invalid bookmark value: {0}")]
    InvalidBookmark(Value),
}

impl QueryError {
    pub(super) fn bad_argument(operator: &'static str, argument: &Value) -> Self {
        let argument = Plain(argument).to_string();
        Self::BadArgument { operator, argument }
    }

    pub(crate) fn option(error: &'static str, reason: String) -> Self {
        Self::InvalidOption { error, reason }
    }

    pub(super) fn sort_field(value: &Value) -> Self {
        let reason = format!("Invalid sort field: {}", Pretty(value));
        Self::option("invalid_sort_field", reason)
    }

    /// CouchDB's `error`, which is a word for programs.
    #[must_use]
    pub fn error(&self) -> &'static str {
        match self {
            Self::InvalidJson | Self::RefusedJson(_) | Self::NotAnObject => "bad_request",
            Self::InvalidKey(_) => "invalid_key",
            Self::MissingKey(_) => "missing_required_key",
            Self::InvalidOption { error, .. } => error,
            Self::InvalidOperator(_) => "invalid_operator",
            Self::UnsupportedOperator(_) => "not_supported",
            Self::BadArgument { .. } | Self::BadRegex(_) => "bad_arg",
            Self::BadField(_) => "bad_field",
            Self::MissingFieldName => "invalid_selector",
            Self::InvalidFieldName(_) => "invalid_field_name",
            Self::MixedSort => "unsupported_mixed_sort",
            Self::NoUsableIndex => "no_usable_index",
            Self::InvalidIndex(_) | Self::NoFallback => "invalid_index",
            Self::TooLarge(_) => "query_too_expensive",
            Self::InvalidBookmark(_) => "invalid_bookmark",
        }
    }
}

impl From<JsonError> for QueryError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::DuplicateMember { .. }
            | JsonError::TooDeep { .. }
            | JsonError::LongNumber { .. } => Self::RefusedJson(error),
            JsonError::NotUtf8 { .. }
            | JsonError::Syntax { .. }
            | JsonError::UnpairedSurrogate { .. }
            | JsonError::ReservedMember { .. } => Self::InvalidJson,
        }
    }
}
