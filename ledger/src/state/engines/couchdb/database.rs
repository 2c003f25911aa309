//! One database, whose documents are read and written in bulk.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::answers::{Page, read_leaves, read_rows};
use super::client::{Calls, path};
use super::document::{self, Place, ServerDocument};
use crate::error::ReadError;
use crate::model::block::Height;
use crate::model::value::VersionedValue;

/// The most documents of one call.
const MAX_DOCUMENTS: usize = 1000;
/// The most calls of one job that are under way together.
const SIDE_BY_SIDE: usize = 4;
/// The most bytes of an answer with several documents: as many as the largest document has. Parsed, they take
/// up to fifty times as many.
const MAX_ANSWER: usize = 8 << 20;
/// A call is full after this many bytes of documents.
const MAX_BYTES: usize = 4 << 20;
/// How often documents that somebody else changed meanwhile are written again.
const ROUNDS: u32 = 10;
/// The pause before the second attempt; each further pause is longer by this time.
const PAUSE: Duration = Duration::from_millis(20);

/// What a document must become.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    Value(VersionedValue),
    Deleted(Height),
    /// One of Fabric's own documents, with these members.
    Members(Map<String, Value>),
}

/// The result of a call of `_bulk_docs` for one document.
#[derive(Debug, Deserialize)]
struct Written {
    #[serde(default)]
    id: String,
    #[serde(default)]
    rev: Option<String>,
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

/// Documents by id, without missing ones. `None` if the database does not exist.
pub(super) async fn find(
    calls: &Arc<Calls>,
    database: &str,
    ids: &[String],
) -> Result<Option<HashMap<String, ServerDocument>>, ReadError> {
    let mut found = HashMap::with_capacity(ids.len());
    let mut under_way = JoinSet::new();
    let mut chunks = ids.chunks(MAX_DOCUMENTS);
    loop {
        while under_way.len() < SIDE_BY_SIDE
            && let Some(ids) = chunks.next()
        {
            let ids = ids.to_vec();
            let (calls, database) = (Arc::clone(calls), database.to_owned());
            under_way.spawn(async move { find_some(&calls, &database, &ids, usize::MAX).await });
        }
        match ended(&mut under_way).await? {
            None => return Ok(Some(found)),
            // Without a bound nothing is too long.
            Some(Reply::Gone | Reply::TooLong) => return Ok(None),
            Some(Reply::Documents(documents)) => {
                let documents = documents.into_iter();
                found.extend(documents.map(|stored| (stored.id.clone(), stored)));
            }
        }
    }
}

/// A server's reply to a request for documents.
enum Reply {
    Documents(Vec<ServerDocument>),
    /// The database does not exist.
    Gone,
    /// The documents have more bytes than may be read.
    TooLong,
}

/// How many documents are asked for after an answer that was too long.
fn fewer(count: usize) -> usize {
    (count / 4).max(1)
}

/// How long the answer with `count` documents may be: a single document may have any size.
fn most_of(count: usize) -> usize {
    if count > 1 { MAX_ANSWER } else { usize::MAX }
}

/// Documents of the first of these ids, in a database that must exist, and the number of these ids: as many
/// as one answer has room for, and at least one.
pub(super) async fn fetch_some(
    calls: &Calls,
    database: &str,
    ids: &[String],
) -> Result<(usize, HashMap<String, ServerDocument>), ReadError> {
    let mut count = ids.len().min(MAX_DOCUMENTS);
    loop {
        let first = ids.get(..count).unwrap_or_default();
        match find_some(calls, database, first, most_of(count)).await? {
            Reply::TooLong => count = fewer(count),
            Reply::Gone => return Err(gone(database)),
            Reply::Documents(documents) => {
                let documents = documents.into_iter();
                let by_id = documents.map(|stored| (stored.id.clone(), stored));
                return Ok((count, by_id.collect()));
            }
        }
    }
}

async fn find_some(
    calls: &Calls,
    database: &str,
    ids: &[String],
    most: usize,
) -> Result<Reply, ReadError> {
    let (url, query, body) = if calls.has_quick_bulk_get() {
        let docs: Vec<Value> = ids.iter().map(|id| json!({ "id": id })).collect();
        (
            path(database, "/_bulk_get"),
            vec![],
            json!({ "docs": docs }),
        )
    } else {
        let query = vec![("include_docs", "true".to_owned())];
        (path(database, "/_all_docs"), query, json!({ "keys": ids }))
    };
    let body = Some(list(&body));
    let answer = calls.call_for(Method::POST, &url, &query, body, most);
    let Some(answer) = answer.await? else {
        return Ok(Reply::TooLong);
    };
    let read = |body: &[u8]| match query.as_slice() {
        [] => read_leaves(body),
        _ => read_rows(body).map(|page| page.documents),
    };
    match answer.status {
        404 => Ok(Reply::Gone),
        200 => {
            let unreadable = |error| ReadError::StateUnavailable(format!("{url}: {error}"));
            let documents = read(&answer.body).map_err(unreadable)?;
            Ok(Reply::Documents(documents))
        }
        _ => Err(answer.unexpected(&url)),
    }
}

/// The result of the next job that ends; `None` if no job is left.
async fn ended<T: 'static>(
    under_way: &mut JoinSet<Result<T, ReadError>>,
) -> Result<Option<T>, ReadError> {
    match under_way.join_next().await {
        None => Ok(None),
        Some(Err(error)) => Err(ReadError::StateUnavailable(error.to_string())),
        Some(Ok(result)) => result.map(Some),
    }
}

/// Like [`find`], in a database that must exist.
pub(super) async fn fetch(
    calls: &Arc<Calls>,
    database: &str,
    ids: &[String],
) -> Result<HashMap<String, ServerDocument>, ReadError> {
    let found = find(calls, database, ids).await?;
    found.ok_or_else(|| gone(database))
}

/// A page of documents in order of id, and the number that it could have: fewer than asked for, but at least
/// one, if the answer has no room for all.
pub(super) async fn page(
    calls: &Calls,
    database: &str,
    query: &[(&str, String)],
    size: usize,
) -> Result<(Page, usize), ReadError> {
    let mut size = size;
    loop {
        if let Some(page) = page_of(calls, database, query, size).await? {
            return Ok((page, size));
        }
        size = fewer(size);
    }
}

async fn page_of(
    calls: &Calls,
    database: &str,
    query: &[(&str, String)],
    size: usize,
) -> Result<Option<Page>, ReadError> {
    let url = path(database, "/_all_docs");
    let mut query = query.to_vec();
    query.push(("limit", size.to_string()));
    let answer = calls.call_for(Method::GET, &url, &query, None, most_of(size));
    let Some(answer) = answer.await? else {
        return Ok(None);
    };
    match answer.status {
        200 => {
            let unreadable = |error| ReadError::StateUnavailable(format!("{url}: {error}"));
            read_rows(&answer.body).map(Some).map_err(unreadable)
        }
        404 => Err(gone(database)),
        _ => Err(answer.unexpected(&url)),
    }
}

/// The number of a database's documents that are not design documents; `None` if it does not exist.
pub(super) async fn count_if_there(
    calls: &Calls,
    database: &str,
) -> Result<Option<u64>, ReadError> {
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
        return Ok(None);
    }
    let info: Info = answer.read(&url)?;
    let url = path(database, "/_all_docs");
    let query = [
        ("startkey", "\"_design/\"".to_owned()),
        ("endkey", "\"_design0\"".to_owned()),
    ];
    let answer = calls.call(Method::GET, &url, &query, None).await?;
    let designs: Designs = answer.read(&url)?;
    let designs = designs.rows.len() as u64;
    Ok(Some(info.doc_count.saturating_sub(designs)))
}

/// The same for a database that must exist.
pub(super) async fn count(calls: &Calls, database: &str) -> Result<u64, ReadError> {
    let count = count_if_there(calls, database).await?;
    count.ok_or_else(|| gone(database))
}

/// Makes a database. Returns whether there was none.
pub(super) async fn create(calls: &Calls, database: &str) -> Result<bool, ReadError> {
    let url = path(database, "");
    let answer = calls.call(Method::PUT, &url, &[], None).await?;
    match answer.status {
        201 | 202 => Ok(true),
        412 => Ok(false),
        _ => Err(answer.unexpected(&url)),
    }
}

/// Removes a database, if it exists.
pub(super) async fn remove(calls: &Calls, database: &str) -> Result<(), ReadError> {
    let url = path(database, "");
    let answer = calls.call(Method::DELETE, &url, &[], None).await?;
    match answer.status {
        200 | 202 | 404 => Ok(()),
        _ => Err(answer.unexpected(&url)),
    }
}

/// Writes documents over the existing ones, whatever their revisions; `current` holds the known ones. Returns
/// the new revisions of documents that had to be written. They are durable on return, as far as the server
/// promises that.
pub(super) async fn write(
    calls: &Arc<Calls>,
    place: &Place,
    wishes: BTreeMap<String, Wish>,
    mut current: HashMap<String, ServerDocument>,
) -> Result<HashMap<String, String>, ReadError> {
    let mut wishes: Vec<(String, Wish)> = wishes.into_iter().collect();
    let mut revisions = HashMap::new();
    for round in 0..ROUNDS {
        wishes.retain(|(id, wish)| !is_granted(place, wish, current.get(id)));
        let mut left: Vec<(String, Wish)> = Vec::new();
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < SIDE_BY_SIDE && !wishes.is_empty() {
                let call = Call::of(place, &mut wishes, &current);
                let (calls, database) = (Arc::clone(calls), place.database.clone());
                under_way.spawn(async move { call.make(&calls, &database).await });
            }
            match ended(&mut under_way).await? {
                None => break,
                Some(outcome) => {
                    left.extend(outcome.conflicts);
                    revisions.extend(outcome.revisions);
                }
            }
        }
        if left.is_empty() {
            return Ok(revisions);
        }
        tokio::time::sleep(PAUSE * round).await;
        let ids: Vec<String> = left.iter().map(|(id, _)| id.clone()).collect();
        for id in &ids {
            current.remove(id);
        }
        current.extend(fetch(calls, &place.database, &ids).await?);
        wishes = left;
    }
    let database = &place.database;
    let reason = format!("documents of database {database} are changed by somebody else");
    Err(ReadError::StateUnavailable(reason))
}

/// Whether a document is already as it should be: this batch wrote it, but the answer was lost.
fn is_granted(place: &Place, wish: &Wish, current: Option<&ServerDocument>) -> bool {
    match (wish, current) {
        (Wish::Value(wanted), Some(current)) => {
            current.version() == Some(wanted.version)
                && current.value(place).is_ok_and(|value| value == *wanted)
        }
        (Wish::Deleted(_), current) => current.is_none(),
        (Wish::Value(_) | Wish::Members(_), _) => false,
    }
}

/// The result of one call of `_bulk_docs`.
#[derive(Default)]
struct Outcome {
    conflicts: Vec<(String, Wish)>,
    revisions: Vec<(String, String)>,
}

/// One call of `_bulk_docs`.
struct Call {
    sent: BTreeMap<String, Wish>,
    body: Bytes,
}

impl Call {
    /// Takes as many of the last wishes as one call can take.
    fn of(
        place: &Place,
        wishes: &mut Vec<(String, Wish)>,
        current: &HashMap<String, ServerDocument>,
    ) -> Self {
        let mut sent: BTreeMap<String, Wish> = BTreeMap::new();
        let mut body = b"{\"docs\":[".to_vec();
        while sent.len() < MAX_DOCUMENTS
            && body.len() < MAX_BYTES
            && let Some((id, wish)) = wishes.pop()
        {
            let rev = current.get(&id).map(|stored| stored.rev.as_str());
            let document = match &wish {
                Wish::Value(content) => document::write(place, &id, rev, content),
                Wish::Deleted(version) => {
                    document::delete(place, &id, rev.unwrap_or_default(), *version)
                }
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
        Self {
            sent,
            body: body.into(),
        }
    }

    async fn make(self, calls: &Calls, database: &str) -> Result<Outcome, ReadError> {
        let Self { mut sent, body } = self;
        let mut outcome = Outcome::default();
        let url = path(database, "/_bulk_docs");
        let answer = calls.call(Method::POST, &url, &[], Some(body)).await?;
        match answer.status {
            409 => {
                outcome.conflicts = sent.into_iter().collect();
                return Ok(outcome);
            }
            404 => return Err(gone(database)),
            _ => (),
        }
        let written: Vec<Written> = answer.read(&url)?;
        for one in written {
            let Written {
                id,
                rev,
                error,
                reason,
            } = one;
            match error.as_deref() {
                None => {
                    sent.remove(&id);
                    outcome.revisions.extend(rev.map(|rev| (id, rev)));
                }
                Some("conflict") => (),
                Some(error) => {
                    let reason = reason.unwrap_or_default();
                    let reason = format!("{database} refuses document {id:?}: {error}: {reason}");
                    return Err(ReadError::StateUnavailable(reason));
                }
            }
        }
        outcome.conflicts = sent.into_iter().collect();
        Ok(outcome)
    }
}
