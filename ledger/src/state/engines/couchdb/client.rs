//! One CouchDB server, called through `couch_rs` from threads outside tokio.
//!
//! Every call has a time limit, and is repeated a few times with growing pauses if the server does not answer
//! or answers 5xx. It is safe to repeat every call: reads change nothing, and a repeated write whose first
//! answer was lost meets its own revision as a conflict.
//!
//! If a server refuses us, with 401 or 403, later requests are not sent to it: `CouchDB` locks an account
//! after five failures in five minutes, and then refuses even the right password. One call after a growing
//! pause finds out whether the refusal is over ([`refusal`]).

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use bytes::Bytes;
use couch_rs::error::CouchError;
use http::Method;
use parking_lot::Mutex;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use super::refusal::Refusal;
use crate::error::{ReadError, chain_of};

/// How often a call is tried: the first attempt and three more, as in Fabric.
const ATTEMPTS: u32 = 4;
/// The first pause; each further pause is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(125);
/// The most calls under way at one time.
const MAX_CALLS: usize = 64;
/// How often the server is probed when nothing else calls it.
const PROBE: Duration = Duration::from_secs(2);
/// Threads of the runtime: they wait more than they work.
const THREADS: usize = 2;

/// How long one call may take unless configured otherwise; the same as in Fabric.
pub const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_secs(35);

/// A CouchDB server, and our account there. It is shown and logged without the password.
#[derive(Clone)]
pub struct CouchDbServer {
    url: String,
    user: Option<String>,
    password: Option<String>,
    /// How long one call may take.
    pub timeout: Duration,
}

impl fmt::Debug for CouchDbServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CouchDbServer")
            .field("url", &self.url)
            .field("user", &self.user)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Why a server cannot be called at all. Never shows what may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CouchDbServerError {
    /// It is not the URL of a server.
    #[error("the URL of CouchDB must be http://HOST:PORT or https://HOST:PORT, without a path")]
    Url,
    /// A URL is shown and logged, so it must not have a secret.
    #[error("the URL of CouchDB must not have a user or password in it: name them apart")]
    Secret,
    /// Only one of user and password is given.
    #[error("CouchDB needs a user and a password, or neither")]
    HalfAnAccount,
}

impl CouchDbServer {
    /// # Errors
    /// [`CouchDbServerError`]: the operator must correct it.
    pub fn new(
        url: &str,
        user: Option<String>,
        password: Option<String>,
    ) -> Result<Self, CouchDbServerError> {
        let url = url.trim_end_matches('/');
        let rest = url
            .strip_prefix("http://")
            .or_else(|| url.strip_prefix("https://"))
            .ok_or(CouchDbServerError::Url)?;
        if rest.contains('@') {
            return Err(CouchDbServerError::Secret);
        }
        let uri: http::Uri = url.parse().map_err(|_| CouchDbServerError::Url)?;
        if rest.is_empty() || rest.contains(['/', '?', '#']) || uri.host().is_none() {
            return Err(CouchDbServerError::Url);
        }
        if user.is_some() != password.is_some() {
            return Err(CouchDbServerError::HalfAnAccount);
        }
        Ok(Self {
            url: url.to_owned(),
            user,
            password,
            timeout: DEFAULT_CALL_TIMEOUT,
        })
    }

    /// The server's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// A server's answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

impl Answer {
    /// Its status, and CouchDB's reason.
    fn reason(&self) -> String {
        #[derive(serde::Deserialize)]
        struct Refused {
            reason: String,
        }
        let reason = serde_json::from_slice(&self.body).map(|refused: Refused| refused.reason);
        let reason = reason.unwrap_or_else(|_| "no reason was given".to_owned());
        let reason: String = reason.chars().take(200).collect();
        format!("status {}: {reason}", self.status)
    }

    /// The error of an unexpected answer: its status and CouchDB's reason.
    pub(super) fn unexpected(&self, what: &str) -> ReadError {
        let text = String::from_utf8_lossy(&self.body);
        let text: String = text.chars().take(200).collect();
        ReadError::StateUnavailable(format!("{what}: status {}: {}", self.status, text.trim()))
    }

    /// The body of a successful answer.
    pub(super) fn read<T: serde::de::DeserializeOwned>(&self, what: &str) -> Result<T, ReadError> {
        if !(200..300).contains(&self.status) {
            return Err(self.unexpected(what));
        }
        // If a body is cut short, the connection or a proxy is at fault.
        serde_json::from_slice(&self.body)
            .map_err(|error| ReadError::StateUnavailable(format!("{what}: {error}")))
    }
}

/// A client of a server.
pub(crate) struct Couch {
    url: String,
    runtime: Option<Runtime>,
    calls: Arc<Calls>,
}

/// The state that the tasks of the runtime share.
pub(super) struct Calls {
    client: couch_rs::Client,
    under_way: Semaphore,
    trouble: Mutex<Option<String>>,
    refusal: Refusal,
    /// The path of the last call: a probe asks for the same database, which needs the same rights.
    asked: Mutex<String>,
    count: AtomicU64,
    has_quick_bulk_get: AtomicBool,
}

impl fmt::Debug for Couch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Couch").finish_non_exhaustive()
    }
}

impl Drop for Couch {
    /// Does not wait for calls under way, because nobody needs their answers.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A path in a database.
pub(super) fn path(database: &str, rest: &str) -> String {
    let database = utf8_percent_encode(database, NON_ALPHANUMERIC);
    format!("/{database}{rest}")
}

impl Couch {
    /// Prepares calls of a server, without calling it.
    pub(crate) fn new(server: &CouchDbServer) -> Result<Self, ReadError> {
        let unusable = |error: &dyn fmt::Display| ReadError::StateForeign(error.to_string());
        // If another provider was installed first, it is the same one.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = couch_rs::Client::new_with_timeout(
            &server.url,
            server.user.as_deref(),
            server.password.as_deref(),
            Some(server.timeout.as_secs().max(1)),
        );
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("couchdb")
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| unusable(&error))?;
        let calls = Arc::new(Calls {
            client: client.map_err(|error| unusable(&error))?,
            under_way: Semaphore::new(MAX_CALLS),
            trouble: Mutex::new(None),
            refusal: Refusal::new(&server.url, server.user.as_deref()),
            asked: Mutex::new("/".to_owned()),
            count: AtomicU64::new(0),
            has_quick_bulk_get: AtomicBool::new(false),
        });
        runtime.spawn(Arc::clone(&calls).probe());
        Ok(Self {
            url: server.url.clone(),
            runtime: Some(runtime),
            calls,
        })
    }

    /// The server's URL.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Why the last call had no answer, if it had none.
    pub(super) fn trouble(&self) -> Option<String> {
        let refused = self.calls.refusal.reason();
        let refused = refused.map(|reason| ReadError::StateRefused(reason).to_string());
        refused.or_else(|| self.calls.trouble.lock().clone())
    }

    /// Runs a job that makes calls, and waits for it. Any thread but the runtime's own may call this.
    pub(super) fn run<T, F>(&self, job: impl FnOnce(Arc<Calls>) -> F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ReadError>> + Send + 'static,
    {
        let gone = || ReadError::StateUnavailable("the call was given up".to_owned());
        let runtime = self.runtime.as_ref().ok_or_else(gone)?;
        let (done, result) = sync_channel(1);
        let job = job(Arc::clone(&self.calls));
        runtime.spawn(async move {
            // The receiver may be gone.
            drop(done.send(job.await));
        });
        result.recv().map_err(|_| gone())?
    }
}

impl Calls {
    /// Calls the server, several times if necessary, but not while it refuses us.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<Bytes>,
    ) -> Result<Answer, ReadError> {
        let answer = self.call_for(method, path, query, body, usize::MAX).await?;
        let endless = || ReadError::StateUnavailable(format!("{path}: an endless answer"));
        answer.ok_or_else(endless)
    }

    /// The same, but `None` if the answer has more bytes than `most`; no more than these are read.
    pub(super) async fn call_for(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<Bytes>,
        most: usize,
    ) -> Result<Option<Answer>, ReadError> {
        let _permit = self.under_way.acquire().await;
        let database = path.split('/').nth(1).unwrap_or_default();
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            if let Some(reason) = self.refusal.reason() {
                return Err(ReadError::StateRefused(reason));
            }
            *self.asked.lock() = format!("/{database}");
            let called = self
                .call_once(method.clone(), path, query, body.clone(), most)
                .await;
            let reason = match called {
                Ok(None) => {
                    *self.trouble.lock() = None;
                    return Ok(None);
                }
                Ok(Some(answer)) if answer.status < 500 => {
                    self.note(&answer, path)?;
                    return Ok(Some(answer));
                }
                Ok(Some(answer)) => answer.unexpected(path).to_string(),
                Err(reason) => reason,
            };
            if attempt == ATTEMPTS {
                *self.trouble.lock() = Some(reason.clone());
                return Err(ReadError::StateUnavailable(reason));
            }
            tracing::debug!(path, reason, attempt, "calling CouchDB again");
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(ReadError::StateUnavailable("it was not called".to_owned()))
    }

    /// Asks for the server's name. Returns whether it is other software than `CouchDB` itself.
    pub(super) async fn greet(&self) -> Result<bool, ReadError> {
        #[derive(serde::Deserialize)]
        struct Welcome {
            couchdb: Option<serde::de::IgnoredAny>,
            #[serde(default)]
            version: String,
        }
        let welcome = self.call(Method::GET, "/", &[], None).await?;
        let Welcome { couchdb, version } = welcome.read("/")?;
        let is_quick = couchdb.is_some() && is_since_3_3(&version);
        self.has_quick_bulk_get.store(is_quick, Ordering::Relaxed);
        Ok(couchdb.is_none())
    }

    /// Whether `_bulk_get` is quicker than `_all_docs` with keys: since `CouchDB` 3.3 it is four times
    /// quicker. Other servers may not say in `_bulk_get` why a document is missing.
    pub(super) fn has_quick_bulk_get(&self) -> bool {
        self.has_quick_bulk_get.load(Ordering::Relaxed)
    }

    /// Checks whether a server that answered accepts us.
    fn note(&self, answer: &Answer, path: &str) -> Result<(), ReadError> {
        if self.trouble.lock().take().is_some() {
            tracing::debug!(path, "CouchDB answers again");
        }
        if !matches!(answer.status, 401 | 403) {
            return Ok(());
        }
        let reason = self.refusal.begin(path, &answer.reason());
        Err(ReadError::StateRefused(reason))
    }

    /// Checks whether `couch_rs` may make calls itself.
    pub(super) fn may_call(&self) -> Result<(), ReadError> {
        let refused = self.refusal.reason();
        refused.map_or(Ok(()), |reason| Err(ReadError::StateRefused(reason)))
    }

    /// The error of a failed call of `couch_rs`.
    pub(super) fn failed(&self, path: &str, error: &CouchError) -> ReadError {
        let status = error.status().map(|status| status.as_u16());
        if matches!(status, Some(401 | 403)) {
            return ReadError::StateRefused(self.refusal.begin(path, &error.to_string()));
        }
        ReadError::StateUnavailable(error.to_string())
    }

    /// Repeats the last request whenever there was no call for a while, so that trouble, and its end, is
    /// known before a caller meets it.
    async fn probe(self: Arc<Self>) {
        let mut seen = 0;
        loop {
            tokio::time::sleep(PROBE).await;
            let refused = self.refusal.path();
            if refused.is_some() && !self.refusal.is_due() {
                continue;
            }
            let calls = self.count.load(Ordering::Relaxed);
            if calls != seen && refused.is_none() && self.trouble.lock().is_none() {
                seen = calls;
                continue;
            }
            let path = refused.unwrap_or_else(|| self.asked.lock().clone());
            let called = self.call_once(Method::GET, &path, &[], None, usize::MAX);
            match called.await {
                Ok(None) => (),
                Ok(Some(answer)) if answer.status < 500 => {
                    if self.note(&answer, &path).is_ok() {
                        self.refusal.is_over();
                    }
                }
                Ok(Some(answer)) => {
                    *self.trouble.lock() = Some(answer.unexpected(&path).to_string());
                }
                Err(reason) => *self.trouble.lock() = Some(reason),
            }
            seen = self.count.load(Ordering::Relaxed);
        }
    }

    async fn call_once(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<Bytes>,
        most: usize,
    ) -> Result<Option<Answer>, String> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut request = self.client.req(method, path, None).query(query);
        if let Some(body) = body {
            request = request.body(body);
        }
        let mut response = request.send().await.map_err(|error| chain_of(&error))?;
        let status = response.status().as_u16();
        if status != 200 || most == usize::MAX {
            let body = response.bytes().await.map_err(|error| chain_of(&error))?;
            return Ok(Some(Answer { status, body }));
        }
        let mut body = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(|error| chain_of(&error))? {
            if body.len() + bytes.len() > most {
                return Ok(None);
            }
            body.extend_from_slice(&bytes);
        }
        let body = body.into();
        Ok(Some(Answer { status, body }))
    }

    /// The client of `couch_rs`, for the calls that it makes itself.
    pub(super) fn client(&self) -> &couch_rs::Client {
        &self.client
    }
}

fn is_since_3_3(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0);
    (next(), next()) >= (3, 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_by_bulk_get_where_that_is_quick() {
        for (version, is_quick) in [
            ("3.5.0", true),
            ("3.3", true),
            ("10.0.0-rc1", true),
            ("3.2.9", false),
            ("2.9", false),
            ("", false),
            ("x", false),
        ] {
            assert_eq!(is_since_3_3(version), is_quick, "{version}");
        }
    }

    #[test]
    fn a_url_is_one_of_a_server_and_holds_no_secret() {
        use CouchDbServerError as E;
        let server = |url| CouchDbServer::new(url, None, None).map(|server| server.url);
        assert_eq!(server("http://h:5984/"), Ok("http://h:5984".to_owned()));
        for (url, error) in [
            ("", E::Url),
            ("h:5984", E::Url),
            ("http://", E::Url),
            ("http://h/couch", E::Url),
            ("http://h?x", E::Url),
            ("ftp://h", E::Url),
            ("http://user:secret@h", E::Secret),
        ] {
            assert_eq!(server(url), Err(error), "{url}");
        }
        let half = CouchDbServer::new("http://h", Some("u".into()), None);
        assert_eq!(half.unwrap_err(), E::HalfAnAccount);
    }

    #[test]
    fn a_server_is_shown_without_its_password() {
        let server = CouchDbServer::new("http://h", Some("u".into()), Some("sesame".into()));
        assert!(!format!("{:?}", server.unwrap()).contains("sesame"));
    }
}
