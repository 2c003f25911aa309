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

use serde_json::{Map, Value, json};

use super::bookmark::Bookmark;
use super::document::Document;
use super::error::QueryError;
use super::index::{Definition, MAX_FIELDS, sort_key};
use super::path::{Found, Path};
use super::plan::Plan;
use super::request::Query;
use super::selector::Selector;
use super::version::Version;
use super::work::{Exceeded, Meter};
use crate::json::{self, Repeats};

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
#[derive(Clone, Debug, PartialEq)]
struct Place {
    values: Vec<Value>,
    key: String,
    /// Whether a document at this very place is asked for.
    included: bool,
    /// What documents are compared by; made from the others.
    position: Vec<u8>,
}

/// Texts that say nothing of what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAsked;

impl Place {
    fn new(values: Vec<Value>, key: String, included: bool) -> Self {
        let position = position(&values.iter().collect::<Vec<_>>(), &key);
        Self {
            values,
            key,
            included,
            position,
        }
    }

    fn to_json(&self) -> Value {
        json!({"values": self.values, "key": self.key, "included": self.included})
    }

    fn read(value: Value) -> Result<Self, NotAsked> {
        let mut members = members(value)?;
        let (values, key, included) = (
            members.shift_remove("values"),
            members.shift_remove("key"),
            members.shift_remove("included"),
        );
        match (values, key, included) {
            (Some(Value::Array(values)), Some(Value::String(key)), Some(Value::Bool(included)))
                if members.is_empty() =>
            {
                Ok(Self::new(values, key, included))
            }
            _ => Err(NotAsked),
        }
    }

    fn bound(place: Option<&Self>) -> Bound<&str> {
        match place {
            Some(place) if place.included => Bound::Included(&place.key),
            Some(place) => Bound::Excluded(&place.key),
            None => Bound::Unbounded,
        }
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
        if let Some(partial) = definition.and_then(Definition::partial) {
            selector = selector.and(partial)?;
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
        let from = self.from.as_ref().map(|from| ("from", from.to_json()));
        let to = self.to.as_ref().map(|to| ("to", to.to_json()));
        let start = [
            ("version", self.selector.version().number().into()),
            ("selector", self.selector.normal().clone()),
            ("fields", self.fields.clone().into()),
        ];
        let text = |members: Vec<(&str, Value)>| {
            let members = members.into_iter();
            let members = members.map(|(name, value)| (name.to_owned(), value));
            Value::Object(members.collect()).to_string()
        };
        (
            text(start.into_iter().chain(from).collect()),
            text(to.into_iter().collect()),
        )
    }

    /// Reads the texts again, or what somebody else wrote in their place.
    ///
    /// # Errors
    /// They are not of this form, or say what no query can.
    pub(crate) fn read(start: &str, end: &str) -> Result<Self, NotAsked> {
        // A repeated member counts last, as ever: the verdicts of old depend on it.
        let parse = |text: &str| json::parse(text.as_bytes(), Repeats::LastCounts);
        let parse = |text| parse(text).map_err(|_| NotAsked);
        let (mut start, mut end) = (members(parse(start)?)?, members(parse(end)?)?);
        let version = start.shift_remove("version");
        let version = version.as_ref().and_then(Value::as_u64);
        let version = version.and_then(|number| Version::try_from(number).ok());
        let version = version.ok_or(NotAsked)?;
        let selector = start.shift_remove("selector").ok_or(NotAsked)?;
        let fields = fields(start.shift_remove("fields"))?;
        let from = start.shift_remove("from").map(Place::read).transpose()?;
        let to = end.shift_remove("to").map(Place::read).transpose()?;
        // What is too large is not read.
        if selector.to_string().len() > MAX_SELECTOR_BYTES || !start.is_empty() || !end.is_empty() {
            return Err(NotAsked);
        }
        let Value::Object(selector) = selector else {
            return Err(NotAsked);
        };
        let selector = Selector::parse_as(&selector, version).map_err(|_| NotAsked)?;
        // There is one way to write it: the first version that means this.
        if selector.version() != version {
            return Err(NotAsked);
        }
        Ok(Self {
            selector,
            paths: paths(&fields).map_err(|_| NotAsked)?,
            fields,
            from,
            to,
        })
    }

    /// Whether a document is one of those.
    ///
    /// # Errors
    /// The meter's steps are spent.
    pub(crate) fn includes(
        &self,
        key: &str,
        document: &Document,
        meter: &mut Meter,
    ) -> Result<bool, Exceeded> {
        let Some(values) = values(&self.paths, &document.value) else {
            return Ok(false);
        };
        Ok(self.has_place(&values, key) && self.selector.matches(&document.value, meter)?)
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
            Selector::parse(&Map::from_iter([(field.clone(), exists)]))
        });
        let selector = present
            .into_iter()
            .try_fold(self.selector.clone(), |selector, field| {
                selector.and(&field?)
            });
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

fn members(value: Value) -> Result<Map<String, Value>, NotAsked> {
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(NotAsked),
    }
}

fn fields(value: Option<Value>) -> Result<Vec<String>, NotAsked> {
    let Some(Value::Array(fields)) = value else {
        return Err(NotAsked);
    };
    if fields.len() > MAX_FIELDS {
        return Err(NotAsked);
    }
    let fields = fields.into_iter().map(|field| match field {
        Value::String(field) => Ok(field),
        _ => Err(NotAsked),
    });
    fields.collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Height;

    fn read(text: &str) -> Asked {
        Asked::read(text, "{}").unwrap()
    }

    #[test]
    fn what_was_asked_has_the_bytes_of_docs_format() {
        let selector = json!({"status": "open", "total": {"$gte": 1}});
        let asked = Asked {
            selector: super::super::request::selector(&selector).unwrap(),
            fields: vec!["total".to_owned()],
            paths: vec![Path::parse("total").unwrap()],
            from: Some(Place::new(vec![json!(10)], "k1".to_owned(), false)),
            to: Some(Place::new(
                vec![json::parse(b"12.50", Repeats::Refused).unwrap()],
                "k7".to_owned(),
                true,
            )),
        };
        let (start, end) = asked.texts();
        assert_eq!(
            start,
            concat!(
                r#"{"version":1,"selector":{"$and":[{"status":{"$eq":"open"}},{"total":{"$gte":1}}]},"#,
                r#""fields":["total"],"from":{"values":[10],"key":"k1","included":false}}"#
            )
        );
        assert_eq!(
            end,
            r#"{"to":{"values":[12.50],"key":"k7","included":true}}"#
        );
        let again = Asked::read(&start, &end).unwrap();
        assert_eq!(again.texts(), (start, end));
        // The order of values in records of version 1. Collation data that sort otherwise need a
        // version of their own, and this one's must stay to judge by.
        assert_eq!(
            super::super::collation::fingerprint(),
            "d99beebfe5cacf1f10b66aacf85f8abb2dc611f4daa5cc0edbbd533346235518"
        );
    }

    #[test]
    fn a_place_is_where_an_index_has_it() {
        let asked = Asked::read(
            r#"{"version":1,"selector":{},"fields":["n","_id"],"from":{"values":[1,"b"],"key":"b","included":false}}"#,
            r#"{"to":{"values":["A"],"key":"","included":true}}"#,
        )
        .unwrap();
        let includes = |key: &str, value: &str| {
            let document = Document::parse(key, Height::new(1, 0), value.as_bytes()).unwrap();
            asked
                .includes(key, &document, &mut Meter::default())
                .unwrap()
        };
        for (key, value, expected) in [
            ("b", r#"{"n":1}"#, false),
            ("bb", r#"{"n":1.0}"#, true),
            ("a", r#"{"n":1}"#, false),
            ("a", r#"{"n":"a"}"#, true),
            ("a", r#"{"n":"A"}"#, false),
            ("a", r#"{"n":null}"#, false),
            ("c", "{}", false),
        ] {
            assert_eq!(includes(key, value), expected, "{key} {value}");
        }
        let all = read(r#"{"version":1,"selector":{},"fields":[]}"#);
        let document = Document::parse("k", Height::new(1, 0), b"{}").unwrap();
        assert!(all.includes("k", &document, &mut Meter::default()).unwrap());
    }

    /// Verdicts of blocks that were written before stay what they are.
    #[test]
    fn conditions_on_texts_mean_what_they_meant_when_they_were_recorded() {
        let record = |version: u32, selector: &str| {
            let start = format!(r#"{{"version":{version},"selector":{selector},"fields":[]}}"#);
            Asked::read(&start, "{}")
        };
        let text = |text: &str| json!({ "a": text }).to_string();
        for (selector, value, then, now) in [
            (
                r#"{"a":{"$regex":"^\\w"}}"#,
                "Émile",
                Some(false),
                Some(true),
            ),
            (
                r#"{"a":{"$regex":"(?m)^$"}}"#,
                "a\n",
                Some(true),
                Some(false),
            ),
            (r#"{"a":{"$regex":"[[.a.]]"}}"#, "a]", Some(true), None),
            (r#"{"a":{"$regex":"[\\w-\\.]"}}"#, "-", None, Some(true)),
            (
                r#"{"a":{"$beginsWith":"e"}}"#,
                "e\u{301}",
                Some(true),
                Some(false),
            ),
            (r#"{"a":{"$eq":1}}"#, "", Some(false), None),
        ] {
            let value = text(value);
            let document = Document::parse("k", Height::new(1, 0), value.as_bytes()).unwrap();
            for (version, expected) in [(1, then), (2, now)] {
                let asked = record(version, selector).ok();
                let found = asked.map(|asked| {
                    let included = asked.includes("k", &document, &mut Meter::default());
                    included.unwrap()
                });
                assert_eq!(found, expected, "{version} {selector}");
            }
        }
        for version in [0, 3] {
            assert!(record(version, r#"{"a":{"$regex":"a"}}"#).is_err());
        }
        let selector = json!({"a": {"$regex": "a"}});
        let asked = Asked {
            selector: super::super::request::selector(&selector).unwrap(),
            fields: Vec::new(),
            paths: Vec::new(),
            from: None,
            to: None,
        };
        assert!(asked.texts().0.starts_with(r#"{"version":2,"#));
    }
}
