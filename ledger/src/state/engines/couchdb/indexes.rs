//! Query indexes as the server's own, for users who ask the server directly: Fauxton, reports, replicas. None
//! of our answers depends on them.

use couch_rs::database::Database;
use couch_rs::types::find::SortSpec;
use couch_rs::types::index::{IndexFields, IndexType};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::client::{Calls, path};
use crate::error::ReadError;
use crate::query::index::Record;

/// Makes an index; an existing one stays.
pub(super) async fn create(calls: &Calls, database: &str, index: &Record) -> Result<(), ReadError> {
    let url = path(database, "/_index");
    if index.descending || !index.partial_filter_selector.is_empty() {
        // `couch_rs` cannot express this.
        let direction = if index.descending { "desc" } else { "asc" };
        let fields = index.fields.iter().map(|field| json!({ field: direction }));
        let mut definition = Map::new();
        definition.insert("fields".to_owned(), fields.collect());
        let partial = &index.partial_filter_selector;
        if !partial.is_empty() {
            let partial = Value::Object(partial.clone());
            definition.insert("partial_filter_selector".to_owned(), partial);
        }
        let body = json!({
            "index": definition, "ddoc": index.ddoc, "name": index.name, "type": "json",
        });
        let body = body.to_string().into_bytes().into();
        let answer = calls.call(Method::POST, &url, &[], Some(body)).await?;
        return answer.read::<serde::de::IgnoredAny>(&url).map(|_| ());
    }
    let fields = index.fields.iter().cloned().map(SortSpec::Simple).collect();
    let name = utf8_percent_encode(database, NON_ALPHANUMERIC).to_string();
    let database = Database::new(name, calls.client().clone());
    let created = database.insert_index(
        &index.name,
        IndexFields::new(fields),
        Some(IndexType::Json),
        Some(index.ddoc.clone()),
    );
    calls.may_call()?;
    let created = created.await.map(|_| ());
    created.map_err(|error| calls.failed(&url, &error))
}

/// Removes an index, if it exists.
pub(super) async fn delete(calls: &Calls, database: &str, index: &Record) -> Result<(), ReadError> {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let rest = format!(
        "/_index/{}/json/{}",
        encode(&index.ddoc),
        encode(&index.name)
    );
    let url = path(database, &rest);
    let answer = calls.call(Method::DELETE, &url, &[], None).await?;
    match answer.status {
        200 | 404 => Ok(()),
        _ => Err(answer.unexpected(&url)),
    }
}
