//! What a page of a query asked for, in a form that anybody can ask again at any time: the documents that
//! match a selector, have all of some fields, and lie between two places in the order of those fields. It
//! goes into blocks ([`crate::validation::rich`]), so it names no index, holds no sort key, and does not
//! depend on the node that asked.
//!
//! ```text
//! start  {"version":3,"height":7,"selector":{..},"fields":["total"],"from":{"values":[10],"key":"k1","included":false}}
//! end    {"to":{"values":[12.50],"key":"k7","included":true}}
//! ```
//!
//! Version 3 tells at which height it was asked, and its selector has the meaning of [`Version::Two`].
//! Versions 1 and 2 tell no height, and are the version of their selector's meaning. They are read in old
//! blocks, but not written any more.
//!
//! It has the whole selector, and not only its bounds on fields: an index uses bounds, but the selector is
//! the question. With bounds alone every document within them would count, and a selector without bounds
//! (`$or`, `$regex`) would ask for the whole namespace.

use std::ops::Bound;

use serde_json::{Map, Value, json};

use super::bookmark::Bookmark;
use super::document::{Document, Wanted};
use super::error::QueryError;
use super::index::{Definition, MAX_FIELDS, sort_key};
use super::path::{Found, Path};
use super::plan::Plan;
use super::request::Query;
use super::selector::Selector;
use super::size::Admission;
use super::version::Version;
use super::work::{Exceeded, Meter};
use crate::json::{self, Repeats};

/// The most bytes of a selector inside a transaction: every node reads it when it judges the transaction, and
/// applies it to the documents that changed.
const MAX_SELECTOR_BYTES: usize = 64 << 10;
/// The version of records that are written now.
const RECORD_VERSION: u64 = 3;
/// The meaning of the selector of such a record.
const MEANING: Version = Version::Two;

/// A set of documents.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    selector: Selector,
    fields: Vec<String>,
    paths: Vec<Path>,
    from: Option<Place>,
    to: Option<Place>,
}

/// The content of a record.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) asked: Asked,
    /// Blocks below this height had been seen. `None` in records of versions 1 and 2, which do not tell it.
    pub(crate) height: Option<u64>,
}

/// A place in the order of documents: values of the fields, then the key.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    values: Vec<Value>,
    key: String,
    /// Whether a document exactly at this place is asked for.
    included: bool,
    /// The bytes by which documents are compared; they are made from the other fields.
    position: Vec<u8>,
}

/// The texts do not say what was asked.
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

/// The position of a document, which is exactly that in an index of the same fields.
fn position(values: &[&Value], key: &str) -> Vec<u8> {
    let mut position = sort_key(values);
    position.extend_from_slice(key.as_bytes());
    position
}

impl Asked {
    /// What a page asked for that a plan read from after a bookmark: up to `last`, the last document that was
    /// counted, or to the end if there is none. It can be recorded.
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
        if !selector.means_the_same_in(MEANING) {
            return Err(Selector::of_earlier_version());
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
        // What is written must be readable: this finds a selector that is too large, or too deep inside the
        // record.
        let (start, end) = asked.texts(0);
        match Self::read(&start, &end) {
            Ok(_) => Ok(asked),
            Err(NotAsked) => Err(QueryError::TooLarge(format!(
                "a selector inside of a transaction has at most {MAX_SELECTOR_BYTES} bytes and 120 \
                 levels"
            ))),
        }
    }

    /// The texts of the record, which also tell at which height it was asked.
    pub(crate) fn texts(&self, height: u64) -> (String, String) {
        let from = self.from.as_ref().map(|from| ("from", from.to_json()));
        let to = self.to.as_ref().map(|to| ("to", to.to_json()));
        let start = [
            ("version", RECORD_VERSION.into()),
            ("height", height.into()),
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

    /// Reads such texts, or what somebody else wrote in their place.
    ///
    /// # Errors
    /// They do not have this form, or say what no query can say.
    pub(crate) fn read(start: &str, end: &str) -> Result<Recorded, NotAsked> {
        Self::read_from(start, end, 0)
    }

    /// Reads texts of the present form. A selector of earlier versions is not read.
    ///
    /// # Errors
    /// See [`Asked::read`].
    pub(crate) fn read_new(start: &str, end: &str) -> Result<Recorded, NotAsked> {
        Self::read_from(start, end, RECORD_VERSION)
    }

    fn read_from(start: &str, end: &str, oldest: u64) -> Result<Recorded, NotAsked> {
        // The last of repeated members counts, as always: old verdicts depend on it.
        let parse = |text: &str| json::parse(text.as_bytes(), Repeats::LastCounts);
        let parse = |text| parse(text).map_err(|_| NotAsked);
        let (mut start, mut end) = (members(parse(start)?)?, members(parse(end)?)?);
        let mut number = |name| {
            let number = start.shift_remove(name);
            number.as_ref().and_then(Value::as_u64).ok_or(NotAsked)
        };
        let (version, height, admission) = match number("version")? {
            RECORD_VERSION => (MEANING, Some(number("height")?), Admission::Now),
            before if before < oldest => return Err(NotAsked),
            before => {
                let version = Version::try_from(before).map_err(|_| NotAsked)?;
                (version, None, Admission::Before)
            }
        };
        let selector = start.shift_remove("selector").ok_or(NotAsked)?;
        let fields = fields(start.shift_remove("fields"))?;
        let from = start.shift_remove("from").map(Place::read).transpose()?;
        let to = end.shift_remove("to").map(Place::read).transpose()?;
        // A record that is too large is not read.
        if selector.to_string().len() > MAX_SELECTOR_BYTES || !start.is_empty() || !end.is_empty() {
            return Err(NotAsked);
        }
        let Value::Object(selector) = selector else {
            return Err(NotAsked);
        };
        let selector = Selector::parse_as(&selector, version, admission);
        let selector = selector.map_err(|_| NotAsked)?;
        // Records without the height have one version for each meaning: the first version with that meaning.
        if height.is_none() && selector.version() != version {
            return Err(NotAsked);
        }
        let asked = Self {
            selector,
            paths: paths(&fields).map_err(|_| NotAsked)?,
            fields,
            from,
            to,
        };
        Ok(Recorded { asked, height })
    }

    /// The size of all patterns of its selector, in steps.
    pub(crate) fn pattern_steps(&self) -> u64 {
        self.selector.pattern_steps()
    }

    /// The members of documents that decide whether a document is included.
    pub(crate) fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::default();
        self.selector.add_wanted(&mut wanted);
        for path in &self.paths {
            wanted.add(path.first());
        }
        wanted
    }

    /// Whether a document is included.
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

    /// The keys between which the documents are, if their order is that of keys.
    pub(crate) fn keys(&self) -> (Bound<&str>, Bound<&str>) {
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

/// The document's values of the fields; `None` if it lacks one.
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
    use crate::model::block::Height;

    fn read(text: &str) -> Asked {
        Asked::read(text, "{}").unwrap().asked
    }

    fn includes(asked: &Asked, key: &str, value: &str) -> bool {
        let (version, wanted) = (Height::new(1, 0), asked.wanted());
        let document = Document::parse(key, version, value.as_bytes(), &wanted).unwrap();
        let included = asked.includes(key, &document, &mut Meter::unlimited());
        included.unwrap()
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
        let (start, end) = asked.texts(7);
        let members = concat!(
            r#""selector":{"$and":[{"status":{"$eq":"open"}},{"total":{"$gte":1}}]},"#,
            r#""fields":["total"],"from":{"values":[10],"key":"k1","included":false}}"#
        );
        assert_eq!(start, format!(r#"{{"version":3,"height":7,{members}"#));
        assert_eq!(
            end,
            r#"{"to":{"values":[12.50],"key":"k7","included":true}}"#
        );
        let again = Asked::read(&start, &end).unwrap();
        assert_eq!(again.height, Some(7));
        assert_eq!(again.asked.texts(7), (start, end.clone()));
        let before = Asked::read(&format!(r#"{{"version":1,{members}"#), &end).unwrap();
        assert_eq!(before.height, None);
        assert_eq!(before.asked.texts(7), again.asked.texts(7));
        // This is the order of values in records of every version. Collation data with another order need a
        // new version, and the present data must remain for old verdicts.
        assert_eq!(
            super::super::collation::fingerprint(),
            "d99beebfe5cacf1f10b66aacf85f8abb2dc611f4daa5cc0edbbd533346235518"
        );
    }

    #[test]
    fn a_height_is_told_in_one_way_and_by_its_version_only() {
        let record = |members: &str| {
            let start = format!(r#"{{{members}"selector":{{}},"fields":[]}}"#);
            Asked::read(&start, "{}").map(|recorded| recorded.height)
        };
        for (members, expected) in [
            (r#""version":3,"height":0,"#, Some(Some(0))),
            (
                r#""version":3,"height":18446744073709551615,"#,
                Some(Some(u64::MAX)),
            ),
            (r#""version":1,"#, Some(None)),
            (r#""version":3,"#, None),
            (r#""version":3,"height":18446744073709551616,"#, None),
            (r#""version":3,"height":-1,"#, None),
            (r#""version":3,"height":7.0,"#, None),
            (r#""version":3,"height":"7","#, None),
            (r#""version":1,"height":7,"#, None),
            (r#""version":2,"height":7,"#, None),
            (r#""version":4,"height":7,"#, None),
        ] {
            assert_eq!(record(members).ok(), expected, "{members}");
        }
    }

    #[test]
    fn a_place_is_where_an_index_has_it() {
        let start = r#"{"version":3,"height":1,"selector":{},"fields":["n","_id"],"from":{"values":[1,"b"],"key":"b","included":false}}"#;
        let end = r#"{"to":{"values":["A"],"key":"","included":true}}"#;
        let asked = Asked::read(start, end).unwrap().asked;
        for (key, value, expected) in [
            ("b", r#"{"n":1}"#, false),
            ("bb", r#"{"n":1.0}"#, true),
            ("a", r#"{"n":1}"#, false),
            ("a", r#"{"n":"a"}"#, true),
            ("a", r#"{"n":"A"}"#, false),
            ("a", r#"{"n":null}"#, false),
            ("c", "{}", false),
        ] {
            assert_eq!(includes(&asked, key, value), expected, "{key} {value}");
        }
        let all = read(r#"{"version":1,"selector":{},"fields":[]}"#);
        assert!(includes(&all, "k", "{}"));
    }

    /// Verdicts of earlier blocks do not change.
    #[test]
    fn conditions_on_texts_mean_what_they_meant_when_they_were_recorded() {
        let record = |version: u32, selector: &str| {
            let height = if version == 3 { r#""height":1,"# } else { "" };
            let start =
                format!(r#"{{"version":{version},{height}"selector":{selector},"fields":[]}}"#);
            Asked::read(&start, "{}").map(|recorded| recorded.asked)
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
            for (version, expected) in [(1, then), (2, now)] {
                let asked = record(version, selector).ok();
                let found = asked.map(|asked| includes(&asked, "k", &value));
                assert_eq!(found, expected, "{version} {selector}");
            }
            // A record of version 2 has its meaning even if it is not about texts.
            let asked = record(3, selector).ok();
            let found = asked.map(|asked| includes(&asked, "k", &value));
            let expected = now.or((selector == r#"{"a":{"$eq":1}}"#).then_some(false));
            assert_eq!(found, expected, "3 {selector}");
        }
        for version in [0, 4] {
            assert!(record(version, r#"{"a":{"$regex":"a"}}"#).is_err());
        }
    }
}
