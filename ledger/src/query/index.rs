//! The definition of an index, and what it says about a document.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::collation::put_sort_key;
use super::document::{Document, Wanted};
use super::error::QueryError;
use super::path::{Found, Path};
use super::request::{Members, Sort, selector};
use super::selector::Selector;
use super::size::{self, Admission};
use super::version::Version;
use super::work::Meter;
use crate::json::{self, Repeats};

/// The most bytes of a sort key that an index keeps. Documents whose sort keys agree so far are ordered by
/// their keys.
pub(super) const MAX_SORT_KEY_BYTES: usize = 8 << 10;
/// The most bytes of the name of an index or of its design document: the path that drops it has both.
const MAX_NAME_BYTES: usize = 1 << 10;
/// Most fields of an index.
pub(super) const MAX_FIELDS: usize = 32;
/// The most steps of a filter for a document, and how many more for each of its bytes. The committing thread
/// runs the filter, and nobody can end that.
const FILTER_STEPS: u64 = 100_000;
const FILTER_STEPS_A_BYTE: u64 = 4;

/// A checked request for an index.
#[derive(Clone, Debug)]
pub struct IndexRequest(pub(crate) Definition);

/// The definition of an index.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) record: Record,
    paths: Vec<Path>,
    partial: Option<Selector>,
    /// The members that it needs.
    wanted: Wanted,
}

/// A definition as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Design document, without `_design/`.
    pub(crate) ddoc: String,
    pub(crate) name: String,
    pub(crate) fields: Vec<String>,
    pub(crate) descending: bool,
    /// In normal form; empty if every document is indexed.
    pub(crate) partial_filter_selector: Map<String, Value>,
    /// The meaning of that selector.
    pub(crate) selector_version: Version,
}

impl Definition {
    /// # Errors
    /// A path or the selector is not well-formed.
    pub(crate) fn new(record: Record) -> Result<Self, QueryError> {
        let paths = record.fields.iter().map(|field| Path::parse(field));
        let paths = paths.collect::<Result<Vec<_>, _>>()?;
        let partial = &record.partial_filter_selector;
        // A user who asked for a definition was told if its filter is too large.
        let parse = || Selector::parse_as(partial, record.selector_version, Admission::Before);
        let partial = (!partial.is_empty()).then(parse).transpose()?;
        let mut wanted = Wanted::default();
        for path in &paths {
            wanted.add(path.first());
        }
        if let Some(partial) = &partial {
            partial.add_wanted(&mut wanted);
        }
        Ok(Self {
            record,
            paths,
            partial,
            wanted,
        })
    }

    /// The members of documents that it needs.
    pub(crate) fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// The filter of the indexed documents, if not all are indexed.
    pub(crate) fn partial(&self) -> Option<&Selector> {
        self.partial.as_ref()
    }

    pub(crate) fn is_partial(&self) -> bool {
        self.partial.is_some()
    }

    /// Whether a document must be indexed, if it has the fields. A document is also indexed if its filter
    /// takes too many steps: a reader of the index asks the filter again, with its own steps.
    pub(crate) fn takes(&self, document: &Document) -> bool {
        let Some(partial) = &self.partial else {
            return true;
        };
        let more = FILTER_STEPS_A_BYTE.saturating_mul(document.bytes as u64);
        let mut meter = Meter::new(FILTER_STEPS.saturating_add(more), None);
        partial.matches(&document.value, &mut meter) != Ok(false)
    }

    /// The document's values of the index's fields; `None` if one is missing.
    pub(crate) fn values<'a>(&self, document: &'a Value) -> Option<Vec<&'a Value>> {
        let values = self.paths.iter().map(|path| match path.find(document) {
            Found::Value(value) => Some(value),
            Found::Missing | Found::Blocked => None,
        });
        values.collect()
    }

    /// The position of the document in the index, if it is in it.
    pub(crate) fn sort_key(&self, document: &Value) -> Option<Vec<u8>> {
        Some(sort_key(&self.values(document)?))
    }

    /// The index as CouchDB shows it.
    pub(crate) fn to_json(&self) -> Value {
        let sort = Sort {
            fields: self.record.fields.clone(),
            is_descending: self.record.descending,
        };
        let fields = sort
            .specs()
            .map(|spec| Value::Object(Map::from_iter([spec])));
        let mut def = Map::new();
        def.insert("fields".to_owned(), fields.collect());
        if self.is_partial() {
            let partial = self.record.partial_filter_selector.clone();
            def.insert("partial_filter_selector".to_owned(), Value::Object(partial));
        }
        json!({
            "ddoc": format!("_design/{}", self.record.ddoc),
            "name": self.record.name,
            "type": "json",
            "partitioned": false,
            "def": def,
        })
    }
}

/// Removes `_design/`.
fn bare(ddoc: &str) -> &str {
    ddoc.strip_prefix("_design/").unwrap_or(ddoc)
}

/// The name of an index for which the user gave none.
fn generated_name(sort: &Sort, partial: &Map<String, Value>) -> String {
    let definition = json!([sort.fields, sort.is_descending, partial]);
    let digest = Sha256::digest(definition.to_string());
    hex::encode(digest.get(..20).unwrap_or_default())
}

/// Checks that a path can name it, so that the index can be dropped.
fn check_name(name: &str) -> Result<(), QueryError> {
    if name.is_empty() {
        return Err(QueryError::option(
            "invalid_empty_string",
            "Index name or ddoc cannot be empty string".to_owned(),
        ));
    }
    // Clients take these two for steps through folders, however they are written.
    if name.len() > MAX_NAME_BYTES || matches!(name, "." | "..") {
        return Err(QueryError::option(
            "invalid_index_name",
            format!("Index name or ddoc is . or .., or has more than {MAX_NAME_BYTES} bytes"),
        ));
    }
    Ok(())
}

fn check_ddoc(ddoc: &str) -> Result<(), QueryError> {
    check_name(ddoc)?;
    if bare(ddoc).is_empty() {
        let reason = format!("Illegal document id `{ddoc}`");
        return Err(QueryError::option("illegal_docid", reason));
    }
    check_name(bare(ddoc))
}

impl Record {
    /// Gives it names that a path can contain. Earlier versions accepted others.
    pub(crate) fn with_names(mut self) -> Self {
        let sort = Sort {
            fields: self.fields.clone(),
            is_descending: self.descending,
        };
        let generated = generated_name(&sort, &self.partial_filter_selector);
        for name in [&mut self.ddoc, &mut self.name] {
            if check_name(name).is_err() {
                name.clone_from(&generated);
            }
        }
        self
    }
}

/// The sort key of values, one after another, which is cut if it becomes too long.
pub(crate) fn sort_key(values: &[&Value]) -> Vec<u8> {
    let mut key = Vec::new();
    for value in values {
        if key.len() >= MAX_SORT_KEY_BYTES {
            break;
        }
        put_sort_key(value, &mut key, MAX_SORT_KEY_BYTES);
    }
    key.truncate(MAX_SORT_KEY_BYTES);
    key
}

impl IndexRequest {
    /// Reads the body of `POST _index`.
    ///
    /// # Errors
    /// The error that CouchDB would give.
    pub fn parse(body: &[u8]) -> Result<Self, QueryError> {
        Self::of(Members::parse(body)?)
    }

    /// Reads the members of the body.
    pub(super) fn of(mut members: Members) -> Result<Self, QueryError> {
        let invalid = |reason: String| QueryError::option("invalid_index", reason);
        let index = members
            .take("index")
            .ok_or(QueryError::MissingKey("index"))?;
        let kind = members.text("type")?;
        let name = members.text("name")?;
        name.as_deref().map_or(Ok(()), check_name)?;
        let ddoc = members.text("ddoc")?;
        ddoc.as_deref().map_or(Ok(()), check_ddoc)?;
        members.positive("w", 2)?;
        if members.flag("partitioned", false)? {
            let reason = "partitioned indexes are not supported".to_owned();
            return Err(QueryError::option("invalid_partitioned_value", reason));
        }
        members.finish()?;
        if kind.as_deref().is_some_and(|kind| kind != "json") {
            let kind = kind.unwrap_or_default();
            return Err(invalid(format!("Invalid type for index: {kind}")));
        }
        let Value::Object(index) = index else {
            let index = super::erlang::Plain(&index);
            return Err(invalid(format!(
                "JSON indexes must be an object, not: {index}"
            )));
        };
        let mut members = Members::of(index);
        let fields = members
            .take("fields")
            .ok_or(QueryError::MissingKey("fields"))?;
        let sort = Sort::parse(&fields)?;
        let partial = members.take("partial_filter_selector");
        let partial = partial.map(|partial| selector(&partial)).transpose()?;
        members.finish()?;
        if sort.fields.is_empty() || sort.fields.len() > MAX_FIELDS {
            return Err(invalid(format!("An index has 1 to {MAX_FIELDS} fields.")));
        }
        let pattern_steps = partial.as_ref().map_or(0, Selector::pattern_steps);
        let partial = partial.map(|partial| partial.normal().clone());
        let Value::Object(partial) = partial.unwrap_or_else(|| json!({})) else {
            return Err(QueryError::MissingFieldName);
        };
        // It is kept in normal form, which is deeper than the written form.
        let kept = Value::Object(partial.clone()).to_string();
        json::parse(kept.as_bytes(), Repeats::LastCounts)?;
        size::check_filter(&kept, pattern_steps)?;
        let generated = generated_name(&sort, &partial);
        let ddoc = ddoc.as_deref().unwrap_or(&generated);
        Definition::new(Record {
            ddoc: bare(ddoc).to_owned(),
            name: name.unwrap_or_else(|| generated.clone()),
            fields: sort.fields,
            descending: sort.is_descending,
            selector_version: Version::CURRENT.least(&Value::Object(partial.clone())),
            partial_filter_selector: partial,
        })
        .map(Self)
    }

    /// Id of the design document, with `_design/`.
    #[must_use]
    pub fn ddoc_id(&self) -> String {
        format!("_design/{}", self.0.record.ddoc)
    }

    /// The index's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.record.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::block::Height;

    /// Its filter would take about eighty million steps for the second document.
    #[test]
    fn a_document_of_which_the_filter_takes_too_much_is_taken() {
        let wanted: Vec<u32> = (1_000..4_000).collect();
        let index = json!({"fields": ["n"],
            "partial_filter_selector": {"l": {"$elemMatch": {"$in": wanted}}}});
        let body = json!({ "index": index }).to_string();
        let definition = IndexRequest::parse(body.as_bytes()).unwrap().0;
        for (length, is_taken) in [(1, false), (20_000, true)] {
            let value = json!({"l": vec![0; length]}).to_string();
            let wanted = definition.wanted();
            let document = Document::parse("k", Height::new(1, 0), value.as_bytes(), wanted);
            assert_eq!(definition.takes(&document.unwrap()), is_taken, "{length}");
        }
    }
}
