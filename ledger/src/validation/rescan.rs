//! Rich queries in earlier blocks, whose records do not say when they were asked: they are asked again, over
//! every document of the namespace.

use std::collections::BTreeMap;

use quire_wire::rwset::ReadsInfo;

use super::phantom;
use super::record::row;
use crate::error::ReadError;
use crate::model::block::Height;
use crate::model::value::VersionedValue;
use crate::query::asked::Asked;
use crate::query::document::{Document, Wanted};
use crate::query::work::Meter;
use crate::validation::pending::Pending;

/// Whether the query still finds the same documents with the same versions.
pub(super) fn still_holds(
    namespace: &str,
    asked: &Asked,
    seen: Option<&ReadsInfo>,
    pending: &Pending<'_>,
) -> Result<bool, ReadError> {
    let wanted = asked.wanted();
    let includes = |key: &str, value: &VersionedValue| includes(asked, &wanted, key, value);
    let changes = pending.changes(namespace);
    let mut rows: BTreeMap<String, Height> = BTreeMap::new();
    for (key, update) in &changes {
        if let Some(value) = update.value()
            && includes(key, &value)
        {
            rows.insert((*key).to_owned(), value.version);
        }
    }
    let (from, to) = asked.keys();
    for committed in pending.state.rows(namespace, from, to, false)? {
        let (key, value) = committed?;
        if !changes.contains_key(key.as_str()) && includes(&key, &value) {
            rows.insert(key, value.version);
        }
    }
    let rows = rows.into_iter();
    let rows = rows.map(|(key, version)| row(&key, version));
    Ok(phantom::are_those_seen(rows.collect(), seen))
}

/// Whether a value is among the documents asked for, without a limit of steps.
fn includes(asked: &Asked, wanted: &Wanted, key: &str, value: &VersionedValue) -> bool {
    let document = Document::parse(key, value.version, &value.value, wanted);
    document
        .is_some_and(|document| asked.includes(key, &document, &mut Meter::unlimited()) == Ok(true))
}
