//! The form that a request holds a file in.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest as _, Multipart, Request};
use axum::http::{StatusCode, header};
use bytes::Bytes;
use quire_peer::join::MAX_BLOCK_BYTES;
use tokio::time::timeout;

use super::answer::Refused;

/// Most bytes of a form: a block, and what is around it.
const MAX_FORM_BYTES: usize = MAX_BLOCK_BYTES + (64 << 10);

/// What a form may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) body_time: Duration,
}

/// A form of one file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    key: &'static str,
}

impl Form {
    pub(super) const CONFIG_BLOCK: Self = Self {
        key: "config-block",
    };
    pub(super) const CONFIG_UPDATE: Self = Self {
        key: "config-update-envelope",
    };

    /// The content of its file.
    pub(super) async fn read(self, request: Request, limits: Limits) -> Result<Bytes, Refused> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
        // Fabric's orderers look for this anywhere in it.
        if !kind.contains("multipart/form-data") {
            return Err(Refused::bad(format!("unsupported Content-Type: [{kind}]")));
        }
        let (head, body) = request.into_parts();
        let unreadable = |error: &dyn std::fmt::Display| {
            Refused::bad(format!("cannot read form from request body: {error}"))
        };
        let body = timeout(limits.body_time, to_bytes(body, MAX_FORM_BYTES)).await;
        let late = |_| Refused::new(StatusCode::REQUEST_TIMEOUT, "the body took too long");
        let body = body.map_err(late)?.map_err(|error| unreadable(&error))?;
        let whole = Request::from_parts(head, Body::from(body));
        let form = Multipart::from_request(whole, &()).await;
        let mut form = form.map_err(|error| unreadable(&error))?;
        let (mut found, mut parts) = (None, 0);
        while let Some(part) = form
            .next_field()
            .await
            .map_err(|error| unreadable(&error))?
        {
            parts += 1;
            let is_it = part.name() == Some(self.key) && part.file_name().is_some();
            let content = part.bytes().await.map_err(|error| unreadable(&error))?;
            if is_it {
                found = Some(content);
            }
        }
        let key = self.key;
        let missing = || Refused::bad(format!("form does not contains part key: {key}"));
        let found = found.ok_or_else(missing)?;
        if parts > 1 {
            return Err(Refused::bad("form contains too many parts"));
        }
        Ok(found)
    }
}
