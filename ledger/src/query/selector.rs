//! Does a document match? This is a selector in normal form, prepared for many documents.

use serde_json::{Map, Value};

use super::collation::{compare, compare_raw};
use super::comparison::{
    Argument, Comparison, Order, Subject, all, any, has_all, is_among, length, text_begins_with,
};
use super::document::Wanted;
use super::error::QueryError;
use super::normalize::{normalize, single};
use super::number;
use super::path::{Found, Path};
use super::regex::Regex;
use super::size::Admission;
use super::version::Version;
use super::work::{Exceeded, Meter, Spend};

/// A condition on documents.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    version: Version,
    normal: Value,
    condition: Condition,
}

#[derive(Clone, Debug)]
enum Condition {
    /// The empty selector, and `$text`, for which only a text index could be used.
    Always,
    And(Vec<Condition>),
    /// An empty list matches, as in CouchDB.
    Or(Vec<Condition>),
    Nor(Vec<Condition>),
    Not(Box<Condition>),
    Field {
        path: Path,
        condition: Box<Condition>,
    },
    Compare(Comparison, Argument),
    In(Vec<Argument>),
    NotIn(Vec<Argument>),
    Exists(bool),
    Type(String),
    Modulo(i64, i64),
    Regex(Regex),
    BeginsWith(String, Version),
    All(Vec<Argument>),
    AnyElement(Box<Condition>),
    EveryElement(Box<Condition>),
    AnyName(Box<Condition>),
    Size(u64),
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// The error that CouchDB would give.
    pub(crate) fn parse(selector: &Map<String, Value>) -> Result<Self, QueryError> {
        Self::parse_as(selector, Version::CURRENT, Admission::Now)
    }

    /// Reads a selector with the meaning of a version.
    ///
    /// # Errors
    /// The error of that version.
    pub(crate) fn parse_as(
        selector: &Map<String, Value>,
        version: Version,
        admission: Admission,
    ) -> Result<Self, QueryError> {
        let normal = normalize(selector, version, admission)?;
        let condition = read(&normal, version, admission)?;
        Ok(Self {
            version: version.least(&normal),
            normal,
            condition,
        })
    }

    /// The first version in which it has this meaning.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// The conjunction of this and another selector, however large they are together.
    ///
    /// # Errors
    /// They have two versions in which they have different meanings.
    pub(crate) fn and(&self, other: &Self) -> Result<Self, QueryError> {
        let version = self.version.max(other.version);
        let both = [self, other];
        if !both.iter().all(|part| part.means_the_same_in(version)) {
            return Err(Self::of_earlier_version());
        }
        let parts = both.into_iter().map(|part| part.normal.clone());
        let parts = parts.filter(|part| *part != Value::Object(Map::new()));
        let both = Map::from_iter([("$and".to_owned(), parts.collect())]);
        Self::parse_as(&both, version, Admission::Before)
    }

    /// Whether it has the same meaning in a version.
    pub(super) fn means_the_same_in(&self, version: Version) -> bool {
        version.least(&self.normal) == self.version
    }

    /// The error of an index whose filter has another meaning.
    pub(super) fn of_earlier_version() -> QueryError {
        QueryError::option(
            "selector_version",
            "the index's filter has the meaning of an earlier version; make the index anew"
                .to_owned(),
        )
    }

    /// The normal form.
    pub(crate) fn normal(&self) -> &Value {
        &self.normal
    }

    /// The size of all its patterns, in steps.
    pub(super) fn pattern_steps(&self) -> u64 {
        self.condition.pattern_steps()
    }

    /// Adds the members of documents that it needs.
    pub(crate) fn add_wanted(&self, wanted: &mut Wanted) {
        self.condition.add_wanted(wanted);
    }

    /// Whether a document, with its `_id` and `_rev`, matches.
    ///
    /// # Errors
    /// The meter's steps are spent.
    pub(crate) fn matches(&self, document: &Value, meter: &mut Meter) -> Result<bool, Exceeded> {
        self.condition.holds(document, compare, meter)
    }
}

fn read(value: &Value, version: Version, admission: Admission) -> Result<Condition, QueryError> {
    let Some((name, argument)) = single(value) else {
        return Ok(Condition::Always);
    };
    let read = |value| read(value, version, admission);
    let inner = || read(argument).map(Box::new);
    let each = || match argument {
        Value::Array(parts) => parts.iter().map(read).collect::<Result<Vec<_>, _>>(),
        _ => Ok(Vec::new()),
    };
    let values = || {
        let values = argument.as_array().into_iter().flatten();
        values.map(Argument::new).collect()
    };
    let text = || argument.as_str().unwrap_or_default();
    let compare = |comparison| Condition::Compare(comparison, Argument::new(argument));
    Ok(match name {
        "$and" => Condition::And(each()?),
        "$or" => Condition::Or(each()?),
        "$nor" => Condition::Nor(each()?),
        "$not" => Condition::Not(inner()?),
        "$elemMatch" => Condition::AnyElement(inner()?),
        "$allMatch" => Condition::EveryElement(inner()?),
        "$keyMapMatch" => Condition::AnyName(inner()?),
        "$default" => Condition::Always,
        "$lt" => compare(Comparison::Less),
        "$lte" => compare(Comparison::LessOrEqual),
        "$eq" => compare(Comparison::Equal),
        "$ne" => compare(Comparison::NotEqual),
        "$gte" => compare(Comparison::GreaterOrEqual),
        "$gt" => compare(Comparison::Greater),
        "$in" => Condition::In(values()),
        "$nin" => Condition::NotIn(values()),
        "$all" => Condition::All(values()),
        "$exists" => Condition::Exists(argument.as_bool().unwrap_or_default()),
        "$type" => Condition::Type(text().to_owned()),
        "$beginsWith" => Condition::BeginsWith(text().to_owned(), version),
        "$regex" => Condition::Regex(Regex::new(text(), version, admission)?),
        "$size" => Condition::Size(argument.as_u64().unwrap_or_default()),
        "$mod" => {
            let number = |at: usize| argument.get(at).and_then(Value::as_i64).unwrap_or_default();
            Condition::Modulo(number(0), number(1))
        }
        // This is the element itself, inside $elemMatch and similar operators.
        "" => *inner()?,
        field => Condition::Field {
            path: Path::parse(field)?,
            condition: inner()?,
        },
    })
}

impl Condition {
    /// Adds the members of a document that it needs.
    fn add_wanted(&self, wanted: &mut Wanted) {
        match self {
            Self::Always => (),
            Self::And(parts) | Self::Or(parts) | Self::Nor(parts) => {
                for part in parts {
                    part.add_wanted(wanted);
                }
            }
            Self::Not(part) => part.add_wanted(wanted),
            Self::Field { path, .. } => wanted.add(path.first()),
            // The condition is about the document itself.
            _ => wanted.add_all(),
        }
    }

    fn pattern_steps(&self) -> u64 {
        match self {
            Self::Regex(regex) => regex.steps(),
            Self::And(parts) | Self::Or(parts) | Self::Nor(parts) => {
                parts.iter().map(Self::pattern_steps).sum()
            }
            Self::Field {
                condition: part, ..
            }
            | Self::Not(part)
            | Self::AnyElement(part)
            | Self::EveryElement(part)
            | Self::AnyName(part) => part.pattern_steps(),
            Self::Always
            | Self::Compare(..)
            | Self::In(_)
            | Self::NotIn(_)
            | Self::Exists(_)
            | Self::Type(_)
            | Self::Modulo(..)
            | Self::BeginsWith(..)
            | Self::All(_)
            | Self::Size(_) => 0,
        }
    }

    fn holds(&self, value: &Value, order: Order, meter: &mut Meter) -> Result<bool, Exceeded> {
        meter.spend(Spend::Conditions, 3)?;
        Ok(match self {
            Self::Always => true,
            Self::And(parts) => all(parts, |part| part.holds(value, order, meter))?,
            Self::Or(parts) => {
                parts.is_empty() || any(parts, |part| part.holds(value, order, meter))?
            }
            Self::Nor(parts) => !any(parts, |part| part.holds(value, order, meter))?,
            Self::Not(part) => !part.holds(value, order, meter)?,
            Self::Field { path, condition } => {
                meter.spend(Spend::Conditions, path.weight())?;
                match path.find(value) {
                    Found::Value(found) if path.is_id() => {
                        condition.holds(found, compare_raw, meter)?
                    }
                    Found::Value(found) => condition.holds(found, order, meter)?,
                    Found::Missing => matches!(**condition, Self::Exists(false)),
                    Found::Blocked => false,
                }
            }
            Self::Compare(comparison, argument) => {
                comparison.holds(Subject::new(value, meter)?.compare(argument, order, meter)?)
            }
            Self::In(arguments) => is_among(value, arguments, order, meter)?,
            Self::NotIn(arguments) => !is_among(value, arguments, order, meter)?,
            Self::Exists(should) => *should,
            Self::Type(name) => name == type_name(value),
            Self::Modulo(divisor, rest) => match value {
                Value::Number(number) => {
                    let digits = number.as_str();
                    meter.spend(Spend::Conditions, length(digits))?;
                    number::remainder(digits, *divisor) == Some(*rest)
                }
                _ => false,
            },
            Self::Regex(regex) => match value {
                Value::String(text) => regex.is_match(text, meter)?,
                _ => false,
            },
            Self::BeginsWith(start, version) => match value {
                Value::String(text) => text_begins_with(text, start, *version, meter)?,
                _ => false,
            },
            Self::All(arguments) => has_all(value, arguments, meter)?,
            Self::AnyElement(condition) => match value {
                Value::Array(elements) => {
                    any(elements, |element| condition.holds(element, order, meter))?
                }
                _ => false,
            },
            Self::EveryElement(condition) => match value {
                Value::Array(elements) if !elements.is_empty() => {
                    all(elements, |element| condition.holds(element, order, meter))?
                }
                _ => false,
            },
            Self::AnyName(condition) => match value {
                Value::Object(members) => any(members.keys(), |name| {
                    meter.spend(Spend::Conditions, 4 + length(name) / 32)?;
                    condition.holds(&Value::String(name.clone()), order, meter)
                })?,
                _ => false,
            },
            Self::Size(size) => value
                .as_array()
                .is_some_and(|elements| elements.len() as u64 == *size),
        })
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::query::work::Spent;

    /// Verdicts depend on these numbers: a query that needs more than the judge has is a conflict, on every
    /// node and for ever. Other numbers need a new version of records.
    #[test]
    fn what_a_selector_costs_the_judge_never_changes() {
        let document = json!({
            "n": 12.5, "s": "straße", "l": [1, "zwei", [3]], "o": {"p": {"q": "long enough"}},
        });
        for (selector, conditions, patterns) in [
            (json!({"n": 12.5}), 16, 0),
            (json!({"n": {"$gt": 1}, "absent": null}), 28, 0),
            (json!({"s": {"$gte": "strasse"}}), 61, 0),
            (json!({"s": {"$in": ["a", "b", "straße"]}}), 149, 0),
            (json!({"l": {"$in": ["zwei", 4]}}), 61, 0),
            (json!({"l": {"$all": [1, [3]]}}), 30, 0),
            (json!({"l": {"$all": [1, [3, 4]]}}), 23, 0),
            (json!({"l": {"$elemMatch": {"$type": "array"}}}), 21, 0),
            (json!({"o": {"$keyMapMatch": {"$eq": "p"}}}), 60, 0),
            (json!({"o.p.q": {"$beginsWith": "long"}}), 34, 0),
            (
                json!({"$nor": [{"n": {"$mod": [2, 1]}}, {"s": {"$not": {"$size": 1}}}]}),
                34,
                0,
            ),
            (json!({"s": {"$regex": "^stra"}}), 12, 58),
            (json!({"s": {"$regex": "(?<=t)r\\b"}}), 12, 58),
        ] {
            let parsed = Selector::parse(selector.as_object().unwrap()).unwrap();
            let mut meter = Meter::fixed(u64::MAX);
            parsed.matches(&document, &mut meter).unwrap();
            let spent = Spent {
                reading: 0,
                conditions,
                patterns,
            };
            assert_eq!(meter.spent(), spent, "{selector}");
        }
    }
}
