//! `configtxlator start`: the same over HTTP.

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Multipart, Path, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD,
    CONTENT_TYPE, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use quire_wire::json;

use super::update;

/// Most bytes of a request.
const MOST: usize = 64 << 20;

/// The routes; `origins` are those whose pages may call them, or `*`.
pub fn router(origins: Vec<String>) -> Router {
    let router = Router::new()
        .route("/protolator/encode/{message}", post(encode))
        .route("/protolator/decode/{message}", post(decode))
        .route("/configtxlator/compute/update-from-configs", post(compute))
        .layer(DefaultBodyLimit::max(MOST));
    if origins.is_empty() {
        return router;
    }
    let origins: std::sync::Arc<[String]> = origins.into();
    router.layer(from_fn_with_state(origins, across_origins))
}

/// What is answered: bytes of a kind, or why there are none.
type Answer = Result<Response, (StatusCode, String)>;

async fn encode(Path(message): Path<String>, body: Bytes) -> Answer {
    let bytes = json::read(message_type(&message)?, &body).map_err(|error| bad(&error))?;
    Ok(content("application/octet-stream", bytes))
}

async fn decode(Path(message): Path<String>, body: Bytes) -> Answer {
    let text = json::print(message_type(&message)?, body).map_err(|error| bad(&error))?;
    Ok(content("application/json", text.into()))
}

async fn compute(form: Multipart) -> Answer {
    let form = Form::read(form).await?;
    let missing = |name| {
        (
            StatusCode::BAD_REQUEST,
            format!("Error with field '{name}': it is missing\n"),
        )
    };
    let original = form.original.ok_or_else(|| missing("original"))?;
    let updated = form.updated.ok_or_else(|| missing("updated"))?;
    let update = update::between(original, updated, &form.channel);
    let update = update.map_err(|error| {
        (
            StatusCode::BAD_REQUEST,
            format!("Error computing update: {error}\n"),
        )
    })?;
    Ok(content("application/octet-stream", update))
}

/// Two configurations and the name of their channel.
#[derive(Default)]
struct Form {
    original: Option<Bytes>,
    updated: Option<Bytes>,
    channel: String,
}

impl Form {
    async fn read(mut form: Multipart) -> Result<Self, (StatusCode, String)> {
        let mut read = Self::default();
        while let Some(field) = form.next_field().await.map_err(|error| bad(&error))? {
            let name = field.name().unwrap_or_default().to_owned();
            let value = field.bytes().await.map_err(|error| bad(&error))?;
            match &*name {
                "original" => read.original = Some(value),
                "updated" => read.updated = Some(value),
                "channel" => read.channel = String::from_utf8_lossy(&value).into_owned(),
                _ => {}
            }
        }
        Ok(read)
    }
}

fn message_type(name: &str) -> Result<&'static json::MessageType, (StatusCode, String)> {
    let unknown = || {
        (
            StatusCode::NOT_FOUND,
            format!("there is no message type {name:?}\n"),
        )
    };
    json::message_type(name).ok_or_else(unknown)
}

fn bad(error: &dyn ToString) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, format!("{}\n", error.to_string()))
}

fn content(kind: &'static str, bytes: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, kind)], bytes).into_response()
}

/// Lets pages of other origins call, and answers what browsers ask before.
async fn across_origins(
    State(origins): State<std::sync::Arc<[String]>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(allowed) = allowed_origin(&origins, request.headers()) else {
        return next.run(request).await;
    };
    let asked = request
        .headers()
        .get(ACCESS_CONTROL_REQUEST_METHOD)
        .cloned();
    let mut response = match asked {
        Some(method) if request.method() == Method::OPTIONS => {
            if method != "POST" {
                return StatusCode::METHOD_NOT_ALLOWED.into_response();
            }
            Response::new(Body::empty())
        }
        _ => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, CONTENT_TYPE.into());
    headers.insert(VARY, ORIGIN.into());
    response
}

fn allowed_origin(origins: &[String], headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    if origins.iter().any(|known| known == "*") {
        return Some(HeaderValue::from_static("*"));
    }
    let text = origin.to_str().ok()?;
    origins
        .iter()
        .any(|known| known == text)
        .then(|| origin.clone())
}
