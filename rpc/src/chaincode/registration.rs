//! How long a connection goes without a registered chaincode.
//!
//! ```text
//! accepted --- a chaincode registers ---> its stream lasts ---> over
//!     |                                                          ^
//!     +--- the time is up, or the stream ends --------------------+
//! ```

use std::sync::Arc;
use std::time::Duration;

use quire_chaincode::shim::{ShimError, Stream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};

/// A connection that waits for its chaincode to register.
pub(super) struct Registration {
    time: Duration,
    until: Instant,
    /// Among the connections without a registered chaincode.
    place: OwnedSemaphorePermit,
    opened: Opened,
}

/// The one stream of a connection, once it has begun.
#[derive(Clone)]
pub(super) struct Opened(Arc<watch::Sender<Option<Arc<Stream>>>>);

impl Opened {
    /// Whether it is the first.
    pub(super) fn begin(&self, stream: &Arc<Stream>) -> bool {
        self.0.send_if_modified(|opened| {
            let is_first = opened.is_none();
            if is_first {
                *opened = Some(Arc::clone(stream));
            }
            is_first
        })
    }
}

impl Registration {
    /// The time begins.
    pub(super) fn new(time: Duration, place: OwnedSemaphorePermit) -> Self {
        Self {
            time,
            until: Instant::now() + time,
            place,
            opened: Opened(Arc::new(watch::Sender::new(None))),
        }
    }

    /// For the stream to be told of.
    pub(super) fn opened(&self) -> Opened {
        self.opened.clone()
    }

    /// What comes before the stream; none where that takes too long.
    pub(super) async fn in_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.until, work).await.ok()
    }

    /// Returns when the connection is over: its stream has ended, or no chaincode has registered in time.
    pub(super) async fn over(self) {
        let mut opened = self.opened.0.subscribe();
        let registered = async {
            let opened = opened.wait_for(Option::is_some).await;
            let process = opened.ok()?.as_ref().map(|stream| stream.process())?;
            process.registered().await.ok()?;
            Some(process)
        };
        match timeout_at(self.until, registered).await {
            Ok(Some(process)) => {
                drop(self.place);
                process.ended().await;
            }
            // The stream has ended before.
            Ok(None) => {}
            Err(_) => {
                let stream = self.opened.0.borrow().clone();
                if let Some(stream) = stream {
                    stream.end(&ShimError::Unregistered(self.time));
                }
                tracing::warn!(time = ?self.time, "a connection without a chaincode is given up");
            }
        }
    }
}
