//! Documents in the answers of a server.

use serde_json::Value;

use super::document::ServerDocument;
use crate::json::{self, MAX_TREE_DEPTH, Repeats};

/// Levels of an answer of `_all_docs` around a document: the answer, its rows, a row.
const LEVELS_AROUND: usize = 3;
/// Levels of an answer of `_bulk_get` around a document: the answer, its results, a result, its documents, a
/// leaf.
const LEVELS_AROUND_LEAF: usize = 5;

/// An answer of `_all_docs`.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) documents: Vec<ServerDocument>,
    /// All rows, including those of keys without a document.
    pub(super) rows: usize,
    /// Id of the last row, if the row has a document.
    pub(super) last: Option<String>,
}

/// Reads an answer of `_all_docs` with documents.
pub(super) fn read_rows(body: &[u8]) -> Result<Page, String> {
    let depth = MAX_TREE_DEPTH + LEVELS_AROUND;
    let answer = json::parse_to(body, Repeats::LastCounts, depth);
    let mut answer = answer.map_err(|error| error.to_string())?;
    let Some(Value::Array(mut rows)) = answer.get_mut("rows").map(Value::take) else {
        return Err("there are no rows".to_owned());
    };
    let count = rows.len();
    let last = rows.last().and_then(|row| row.get("id")?.as_str());
    let last = last.map(str::to_owned);
    let documents = rows
        .iter_mut()
        .filter_map(|row| match row.get_mut("doc")?.take() {
            Value::Object(members) => Some(members),
            // The key has no document.
            _ => None,
        });
    Ok(Page {
        documents: documents
            .map(ServerDocument::of)
            .collect::<Result<_, String>>()?,
        rows: count,
        last,
    })
}

/// Reads the documents in an answer of `_bulk_get`. The answer has the leaves of each id, including deleted
/// ones and those that lost a conflict.
pub(super) fn read_leaves(body: &[u8]) -> Result<Vec<ServerDocument>, String> {
    let depth = MAX_TREE_DEPTH + LEVELS_AROUND_LEAF;
    let answer = json::parse_to(body, Repeats::LastCounts, depth);
    let mut answer = answer.map_err(|error| error.to_string())?;
    let Some(Value::Array(results)) = answer.get_mut("results").map(Value::take) else {
        return Err("there are no results".to_owned());
    };
    let mut documents = Vec::with_capacity(results.len());
    for mut result in results {
        let Some(Value::Array(leaves)) = result.get_mut("docs").map(Value::take) else {
            return Err("a result has no documents".to_owned());
        };
        let mut winner: Option<ServerDocument> = None;
        for mut leaf in leaves {
            let Some(Value::Object(members)) = leaf.get_mut("ok").map(Value::take) else {
                if leaf.pointer("/error/error").and_then(Value::as_str) == Some("not_found") {
                    continue;
                }
                return Err(format!("a document is not answered: {leaf}"));
            };
            if members.get("_deleted") == Some(&Value::Bool(true)) {
                continue;
            }
            let leaf = ServerDocument::of(members)?;
            if winner
                .as_ref()
                .is_none_or(|winner| winner.rank() < leaf.rank())
            {
                winner = Some(leaf);
            }
        }
        documents.extend(winner);
    }
    Ok(documents)
}
