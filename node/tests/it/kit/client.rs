//! An HTTP client that gives statuses back as answers and keeps no secrets from the test.

use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::{self, HeaderMap};

/// A client of one node.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
}

/// A request that can be sent again as it is.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    /// From `/v1` on.
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Request {
    /// GET without headers.
    pub(crate) fn get(path: String) -> Self {
        Self {
            method: "GET",
            path,
            headers: Vec::new(),
            body: String::new(),
        }
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: &str) -> Self {
        Self::with_timeout(address, Duration::from_secs(60))
    }

    /// A client that hangs up after that time.
    pub(crate) fn with_timeout(address: &str, timeout: Duration) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(timeout))
            .build()
            .new_agent();
        Self {
            agent,
            base: format!("http://{address}"),
        }
    }

    /// Sends a request; an error means that no complete answer came.
    pub(crate) fn send(&self, request: &Request) -> Result<Answer, ureq::Error> {
        let mut builder = http::Request::builder()
            .method(request.method)
            .uri(format!("{}{}", self.base, request.path));
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        let answer = if request.body.is_empty() {
            self.agent.run(builder.body(()).unwrap())?
        } else {
            self.agent
                .run(builder.body(request.body.as_str()).unwrap())?
        };
        let (parts, mut body) = answer.into_parts();
        let body = body.with_config().limit(1 << 30).read_to_vec()?;
        Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        })
    }

    /// GET that must be answered with 200.
    pub(crate) fn get(&self, path: &str, accept: &'static str) -> Answer {
        let request = Request {
            method: "GET",
            path: path.to_owned(),
            headers: vec![("Accept", accept.to_owned())],
            body: String::new(),
        };
        let answer = self.send(&request).unwrap();
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
        answer
    }

    /// GET of JSON that must be answered with 200.
    pub(crate) fn json(&self, path: &str) -> Value {
        self.get(path, "application/json").json()
    }

    /// How many blocks the channel `main` has.
    pub(crate) fn height(&self) -> u64 {
        self.json("/v1/channels/main")["height"].as_u64().unwrap()
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{error} in the answer {}: {}", self.status, self.text())
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
