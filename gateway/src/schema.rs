//! Bodies of requests, for the API's description. Handlers read bodies member by member, see
//! [`crate::request::body::Members`], so that the text of a value is kept.
#![expect(dead_code, reason = "these only say what there is")]

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A call of a chaincode, or operations: both are one atomic transaction.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Submission)]
pub(crate) enum TransactionBody {
    Call(CallBody),
    Operations(OperationsBody),
}

/// A call of a chaincode; `documents` governs every namespace without a chaincode of its own.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = Call)]
pub(crate) struct CallBody {
    #[schema(example = "orders")]
    chaincode: String,
    #[schema(example = "put")]
    function: String,
    /// For the built-in chaincode, JSON values. For any other, a string is passed as its text, and another value
    /// as its JSON text, unless `encoding` says otherwise.
    #[schema(required = false)]
    args: Vec<Value>,
    /// How a chaincode that is not built in gets its arguments: `text`, `json` (every argument as its JSON text), or
    /// `base64` (every argument is a string that encodes bytes).
    #[schema(nullable = false, pattern = "^(text|json|base64)$")]
    encoding: Option<String>,
    /// Whether this is the initialisation of a chaincode whose definition asks for one.
    #[schema(nullable = false)]
    is_init: Option<bool>,
}

/// Operations that take effect together or not at all.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Operations)]
pub(crate) struct OperationsBody {
    #[schema(min_items = 1, max_items = 1000)]
    operations: Vec<Operation>,
}

/// One operation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Operation {
    op: OperationKind,
    /// Letters and digits, with single `-` or `_` between them.
    #[schema(pattern = "^[a-zA-Z0-9]+([-_][a-zA-Z0-9]+)*$", max_length = 64)]
    namespace: String,
    /// 1 to 1,024 bytes, not beginning with `_` or U+0000, neither `.` nor `..`.
    #[schema(min_length = 1, max_length = 1024)]
    key: String,
    /// What to write, for `create`, `put` and `merge`.
    #[schema(required = false)]
    value: Value,
    /// The version required, or null for "must not exist".
    #[schema(pattern = r"^[0-9]+\.[0-9]+$")]
    if_version: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum OperationKind {
    /// Writes a key that must not exist.
    Create,
    /// Writes a key.
    Put,
    /// Merges into a key that must exist (RFC 7396).
    Merge,
    /// Deletes a key that must exist.
    Delete,
    /// Demands a version, but changes nothing.
    Check,
}

/// A line of a batch: a transaction with what are headers of other requests.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchLine {
    #[serde(flatten)]
    transaction: TransactionBody,
    /// The same as the header `Idempotency-Key`.
    #[schema(min_length = 1, max_length = 255, nullable = false)]
    idempotency_key: Option<String>,
    /// The same as the header `Quire-Max-Attempts`.
    #[schema(minimum = 1, maximum = 10, nullable = false)]
    max_attempts: Option<u32>,
}

/// A line of the answer to a batch.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchAnswer {
    /// Counted from 1.
    line: u64,
    /// The status that the line would have as a request of its own.
    status: u16,
    /// The body that it would have.
    body: Value,
}

/// A query, as CouchDB takes it.
#[derive(Serialize, ToSchema)]
#[schema(as = Query)]
pub(crate) struct QueryBody {
    /// The condition that documents must meet.
    #[schema(value_type = Object)]
    selector: Value,
    #[schema(nullable = false)]
    limit: Option<u64>,
    #[schema(nullable = false)]
    skip: Option<u64>,
    /// Members, each with `asc` or `desc`.
    #[schema(value_type = Option<Vec<Value>>, nullable = false)]
    sort: Option<Vec<Value>>,
    /// The members to return; the default is all.
    #[schema(nullable = false)]
    fields: Option<Vec<String>>,
    /// A design document, or a design document and an index.
    #[schema(required = false)]
    use_index: Value,
    /// The bookmark of the page before.
    #[schema(nullable = false)]
    bookmark: Option<String>,
    #[schema(nullable = false)]
    execution_stats: Option<bool>,
}

/// An index to be made, as CouchDB takes it.
#[derive(Serialize, ToSchema)]
#[schema(as = IndexRequest)]
pub(crate) struct IndexBody {
    /// `fields` to index by, and perhaps a `partial_filter_selector`.
    #[schema(value_type = Object)]
    index: Value,
    #[schema(nullable = false)]
    ddoc: Option<String>,
    #[schema(nullable = false)]
    name: Option<String>,
    #[schema(nullable = false)]
    r#type: Option<String>,
}
