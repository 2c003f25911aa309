//! What a page of a query asked for, told so that anybody can ask it again at any time: the documents
//! that match a selector, have all of some fields, and stand between two places in the order of those
//! fields. It goes into blocks ([`crate::validation::rich`]), so it names no index and holds no sort
//! key, and nothing of it depends on the node that asked.
//!
//! ```text
//! start  {"version":1,"selector":{..},"fields":["total"],"from":{"values":[10],"key":"k1","included":false}}
//! end    {"to":{"values":[12.50],"key":"k7","included":true}}
//! ```
//!
//! The whole selector is there, and not only the bounds that it sets on fields: bounds are what an
//! index can use, the selector is what was asked. With bounds alone every document within them would
//! count, and a selector without any (`$or`, `$regex`) would ask for the whole namespace.

use std::ops::Bound;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::bookmark::Bookmark;
use super::document::Document;
use super::error::QueryError;
use super::index::{MAX_FIELDS, sort_key};
use super::path::{Found, Path};
use super::plan::Plan;
use super::request::Query;
use super::selector::Selector;

/// Version of the form, and of the order of values: ICU's root collation as `collation.rs` has it.
const VERSION: u32 = 1;
/// Most bytes of a selector that is asked inside of a transaction: it is asked again of every
/// document that may match when the transaction is judged.
const MAX_SELECTOR_BYTES: usize = 64 << 10;

/// A set of documents.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    selector: Selector,
    fields: Vec<String>,
    paths: Vec<Path>,
    from: Option<Place>,
    to: Option<Place>,
}

/// A place in the order of documents: values of the fields, then the key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    values: Vec<Value>,
    key: String,
    /// Whether a document at this very place is asked for.
    included: bool,
    /// What documents are compared by; made from the others.
    #[serde(skip)]
    position: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    version: u32,
    selector: Map<String, Value>,
    fields: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<Place>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<Place>,
}

/// Texts that say nothing of what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAsked;

impl Place {
    fn new(values: Vec<Value>, key: String, included: bool) -> Self {
        let mut place = Self {
            values,
            key,
            included,
            position: Vec::new(),
        };
        place.settle();
        place
    }

    fn bound(place: Option<&Self>) -> Bound<&str> {
        match place {
            Some(place) if place.included => Bound::Included(&place.key),
            Some(place) => Bound::Excluded(&place.key),
            None => Bound::Unbounded,
        }
    }

    fn settle(&mut self) {
        self.position = position(&self.values.iter().collect::<Vec<_>>(), &self.key);
    }
}

/// Where a document stands: exactly where an index of the same fields has it.
fn position(values: &[&Value], key: &str) -> Vec<u8> {
    let mut position = sort_key(values);
    position.extend_from_slice(key.as_bytes());
    position
}

impl Asked {
    /// What a page asked for that was read by a plan from behind a bookmark: up to `last`, the last
    /// document that was counted, or to the end where none is given.
    pub(super) fn of(
        plan: &Plan,
        query: &Query,
        after: Option<&Bookmark>,
        last: Option<(&str, &Document)>,
    ) -> Result<Self, QueryError> {
        let definition = plan.index.as_ref().map(|index| &index.definition);
        let fields = definition.map_or_else(Vec::new, |index| index.record.fields.clone());
        let mut selector = query.selector.clone();
        if let Some(partial) = definition.map(|index| &index.record.partial_filter_selector)
            && !partial.is_empty()
        {
            selector = selector.and(partial.clone().into())?;
        }
        let paths = paths(&fields)?;
        let after = after.map(|Bookmark { values, key, .. }| {
            let values = definition.map_or_else(Vec::new, |_| values.clone());
            Place::new(values, key.clone(), false)
        });
        let last = last.map(|(key, document)| {
            let values = values(&paths, &document.value).unwrap_or_default();
            Place::new(values.into_iter().cloned().collect(), key.to_owned(), true)
        });
        let (from, to) = if query.sort.is_descending {
            (last, after)
        } else {
            (after, last)
        };
        let asked = Self {
            selector,
            fields,
            paths,
            from,
            to,
        };
        // What is written must be readable: too large a selector is found here, and so is one that
        // is too deep once it stands inside of the record.
        let (start, end) = asked.texts();
        match Self::read(&start, &end) {
            Ok(_) => Ok(asked),
            Err(NotAsked) => Err(QueryError::option(
                "selector_too_large",
                format!(
                    "a selector inside of a transaction has at most {MAX_SELECTOR_BYTES} bytes and \
                     120 levels"
                ),
            )),
        }
    }

    /// The texts that say it.
    pub(crate) fn texts(&self) -> (String, String) {
        let selector = self.selector.normal().as_object();
        let start = Start {
            version: VERSION,
            selector: selector.cloned().unwrap_or_default(),
            fields: self.fields.clone(),
            from: self.from.clone(),
        };
        let end = End {
            to: self.to.clone(),
        };
        // Strings and JSON always serialize.
        let text = |value: Result<String, _>| value.unwrap_or_default();
        (
            text(serde_json::to_string(&start)),
            text(serde_json::to_string(&end)),
        )
    }

    /// Reads the texts again, or what somebody else wrote in their place.
    ///
    /// # Errors
    /// They are not of this form, or say what no query can.
    pub(crate) fn read(start: &str, end: &str) -> Result<Self, NotAsked> {
        let mut start: Start = serde_json::from_str(start).map_err(|_| NotAsked)?;
        let mut end: End = serde_json::from_str(end).map_err(|_| NotAsked)?;
        let selector = Value::Object(start.selector);
        if start.version != VERSION
            || start.fields.len() > MAX_FIELDS
            || selector.to_string().len() > MAX_SELECTOR_BYTES
        {
            return Err(NotAsked);
        }
        let selector = super::request::selector(&selector).map_err(|_| NotAsked)?;
        let paths = paths(&start.fields).map_err(|_| NotAsked)?;
        for place in [&mut start.from, &mut end.to].into_iter().flatten() {
            place.settle();
        }
        Ok(Self {
            selector,
            paths,
            fields: start.fields,
            from: start.from,
            to: end.to,
        })
    }

    /// Whether a document is one of those.
    pub(crate) fn includes(&self, key: &str, document: &Document) -> bool {
        let Some(values) = values(&self.paths, &document.value) else {
            return false;
        };
        self.has_place(&values, key) && self.selector.matches(&document.value)
    }

    fn has_place(&self, values: &[&Value], key: &str) -> bool {
        if self.from.is_none() && self.to.is_none() {
            return true;
        }
        let position = position(values, key);
        let is_behind = self.from.as_ref().is_none_or(|from| {
            position > from.position || (from.included && position == from.position)
        });
        let is_before = self
            .to
            .as_ref()
            .is_none_or(|to| position < to.position || (to.included && position == to.position));
        is_behind && is_before
    }

    /// A query that finds all of them, and maybe more, by whatever index serves it.
    pub(super) fn to_query(&self) -> Query {
        let present = self.fields.iter().map(|field| {
            let exists = json!({"$exists": true});
            Value::Object(Map::from_iter([(field.clone(), exists)]))
        });
        let selector = present
            .into_iter()
            .try_fold(self.selector.clone(), |selector, field| selector.and(field));
        // A field that cannot stand in a selector: fewer indexes serve, no answer changes.
        Query::of(selector.unwrap_or_else(|_| self.selector.clone()))
    }

    /// The part of an index of these columns that holds them: sort keys with keys, inclusive and
    /// exclusive. None where the index has another order.
    pub(super) fn entries(&self, columns: &[String]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        if columns != self.fields {
            return None;
        }
        let edge = |place: &Place, is_behind: bool| {
            let mut edge = place.position.clone();
            if is_behind {
                edge.push(0);
            }
            edge
        };
        let from = self.from.as_ref().map(|from| edge(from, !from.included));
        let to = self.to.as_ref().map(|to| edge(to, to.included));
        Some((from.unwrap_or_default(), to))
    }

    /// The keys between which they are, where their order is that of keys.
    pub(super) fn keys(&self) -> (Bound<&str>, Bound<&str>) {
        let is_key = |place: &&Place| self.fields.is_empty() && place.values.is_empty();
        let from = self.from.as_ref().filter(is_key);
        let to = self.to.as_ref().filter(is_key);
        (Place::bound(from), Place::bound(to))
    }
}

fn paths(fields: &[String]) -> Result<Vec<Path>, QueryError> {
    fields.iter().map(|field| Path::parse(field)).collect()
}

/// The document's values of the fields; none where it lacks one.
fn values<'a>(paths: &[Path], document: &'a Value) -> Option<Vec<&'a Value>> {
    let values = paths.iter().map(|path| match path.find(document) {
        Found::Value(value) => Some(value),
        Found::Missing | Found::Blocked => None,
    });
    values.collect()
}
