//! The answer of a query.

use std::time::Duration;

use serde_json::{Value, json};

use super::error::QueryError;
use super::work::TooExpensive;
use crate::error::ReadError;

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The query is at fault.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The state engine is at fault.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The query would take too much work, or too long.
    #[error(transparent)]
    TooExpensive(#[from] TooExpensive),
}

/// A page of documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// JSON texts, in order.
    pub documents: Vec<String>,
    /// Continues after the page. `None` if the form of the query asks for nothing: then CouchDB gives no
    /// bookmark.
    pub bookmark: Option<String>,
    /// Lines that say what would make the query faster, or was not used.
    pub warning: Option<String>,
    /// The statistics, if they were asked for.
    pub stats: Option<ExecutionStats>,
}

impl Found {
    /// The answer of `_find`, with every document's own text in it. `elapsed` is shown among the
    /// statistics.
    #[must_use]
    pub fn to_json(&self, elapsed: Option<Duration>) -> String {
        let mut text = String::from("{\"docs\":[");
        text.push_str(&self.documents.join(","));
        text.push(']');
        let stats = self.stats.map(|stats| stats.to_json(elapsed));
        let members = [
            ("bookmark", self.bookmark.as_deref().map(Value::from)),
            ("execution_stats", stats),
            ("warning", self.warning.as_deref().map(Value::from)),
        ];
        for (name, value) in members {
            if let Some(value) = value {
                text.extend([",\"", name, "\":", &value.to_string()]);
            }
        }
        text.push('}');
        text
    }
}

/// What a query cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecutionStats {
    /// Documents that were read.
    pub documents_examined: u64,
    /// Documents that were returned.
    pub results_returned: u64,
}

impl ExecutionStats {
    fn to_json(self, elapsed: Option<Duration>) -> Value {
        let mut stats = json!({
            "total_keys_examined": self.documents_examined,
            "total_docs_examined": self.documents_examined,
            "total_quorum_docs_examined": 0,
            "results_returned": self.results_returned,
        });
        if let (Some(elapsed), Some(members)) = (elapsed, stats.as_object_mut()) {
            let time = elapsed.as_secs_f64() * 1000.0;
            members.insert("execution_time_ms".to_owned(), time.into());
        }
        stats
    }
}
