//! What is known of the log: whether it can be reached, and whether it is still read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// Is told of the log, but decides nothing.
pub trait LogObserver: fmt::Debug + Send + Sync {
    /// A block ends with the message at this offset.
    fn persisted(&self, offset: i64) {
        let _ = offset;
    }
    /// Whether the brokers can be reached.
    fn reachable(&self, reachable: bool) {
        let _ = reachable;
    }
}

/// An observer that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl LogObserver for Unobserved {}

/// The state of a log, for all who use it.
#[derive(Debug)]
pub(crate) struct Status {
    /// Why the log cannot be used now; it is tried again.
    trouble: Mutex<Option<String>>,
    closed: AtomicBool,
    /// Nobody reads the log any more.
    unread: AtomicBool,
    /// A configuration is on its way again, and nothing new is let in.
    waits: AtomicBool,
    /// The log holds much that this node has not read.
    behind: AtomicBool,
    /// The client that writes can be used no more.
    fatal: AtomicBool,
    observer: Arc<dyn LogObserver>,
}

impl Status {
    pub(crate) fn new(observer: Arc<dyn LogObserver>) -> Self {
        let starts = "the brokers have not answered yet".to_owned();
        observer.reachable(false);
        Self {
            trouble: Mutex::new(Some(starts)),
            closed: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            waits: AtomicBool::new(false),
            behind: AtomicBool::new(true),
            fatal: AtomicBool::new(false),
            observer,
        }
    }

    pub(crate) fn observer(&self) -> &dyn LogObserver {
        &*self.observer
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock().clone();
        trouble.or_else(|| {
            let behind = self.behind.load(Ordering::Acquire);
            behind.then(|| "this node is behind, and reads what others have ordered".to_owned())
        })
    }

    /// Whether the brokers cannot be used.
    pub(crate) fn is_in_trouble(&self) -> bool {
        self.trouble.lock().is_some()
    }

    /// The client that writes can be used no more; another one must be made.
    pub(crate) fn set_fatal(&self, reason: &str) {
        self.fatal.store(true, Ordering::Release);
        self.in_trouble(reason);
    }

    /// Whether that was said since this was asked last.
    pub(crate) fn take_fatal(&self) -> bool {
        self.fatal.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn set_behind(&self, behind: bool) {
        if self.behind.swap(behind, Ordering::AcqRel) != behind {
            tracing::info!(behind, "how far the order's log is read has changed");
        }
    }

    /// The log cannot be used now.
    pub(crate) fn in_trouble(&self, reason: &str) {
        let before = self.trouble.lock().replace(reason.to_owned());
        if before.is_none() {
            tracing::warn!(reason, "the order's log cannot be used; it is tried again");
            self.observer.reachable(false);
        }
    }

    /// The log can be used.
    pub(crate) fn well(&self) {
        if self.trouble.lock().take().is_some() {
            tracing::info!("the order's log can be used");
            self.observer.reachable(true);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Acquire)
    }

    pub(crate) fn nobody_reads(&self) {
        self.unread.store(true, Ordering::Release);
    }

    pub(crate) fn waits(&self) -> bool {
        self.waits.load(Ordering::Acquire)
    }

    pub(crate) fn set_waits(&self, waits: bool) {
        self.waits.store(waits, Ordering::Release);
    }
}
