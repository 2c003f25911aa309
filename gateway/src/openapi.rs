//! `/openapi.json` and `/docs`: what the attributes at the handlers say, and what all handlers have in
//! common.

use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use crate::reply;

const PAGE: &str = include_str!("docs.html");
/// The page runs only its own script and asks only this server.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                           connect-src 'self'; base-uri 'none'; form-action 'none'; \
                           frame-ancestors 'none'";

/// The document, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Document(Bytes);

impl Document {
    #[expect(
        clippy::indexing_slicing,
        reason = "indexing an object by name inserts, and these are objects by construction"
    )]
    pub(crate) fn new(api: OpenApi, version: &str) -> Self {
        let mut document = serde_json::to_value(api).unwrap_or_default();
        document["info"] = json!({
            "title": "Quire",
            "version": version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "A tamper-evident JSON ledger. Every error is a problem document \
                            (RFC 9457) with a stable `code`. Repeating a write with its \
                            `Idempotency-Key` is always safe.",
        });
        document["components"]["schemas"]["Problem"] = problem_schema();
        document["components"]["securitySchemes"] = security_schemes();
        // Any one of them suffices; `{}` is for a node that needs none.
        document["security"] = json!([{"token": []}, {"password": []}, {"certificate": []}, {}]);
        if let Some(paths) = document["paths"].as_object_mut() {
            for (path, item) in paths {
                for (method, operation) in item.as_object_mut().into_iter().flatten() {
                    complete(path, method, operation);
                }
            }
        }
        Self(document.to_string().into())
    }

    pub(crate) fn answer(&self) -> Response {
        reply::of_type("application/json", self.0.clone().into(), StatusCode::OK)
    }
}

/// `/docs`: the document for people, which needs no other site.
pub(crate) async fn docs() -> Response {
    let mut response = Html(PAGE).into_response();
    let policy = HeaderValue::from_static(PAGE_POLICY);
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// Adds to an operation what its kind of operations has in common.
#[expect(
    clippy::indexing_slicing,
    reason = "indexing an object by name inserts, and these are objects by construction"
)]
fn complete(path: &str, method: &str, operation: &mut Value) {
    let names = path.split('/').filter_map(|part| {
        let name = part.split_once('{')?.1;
        Some(name.split_once('}')?.0)
    });
    if OPEN.contains(&path) {
        operation["security"] = json!([]);
    }
    let mut parameters: Vec<Value> = names.map(path_parameter).collect();
    if let Some(own) = operation["parameters"].as_array_mut() {
        parameters.append(own);
    }
    operation["parameters"] = parameters.into();
    for (status, meaning) in problems(path, method) {
        let known = &mut operation["responses"][status.to_string()];
        if known.is_null() {
            *known = json!({"description": meaning, "content": {}});
        }
        // Health has two documents with one status; their types differ.
        known["content"]["application/problem+json"] =
            json!({"schema": {"$ref": "#/components/schemas/Problem"}});
    }
}

/// What anybody may ask for. Metrics are open only if the operations have their own door.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/version"];

const VERSION_DID_NOT_HOLD: (u16, &str) = (
    412,
    "PRECONDITION_FAILED: a version or existence did not hold; `namespace`, `key` and the `version` \
     found say where, and `operation` of which one of a transaction.",
);

/// Problems of every operation.
const EVERYWHERE: [(u16, &str); 8] = [
    (
        400,
        "The request must be fixed: INVALID_JSON, INVALID_NAME, INVALID_ARGUMENT, RESERVED_MEMBER.",
    ),
    (401, "UNAUTHENTICATED: a token is missing or not known."),
    (403, "FORBIDDEN: this caller may not do this."),
    (408, "REQUEST_TIMEOUT: the request did not arrive in time."),
    (
        429,
        "RATE_LIMITED: nothing was ordered; come back after Retry-After.",
    ),
    (431, "HEADERS_TOO_LARGE."),
    (
        500,
        "INTERNAL, BLOCK_CORRUPT with the block, or STATE_CORRUPT with namespace and key in the detail.",
    ),
    (
        503,
        "OVERLOADED, NOT_READY, STATE_UNAVAILABLE, ORDERER_UNAVAILABLE, ENDORSERS_UNAVAILABLE, STORAGE_FAILED: \
         nothing was ordered; come back after Retry-After.",
    ),
];

const CHAINCODE_UNAVAILABLE: (u16, &str) = (
    502,
    "CHAINCODE_UNAVAILABLE: the chaincode's process is not there, or went away; nothing was ordered.",
);

const NOT_DONE_ELSEWHERE: (u16, &str) = (
    502,
    "CHAINCODE_UNAVAILABLE: the chaincode's process is not there, or went away. ENDORSEMENT_FAILED: too few other \
     organisations have endorsed the transaction; `endorsers` says who was asked, and what came of it. Nothing was \
     ordered.",
);

/// Problems of a node that joins.
const OF_JOINING: [(u16, &str); 3] = [
    (
        403,
        "INVITATION_USED: another node has its certificates, or it was used for channels alone. FORBIDDEN: it is not for \
         a channel that is named; nothing was given.",
    ),
    (
        404,
        "CHANNEL_NOT_FOUND: a channel that is named is not there.",
    ),
    (
        409,
        "CANNOT_JOIN: this node has not the CA's key, or orders its channels by itself.",
    ),
];

/// Problems of every write.
const OF_WRITES: [(u16, &str); 5] = [
    (
        409,
        "The transaction is final and invalid, or the channel takes no writes.",
    ),
    VERSION_DID_NOT_HOLD,
    (
        422,
        "IDEMPOTENCY_KEY_REUSED, CHAINCODE_ERROR, or QUERY_TOO_EXPENSIVE, with the `namespace` and, of \
         one operation, the `key`.",
    ),
    NOT_DONE_ELSEWHERE,
    (
        504,
        "COMMIT_TIMEOUT: ordered, outcome not known yet; Location tells where to look. CHAINCODE_TIMEOUT: \
         the chaincode took too long, and nothing was ordered.",
    ),
];

/// The problems that an operation of this kind may answer with.
fn problems(path: &str, method: &str) -> Vec<(u16, &'static str)> {
    let mut problems = EVERYWHERE.to_vec();
    if path.contains("{channel}") {
        problems.push((
            404,
            "CHANNEL_NOT_FOUND, or what was asked for is not there.",
        ));
    }
    if path == "/v1/join" {
        // What is said first of a status is told.
        problems.splice(0..0, OF_JOINING);
    }
    let negotiates = ["/blocks", "/{number}", "/envelope", "/events", ":batch"];
    if negotiates.iter().any(|end| path.ends_with(end)) {
        problems.push((406, "NOT_ACCEPTABLE: Accept admits nothing that there is."));
    }
    if matches!(method, "post" | "put" | "patch" | "delete") {
        problems.extend([(413, "TOO_LARGE."), (415, "UNSUPPORTED_MEDIA_TYPE.")]);
    }
    let is_key = path.contains("/state/") && path.ends_with("/{key}");
    let is_submission = path.ends_with("/transactions") && method == "post";
    if is_submission || is_key && method != "get" {
        problems.extend(OF_WRITES);
    } else if is_key {
        problems.push(VERSION_DID_NOT_HOLD);
    }
    if path.ends_with("/evaluate") {
        problems.extend([
            VERSION_DID_NOT_HOLD,
            (
                422,
                "CHAINCODE_ERROR, or QUERY_TOO_EXPENSIVE, with the `namespace`.",
            ),
            CHAINCODE_UNAVAILABLE,
            (504, "CHAINCODE_TIMEOUT: the chaincode took too long."),
        ]);
    }
    if path.ends_with("/_find") || path.ends_with("/_explain") || path.ends_with("/_index") {
        problems.push((
            422,
            "QUERY_TOO_EXPENSIVE: the query is too large, or took too much work; with the `namespace`.",
        ));
    }
    if path.ends_with("/chaincodes") && method == "post" {
        problems.extend([
            (
                409,
                "A step is final and invalid, or the channel takes no writes.",
            ),
            (
                422,
                "CHAINCODE_ERROR: a step was refused; what was done before it stays.",
            ),
            (
                502,
                "CHAINCODE_UNAVAILABLE: the node runs no chaincode. ENDORSEMENT_FAILED: too few other organisations have \
                 endorsed the definition; `endorsers` says who was asked.",
            ),
            (
                504,
                "COMMIT_TIMEOUT: the outcome of a step is not known; the same request goes on.",
            ),
        ]);
    }
    if path == "/v1/channels" && method == "post" {
        problems.push((409, "CHANNEL_EXISTS."));
    }
    problems
}

fn path_parameter(name: &str) -> Value {
    let (description, schema, example) = match name {
        "channel" => (
            "The channel.",
            json!({"type": "string", "pattern": "^[a-z][a-z0-9.-]{0,248}$"}),
            "main",
        ),
        "namespace" => (
            "The namespace; `~` reads the empty one.",
            json!({"type": "string", "minLength": 1}),
            "orders",
        ),
        "key" => (
            "The key, percent-encoded: `%2F` is part of a key.",
            json!({"type": "string", "minLength": 1}),
            "1001",
        ),
        "chaincode" => (
            "The chaincode.",
            json!({"type": "string", "minLength": 1}),
            "orders",
        ),
        "id" => (
            "The transaction's id.",
            json!({"type": "string", "minLength": 1}),
            "0e3f2f1b",
        ),
        "ddoc" => (
            "The index's design document, with or without `_design/`.",
            json!({"type": "string", "minLength": 1}),
            "by-total",
        ),
        "name" => (
            "The index.",
            json!({"type": "string", "minLength": 1}),
            "by-total",
        ),
        _ => (
            "The block's number, or `latest`.",
            json!({"type": "string", "pattern": "^([0-9]{1,19}|latest)$"}),
            "latest",
        ),
    };
    json!({
        "name": name, "in": "path", "required": true,
        "description": description, "schema": schema, "example": example,
    })
}

fn security_schemes() -> Value {
    json!({
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token, as `quire token create` prints it. It is needed once a token was made.",
        },
        "password": {
            "type": "http",
            "scheme": "basic",
            "description": "The same token as the password of any user.",
        },
        "certificate": {
            "type": "mutualTLS",
            "description": "A client certificate, where the node was started with `--tls-client-ca`; its \
                            common name is the identity.",
        },
    })
}

fn endorser_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "organization": {"type": "string", "description": "MSP id.", "example": "Org2MSP"},
            "address": {
                "type": "string",
                "description": "As the channel's configuration has it.",
                "example": "peer0.org2.example.com:7051",
            },
            "outcome": {
                "type": "string",
                "enum": ["UNREACHABLE", "REFUSED", "FAILED", "DIFFERS", "UNSOUND"],
                "example": "DIFFERS",
            },
            "detail": {
                "type": "string",
                "description": "What it said.",
                "example": "ProposalResponsePayloads do not match: the read-write sets differ",
            },
        },
        "required": ["organization", "address", "outcome", "detail"],
    })
}

fn problem_schema() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let mut properties = Map::new();
    for (name, description) in [
        ("type", "A URN that names the code."),
        ("title", "The code in words."),
        ("detail", "What went wrong this time."),
        ("code", "Stable, UPPER_SNAKE."),
        (
            "requestId",
            "The same id as in X-Request-Id and in the log.",
        ),
        ("transactionId", "Only if there is one."),
        ("namespace", "The subject, for example with 412 and 422."),
        ("key", "The subject, for example with 412 and 422."),
    ] {
        properties.insert(name.to_owned(), text(description));
    }
    properties.insert("status".to_owned(), json!({"type": "integer"}));
    properties.insert("blockNumber".to_owned(), json!({"type": "integer"}));
    properties.insert(
        "operation".to_owned(),
        json!({
            "type": "integer",
            "minimum": 0,
            "description": "Which operation of the transaction, from 0.",
        }),
    );
    properties.insert(
        "version".to_owned(),
        json!({
            "type": ["string", "null"],
            "description": "The version of the key that was found; null if it does not exist.",
        }),
    );
    properties.insert(
        "endorsers".to_owned(),
        json!({
            "type": "array",
            "description": "With ENDORSERS_UNAVAILABLE and ENDORSEMENT_FAILED: peers that were asked to endorse the transaction, and have not.",
            "items": endorser_schema(),
        }),
    );
    json!({
        "type": "object",
        "properties": properties,
        "required": ["type", "title", "status", "detail", "code", "requestId"],
    })
}
