//! What every answer is wrapped in: `{"result": .., "errors": [..], "messages": [], "success": ..}`.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::{Code, Refusal};

/// Items of a list that are written at one time.
const ITEMS_A_PIECE: usize = 100;

/// What a request that succeeded comes to.
pub(super) struct Answer {
    status: StatusCode,
    location: Option<String>,
    result: Outcome,
}

enum Outcome {
    Value(Value),
    List(List),
}

/// Items that are written as their reader takes them.
struct List {
    name: &'static str,
    authority: String,
    items: Box<dyn Iterator<Item = Value> + Send>,
}

impl Answer {
    /// One that is a value.
    pub(super) fn of(status: StatusCode, result: impl Serialize) -> Result<Self, Refusal> {
        let failed =
            |error| Refusal::new(500, Code::Unknown, format!("an answer is no JSON: {error}"));
        Ok(Self {
            status,
            location: None,
            result: Outcome::Value(serde_json::to_value(result).map_err(failed)?),
        })
    }

    /// One that says where what was made is.
    pub(super) fn at(mut self, location: String) -> Self {
        self.location = Some(location);
        self
    }

    /// One that is `{NAME: [ITEMS], "caname": AUTHORITY}`.
    pub(super) fn list(
        name: &'static str,
        authority: &str,
        items: impl Iterator<Item = Value> + Send + 'static,
    ) -> Self {
        Self {
            status: StatusCode::OK,
            location: None,
            result: Outcome::List(List {
                name,
                authority: authority.to_owned(),
                items: Box::new(items),
            }),
        }
    }
}

/// An answer, or why there is none, as HTTP.
pub(super) fn render(answered: Result<Answer, Refusal>) -> Response {
    let (status, location, body) = match answered {
        Ok(answer) => {
            let body = match answer.result {
                Outcome::Value(result) => Body::from(envelope(&result, None).to_string()),
                Outcome::List(list) => list.into_body(),
            };
            (answer.status, answer.location, body)
        }
        Err(refusal) => {
            let status = StatusCode::from_u16(refusal.status);
            let body = envelope(&json!(""), Some(&refusal)).to_string();
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, None, Body::from(body))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if let Some(location) = location.and_then(|location| HeaderValue::from_str(&location).ok()) {
        headers.insert(header::LOCATION, location);
    }
    response
}

fn envelope(result: &Value, refusal: Option<&Refusal>) -> Value {
    let errors: Vec<_> = refusal
        .map(
            |refusal| json!({"code": refusal.told_code() as u16, "message": refusal.told_detail()}),
        )
        .into_iter()
        .collect();
    json!({"result": result, "errors": errors, "messages": [], "success": refusal.is_none()})
}

impl List {
    /// The pieces of the body, each made when it is taken.
    fn into_body(self) -> Body {
        let Self {
            name,
            authority,
            mut items,
        } = self;
        let begin = format!("{{\"result\":{{\"{name}\":[");
        let end = format!(
            "],\"caname\":{}}},\"errors\":[],\"messages\":[],\"success\":true}}",
            json!(authority)
        );
        let mut is_first = true;
        let pieces = std::iter::from_fn(move || {
            let mut piece = String::new();
            for item in items.by_ref().take(ITEMS_A_PIECE) {
                if !is_first {
                    piece.push(',');
                }
                is_first = false;
                piece.push_str(&item.to_string());
            }
            (!piece.is_empty()).then_some(piece)
        });
        let pieces = std::iter::once(begin)
            .chain(pieces)
            .chain(std::iter::once(end));
        Body::from_stream(stream::iter(
            pieces.map(|piece| Ok::<_, Infallible>(Bytes::from(piece))),
        ))
    }
}
