//! Whoever counts calls.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::Code;

/// The kind of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallKind {
    /// One request, one answer.
    Unary,
    /// A stream of requests, of answers, or both.
    Stream,
}

/// Counts calls of the services. Called often; must not block.
pub trait Observer: Debug + Send + Sync + 'static {
    /// A call of a method that there is has come: `gateway.Gateway`, `Evaluate`.
    fn began(&self, kind: CallKind, service: &str, method: &str);

    /// A call has ended after so long. Whoever hung up gets [`Code::Cancelled`].
    fn ended(&self, kind: CallKind, service: &str, method: &str, code: Code, took: Duration);

    /// A message of a stream was taken in or given out.
    fn message(&self, service: &str, method: &str, is_sent: bool);
}

/// A call under way. It is counted as cancelled if it is dropped before it has ended.
#[derive(Debug)]
pub(crate) struct Observed {
    observer: Arc<dyn Observer>,
    kind: CallKind,
    service: String,
    method: String,
    began: Instant,
    has_ended: bool,
}

impl Observed {
    /// A call of `/service/method`.
    pub(crate) fn new(observer: &Arc<dyn Observer>, kind: CallKind, path: &str) -> Self {
        let path = path.trim_start_matches('/');
        let (service, method) = path.split_once('/').unwrap_or((path, ""));
        observer.began(kind, service, method);
        Self {
            observer: Arc::clone(observer),
            kind,
            service: service.to_owned(),
            method: method.to_owned(),
            began: Instant::now(),
            has_ended: false,
        }
    }

    /// Counts messages of the call that are taken in.
    pub(crate) fn messages(&self) -> Box<dyn Fn() + Send> {
        let observer = Arc::clone(&self.observer);
        let (service, method) = (self.service.clone(), self.method.clone());
        Box::new(move || observer.message(&service, &method, false))
    }

    pub(crate) fn sent(&self) {
        self.observer.message(&self.service, &self.method, true);
    }

    pub(crate) fn ended(mut self, code: Code) {
        self.end(code);
    }

    fn end(&mut self, code: Code) {
        if !std::mem::replace(&mut self.has_ended, true) {
            let took = self.began.elapsed();
            let (service, method) = (&self.service, &self.method);
            self.observer.ended(self.kind, service, method, code, took);
        }
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}
