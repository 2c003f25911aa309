//! Combines reads of one document each, which come from many threads at one time, into few calls.
//!
//! If no call is under way, a read is sent immediately. Reads that come while calls of the same database are
//! under way are sent together in the next call. So more reads make larger calls, and no read waits for
//! others to come. A call never serves a read that came after it began, because documents must be read after
//! the reader has its snapshot.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::client::Calls;
use super::database;
use super::document::ServerDocument;
use crate::error::ReadError;

/// The most documents that are asked for in one call.
const MAX_DOCUMENTS: usize = 500;
/// The most calls of one database that are under way together.
const SIDE_BY_SIDE: usize = 2;

/// The reads that wait for a call, by database.
#[derive(Debug, Default)]
pub(super) struct Gather(Mutex<HashMap<String, Queue>>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Waiting>,
    under_way: usize,
}

#[derive(Debug)]
struct Waiting {
    id: String,
    answer: oneshot::Sender<Result<Option<ServerDocument>, ReadError>>,
}

impl Gather {
    /// A document as it is now.
    pub(super) async fn get(
        self: Arc<Self>,
        calls: Arc<Calls>,
        database: String,
        id: String,
    ) -> Result<Option<ServerDocument>, ReadError> {
        let (answer, answered) = oneshot::channel();
        let is_free = {
            let mut queues = self.0.lock();
            let queue = queues.entry(database.clone()).or_default();
            queue.waiting.push(Waiting { id, answer });
            let is_free = queue.under_way < SIDE_BY_SIDE;
            queue.under_way += usize::from(is_free);
            is_free
        };
        if is_free {
            tokio::spawn(Arc::clone(&self).carry(calls, database));
        }
        let gone = |_| ReadError::StateUnavailable("the call was given up".to_owned());
        answered.await.map_err(gone)?
    }

    /// Makes calls until nothing waits.
    async fn carry(self: Arc<Self>, calls: Arc<Calls>, database: String) {
        while let Some(waiting) = self.next(&database) {
            let mut ids: Vec<String> = waiting.iter().map(|one| one.id.clone()).collect();
            ids.sort_unstable();
            ids.dedup();
            let found = database::fetch(&calls, &database, &ids).await;
            for Waiting { id, answer } in waiting {
                let told = match &found {
                    Ok(found) => Ok(found.get(&id).cloned()),
                    Err(error) => Err(again(error)),
                };
                // The receiver may be gone.
                drop(answer.send(told));
            }
        }
    }

    /// The reads for the next call; `None` if nothing waits, and then the caller's turn is over.
    fn next(&self, database: &str) -> Option<Vec<Waiting>> {
        let mut queues = self.0.lock();
        let queue = queues.get_mut(database)?;
        if queue.waiting.is_empty() {
            queue.under_way -= 1;
            if queue.under_way == 0 {
                queues.remove(database);
            }
            return None;
        }
        let count = queue.waiting.len().min(MAX_DOCUMENTS);
        Some(queue.waiting.drain(..count).collect())
    }
}

/// The error for each of the reads of one call.
fn again(error: &ReadError) -> ReadError {
    match error {
        ReadError::StateUnavailable(reason) => ReadError::StateUnavailable(reason.clone()),
        ReadError::StateRefused(reason) => ReadError::StateRefused(reason.clone()),
        // Calls do not fail in any other way.
        other => ReadError::StateUnavailable(other.to_string()),
    }
}
