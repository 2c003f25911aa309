//! One database: documents read and written in bulk.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::{Calls, path};
use super::document::{self, Page, Stored, read_rows};
use crate::block::Height;
use crate::error::ReadError;
use crate::state::VersionedValue;

/// Documents of one call.
const MAX_DOCUMENTS: usize = 500;
/// Bytes of documents after which a call is full.
const MAX_BYTES: usize = 4 << 20;
/// Times that documents which somebody else changed meanwhile are written again.
const ROUNDS: u32 = 10;
/// The pause before the second of them; each is longer by as much.
const PAUSE: Duration = Duration::from_millis(20);

/// What is to become of a document.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    Value(VersionedValue),
    Deleted(Height),
    /// One of Fabric's own, with these members.
    Members(Map<String, Value>),
}

/// How a call of `_bulk_docs` went for one document.
#[derive(Debug, Deserialize)]
struct Written {
    #[serde(default)]
    id: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

fn gone(database: &str) -> ReadError {
    ReadError::StateUnavailable(format!("database {database} is not there any more"))
}

fn list(body: &impl serde::Serialize) -> Bytes {
    // Strings and maps of JSON values always serialize.
    serde_json::to_vec(body).unwrap_or_default().into()
}

/// Documents by id; those that are not there are left out. `None` where the database is not there.
pub(super) async fn find(
    calls: &Calls,
    database: &str,
    ids: &[String],
) -> Result<Option<HashMap<String, Stored>>, ReadError> {
    let mut found = HashMap::with_capacity(ids.len());
    for ids in ids.chunks(MAX_DOCUMENTS) {
        let body = list(&json!({ "keys": ids }));
        let query = [("include_docs", "true".to_owned())];
        let url = path(database, "/_all_docs");
        let answer = calls.call(Method::POST, &url, &query, Some(body)).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        if answer.status != 200 {
            return Err(answer.unexpected(&url));
        }
        let unreadable = |error| ReadError::StateUnavailable(format!("{url}: {error}"));
        let documents = read_rows(&answer.body).map_err(unreadable)?.documents;
        found.extend(
            documents
                .into_iter()
                .map(|stored| (stored.id.clone(), stored)),
        );
    }
    Ok(Some(found))
}

/// As [`find`], in a database that must be there.
pub(super) async fn fetch(
    calls: &Calls,
    database: &str,
    ids: &[String],
) -> Result<HashMap<String, Stored>, ReadError> {
    let found = find(calls, database, ids).await?;
    found.ok_or_else(|| gone(database))
}

/// A page of documents in order of id.
pub(super) async fn page(
    calls: &Calls,
    database: &str,
    query: &[(&str, String)],
) -> Result<Page, ReadError> {
    let url = path(database, "/_all_docs");
    let answer = calls.call(Method::GET, &url, query, None).await?;
    match answer.status {
        200 => {
            let unreadable = |error| ReadError::StateUnavailable(format!("{url}: {error}"));
            read_rows(&answer.body).map_err(unreadable)
        }
        404 => Err(gone(database)),
        _ => Err(answer.unexpected(&url)),
    }
}

/// Documents of a database that are not design documents.
pub(super) async fn count(calls: &Calls, database: &str) -> Result<u64, ReadError> {
    #[derive(Deserialize)]
    struct Info {
        doc_count: u64,
    }
    #[derive(Deserialize)]
    struct Designs {
        rows: Vec<serde::de::IgnoredAny>,
    }
    let url = path(database, "");
    let answer = calls.call(Method::GET, &url, &[], None).await?;
    if answer.status == 404 {
        return Err(gone(database));
    }
    let info: Info = answer.read(&url)?;
    let url = path(database, "/_all_docs");
    let query = [
        ("startkey", "\"_design/\"".to_owned()),
        ("endkey", "\"_design0\"".to_owned()),
    ];
    let answer = calls.call(Method::GET, &url, &query, None).await?;
    let designs: Designs = answer.read(&url)?;
    Ok(info.doc_count.saturating_sub(designs.rows.len() as u64))
}

/// Makes a database; whether there was none.
pub(super) async fn create(calls: &Calls, database: &str) -> Result<bool, ReadError> {
    let url = path(database, "");
    let answer = calls.call(Method::PUT, &url, &[], None).await?;
    match answer.status {
        201 | 202 => Ok(true),
        412 => Ok(false),
        _ => Err(answer.unexpected(&url)),
    }
}

/// Removes a database, if it is there.
pub(super) async fn remove(calls: &Calls, database: &str) -> Result<(), ReadError> {
    let url = path(database, "");
    let answer = calls.call(Method::DELETE, &url, &[], None).await?;
    match answer.status {
        200 | 202 | 404 => Ok(()),
        _ => Err(answer.unexpected(&url)),
    }
}

/// Writes documents over those that are there, whatever their revisions; `current` holds those that
/// are known. Durable on return, as far as the server promises.
pub(super) async fn write(
    calls: &Calls,
    database: &str,
    wishes: BTreeMap<String, Wish>,
    mut current: HashMap<String, Stored>,
) -> Result<(), ReadError> {
    let mut wishes: Vec<(String, Wish)> = wishes.into_iter().collect();
    for round in 0..ROUNDS {
        wishes.retain(|(id, wish)| !is_granted(wish, current.get(id)));
        let mut left: Vec<(String, Wish)> = Vec::new();
        while !wishes.is_empty() {
            let conflicts = write_some(calls, database, &mut wishes, &current).await?;
            left.extend(conflicts);
        }
        if left.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(PAUSE * round).await;
        let ids: Vec<String> = left.iter().map(|(id, _)| id.clone()).collect();
        for id in &ids {
            current.remove(id);
        }
        current.extend(fetch(calls, database, &ids).await?);
        wishes = left;
    }
    let reason = format!("documents of database {database} are changed by somebody else");
    Err(ReadError::StateUnavailable(reason))
}

/// Whether a document is as it should be: this batch wrote it before, and was not told.
fn is_granted(wish: &Wish, current: Option<&Stored>) -> bool {
    match (wish, current) {
        (Wish::Value(wanted), Some(current)) => {
            current.version() == Some(wanted.version)
                && current.value().is_ok_and(|value| value == *wanted)
        }
        (Wish::Deleted(_), current) => current.is_none(),
        (Wish::Value(_) | Wish::Members(_), _) => false,
    }
}

/// Writes the last of the wishes, as many as one call takes; those that met a conflict.
async fn write_some(
    calls: &Calls,
    database: &str,
    wishes: &mut Vec<(String, Wish)>,
    current: &HashMap<String, Stored>,
) -> Result<Vec<(String, Wish)>, ReadError> {
    let mut sent: BTreeMap<String, Wish> = BTreeMap::new();
    let mut body = b"{\"docs\":[".to_vec();
    while sent.len() < MAX_DOCUMENTS
        && body.len() < MAX_BYTES
        && let Some((id, wish)) = wishes.pop()
    {
        let rev = current.get(&id).map(|stored| stored.rev.as_str());
        let document = match &wish {
            Wish::Value(content) => document::write(&id, rev, content),
            Wish::Deleted(version) => document::delete(&id, rev.unwrap_or_default(), *version),
            Wish::Members(members) => {
                let mut document = members.clone();
                document.insert("_id".to_owned(), id.clone().into());
                if let Some(rev) = rev {
                    document.insert("_rev".to_owned(), rev.into());
                }
                document
            }
        };
        if !sent.is_empty() {
            body.push(b',');
        }
        body.extend_from_slice(&list(&document));
        sent.insert(id, wish);
    }
    body.extend_from_slice(b"]}");
    let url = path(database, "/_bulk_docs");
    let answer = calls
        .call(Method::POST, &url, &[], Some(body.into()))
        .await?;
    match answer.status {
        409 => return Ok(sent.into_iter().collect()),
        404 => return Err(gone(database)),
        _ => (),
    }
    let written: Vec<Written> = answer.read(&url)?;
    for Written { id, error, reason } in written {
        match error.as_deref() {
            None => drop(sent.remove(&id)),
            Some("conflict") => (),
            Some(error) => {
                let reason = reason.unwrap_or_default();
                let reason = format!("{database} refuses document {id:?}: {error}: {reason}");
                return Err(ReadError::StateUnavailable(reason));
            }
        }
    }
    Ok(sent.into_iter().collect())
}
