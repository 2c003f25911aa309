//! Sends requests without a socket.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use serde_json::Value;
use tower::ServiceExt;

/// Sends requests to a router.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) router: Router,
}

/// The answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    pub(crate) fn new(router: Router) -> Self {
        Self { router }
    }

    /// Sends a request; `headers` are lines of `name: value`.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: impl Into<Body>,
    ) -> Answer {
        let path = if path.starts_with("/v1") || !path.starts_with("./") {
            path.to_owned()
        } else {
            format!("/v1/channels/main/{}", &path[2..])
        };
        let mut request = Request::builder().method(method).uri(path);
        for line in headers {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let request = request.body(body.into()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: to_bytes(body, usize::MAX).await.unwrap(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Body::empty()).await
    }

    pub(crate) async fn get_with(&self, path: &str, header: &str) -> Answer {
        self.send("GET", path, &[header], Body::empty()).await
    }

    /// `PUT` of a JSON value.
    pub(crate) async fn put(&self, path: &str, headers: &[&str], body: &str) -> Answer {
        let headers = [headers, &["content-type: application/json"]].concat();
        self.send("PUT", path, &headers, body.to_owned()).await
    }

    /// `POST` of JSON.
    pub(crate) async fn post(&self, path: &str, headers: &[&str], body: &str) -> Answer {
        let headers = [headers, &["content-type: application/json"]].concat();
        self.send("POST", path, &headers, body.to_owned()).await
    }

    /// `PATCH` of a JSON merge patch.
    pub(crate) async fn patch(&self, path: &str, headers: &[&str], body: &str) -> Answer {
        let headers = [headers, &["content-type: application/merge-patch+json"]].concat();
        self.send("PATCH", path, &headers, body.to_owned()).await
    }

    pub(crate) async fn delete(&self, path: &str, headers: &[&str]) -> Answer {
        self.send("DELETE", path, headers, Body::empty()).await
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Status and code of a problem, which must be a complete problem document.
    #[track_caller]
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let document = self.json();
        assert_eq!(document["status"], self.status);
        assert_eq!(document["requestId"].as_str(), self.header("x-request-id"));
        for member in ["type", "title", "detail"] {
            assert!(document[member].is_string(), "{document}");
        }
        (self.status, document["code"].as_str().unwrap().to_owned())
    }

    /// Fails unless the answer is this problem.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.problem(), (status, code.to_owned()), "{self:?}");
    }

    /// Fails unless the answer has this status.
    #[track_caller]
    pub(crate) fn assert_status(&self, status: u16) -> &Self {
        let expected = StatusCode::from_u16(status).unwrap();
        assert_eq!(self.status, expected.as_u16(), "{self:?}");
        self
    }
}
