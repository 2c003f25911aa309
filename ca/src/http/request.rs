//! A request as its verb sees it: all of it is here.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use tokio::time::timeout;

use super::query::Query;
use crate::authority::Authority;
use crate::caller::Caller;
use crate::error::{Code, Refusal};
use crate::token::Signed;

/// Most bytes of a body: a signing request with all its names, or all attributes of an identity.
const MAX_BODY_BYTES: usize = 64 << 10;
/// How long a body may take.
const BODY_TIME: Duration = Duration::from_secs(10);

/// A request.
#[derive(Debug)]
pub(super) struct Asked {
    method: String,
    /// Path and query, as sent.
    uri: String,
    authorization: Option<String>,
    pub(super) query: Query,
    pub(super) body: Bytes,
}

impl Asked {
    /// Takes the body in.
    pub(super) async fn read(request: Request) -> Result<Self, Refusal> {
        let (head, body) = request.into_parts();
        let read = timeout(BODY_TIME, to_bytes(body, MAX_BODY_BYTES)).await;
        let late = |_| Refusal::new(408, Code::ReadingBody, "The body took too long");
        let large = |_| {
            let detail = format!("The body has more than {MAX_BODY_BYTES} bytes, or did not end");
            Refusal::new(413, Code::ReadingBody, detail)
        };
        let body = read.map_err(late)?.map_err(large)?;
        let uri = head.uri.path_and_query();
        Ok(Self {
            method: head.method.as_str().to_owned(),
            uri: uri.map_or_else(String::new, ToString::to_string),
            authorization: authorization(&head.headers),
            query: Query::of(head.uri.query().unwrap_or("")),
            body,
        })
    }

    /// The last part of the path.
    pub(super) fn name(&self) -> Result<String, Refusal> {
        let path = self.uri.split('?').next().unwrap_or("");
        let last = path.rsplit('/').next().unwrap_or("");
        let name = percent_decode_str(last).decode_utf8();
        let bad = |_| Refusal::new(400, Code::Unknown, "The path is not UTF-8");
        Ok(name.map_err(bad)?.into_owned())
    }

    /// Who asks, by the token that it signed the request with.
    pub(super) fn caller(&self, authority: &Authority) -> Result<Caller, Refusal> {
        let signed = Signed {
            method: &self.method,
            uri: &self.uri,
            body: &self.body,
        };
        authority.authenticate(self.authorization()?, &signed)
    }

    /// The name and the secret of whoever enrols.
    pub(super) fn name_and_secret(&self) -> Result<(String, String), Refusal> {
        let header = self.authorization()?;
        let (scheme, encoded) = header.split_once(' ').unwrap_or((header, ""));
        let text = STANDARD.decode(encoded.trim()).ok();
        let text = text.filter(|_| scheme.eq_ignore_ascii_case("basic"));
        let text = text.and_then(|text| String::from_utf8(text).ok());
        let parts = text.as_deref().and_then(|text| text.split_once(':'));
        let (name, secret) = parts.ok_or_else(|| {
            let detail = "the Authorization header holds no name and secret";
            Refusal::authentication(Code::NoNameAndSecret, detail)
        })?;
        Ok((name.to_owned(), secret.to_owned()))
    }

    fn authorization(&self) -> Result<&str, Refusal> {
        let none = || Refusal::new(401, Code::NoAuthorizationHeader, "No authorization header");
        self.authorization.as_deref().ok_or_else(none)
    }
}

/// The one header, if there is one. Of two, a proxy might have looked at the other.
fn authorization(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    (values.next().is_none() && !value.is_empty()).then(|| value.to_owned())
}
