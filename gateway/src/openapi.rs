//! `/openapi.json` and `/docs`: what the attributes beside the handlers say, and what is true of all
//! of them.

use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use crate::reply;

const PAGE: &str = include_str!("docs.html");
/// The page runs its own script and asks this server alone.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                           connect-src 'self'; base-uri 'none'; form-action 'none'; \
                           frame-ancestors 'none'";

/// The document, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Document(Bytes);

impl Document {
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

/// `/docs`: the document for people, without any other site's help.
pub(crate) async fn docs() -> Response {
    let mut response = Html(PAGE).into_response();
    let policy = HeaderValue::from_static(PAGE_POLICY);
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// Adds to an operation what its kind has in common.
fn complete(path: &str, method: &str, operation: &mut Value) {
    let parameters = &mut operation["parameters"];
    if !parameters.is_array() {
        *parameters = json!([]);
    }
    if let Some(parameters) = parameters.as_array_mut() {
        let names = path.split('/').filter_map(|part| {
            let name = part.split_once('{')?.1;
            Some(name.split_once('}')?.0)
        });
        parameters.splice(0..0, names.map(path_parameter));
    }
    let responses = &mut operation["responses"];
    let mut add = |statuses: &[(u16, &str)]| {
        for (status, meaning) in statuses {
            let known = &mut responses[status.to_string()];
            if known.is_null() {
                *known = problem_response(meaning);
            } else if *status >= 400 {
                // Two documents under one status, told apart by their type.
                known["content"]["application/problem+json"] = problem_content();
            }
        }
    };
    add(&[
        (400, "The request has to be fixed: INVALID_JSON, INVALID_NAME, INVALID_ARGUMENT, RESERVED_MEMBER."),
        (401, "UNAUTHENTICATED: a token is missing or not known."),
        (403, "FORBIDDEN: this caller may not do this."),
        (408, "REQUEST_TIMEOUT: the request did not arrive in time."),
        (429, "RATE_LIMITED: come back after Retry-After; nothing was ordered."),
        (431, "HEADERS_TOO_LARGE."),
        (500, "INTERNAL, or BLOCK_CORRUPT with the block."),
        (503, "OVERLOADED, NOT_READY, STATE_UNAVAILABLE, STORAGE_FAILED: come back after Retry-After; nothing was ordered."),
    ]);
    if path.contains("{channel}") {
        add(&[(404, "CHANNEL_NOT_FOUND, or what was asked for is not there.")]);
    }
    let negotiates = ["/blocks", "/blocks/{number}", "/envelope", "/events", ":batch"];
    if negotiates.iter().any(|end| path.ends_with(end)) {
        add(&[(406, "NOT_ACCEPTABLE: Accept admits nothing that there is.")]);
    }
    if matches!(method, "post" | "put" | "patch" | "delete") {
        add(&[(413, "TOO_LARGE."), (415, "UNSUPPORTED_MEDIA_TYPE.")]);
    }
    let is_state = path.ends_with("/{namespace}/{key}") && path.contains("/state/");
    if is_state {
        add(&[(412, "PRECONDITION_FAILED: a version or existence did not hold.")]);
    }
    let is_write = is_state && method != "get" || path.ends_with("/transactions") && method == "post";
    if is_write {
        add(&[
            (409, "The transaction is final and invalid, or the channel takes no writes."),
            (412, "PRECONDITION_FAILED: a version or existence did not hold."),
            (504, "COMMIT_TIMEOUT: ordered, outcome not known yet; Location tells where to look."),
        ]);
    }
    if is_write || path.ends_with("/evaluate") {
        add(&[(422, "IDEMPOTENCY_KEY_REUSED, or CHAINCODE_ERROR.")]);
    }
    if path.ends_with("/evaluate") {
        add(&[(412, "PRECONDITION_FAILED: a version or existence did not hold.")]);
    }
    if path == "/v1/channels" && method == "post" {
        add(&[(409, "CHANNEL_EXISTS.")]);
    }
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
        "id" => (
            "The transaction's id.",
            json!({"type": "string", "minLength": 1}),
            "0e3f2f1b",
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

fn problem_response(meaning: &str) -> Value {
    json!({"description": meaning, "content": {"application/problem+json": problem_content()}})
}

fn problem_content() -> Value {
    json!({"schema": {"$ref": "#/components/schemas/Problem"}})
}

fn problem_schema() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let mut properties = Map::new();
    for (name, description) in [
        ("type", "A URN that names the code."),
        ("title", "The code in words."),
        ("detail", "What went wrong this time."),
        ("code", "Stable, UPPER_SNAKE."),
        ("requestId", "As in X-Request-Id and in the log."),
        ("transactionId", "Where there is one."),
    ] {
        properties.insert(name.to_owned(), text(description));
    }
    properties.insert("status".to_owned(), json!({"type": "integer"}));
    properties.insert("blockNumber".to_owned(), json!({"type": "integer"}));
    json!({
        "type": "object",
        "properties": properties,
        "required": ["type", "title", "status", "detail", "code", "requestId"],
    })
}
