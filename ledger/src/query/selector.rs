//! Does a document match? A selector in normal form, made ready to be asked often.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::collation::{compare, compare_raw, identical};
use super::error::QueryError;
use super::graphemes::begins_with;
use super::normalize::{normalize, single};
use super::number;
use super::path::{Found, Path};
use super::regex::Regex;
use super::version::Version;

/// A condition on documents.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    version: Version,
    normal: Value,
    condition: Condition,
}

#[derive(Clone, Copy, Debug)]
enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

impl Comparison {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Greater => order.is_gt(),
        }
    }
}

#[derive(Clone, Debug)]
enum Condition {
    /// The empty selector, and `$text`, which only a text index could judge.
    Always,
    And(Vec<Condition>),
    /// Of nothing: true, as in CouchDB.
    Or(Vec<Condition>),
    Nor(Vec<Condition>),
    Not(Box<Condition>),
    Field {
        path: Path,
        condition: Box<Condition>,
    },
    Compare(Comparison, Value),
    In(Vec<Value>),
    NotIn(Vec<Value>),
    Exists(bool),
    Type(String),
    Modulo(i64, i64),
    Regex(Regex),
    BeginsWith(String, Version),
    All(Vec<Value>),
    AnyElement(Box<Condition>),
    EveryElement(Box<Condition>),
    AnyName(Box<Condition>),
    Size(u64),
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// As CouchDB refuses it.
    pub(crate) fn parse(selector: &Map<String, Value>) -> Result<Self, QueryError> {
        Self::parse_as(selector, Version::CURRENT)
    }

    /// Reads a selector that was written when it meant what a version says.
    ///
    /// # Errors
    /// As that version refused it.
    pub(crate) fn parse_as(
        selector: &Map<String, Value>,
        version: Version,
    ) -> Result<Self, QueryError> {
        let normal = normalize(selector, version)?;
        let condition = read(&normal, version)?;
        Ok(Self {
            version: version.least(&normal),
            normal,
            condition,
        })
    }

    /// The first version in which it means what it means.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Both this and another.
    ///
    /// # Errors
    /// Together they are refused, or they are of two versions in which they mean different things.
    pub(crate) fn and(&self, other: &Self) -> Result<Self, QueryError> {
        let version = self.version.max(other.version);
        let both = [self, other];
        if both.iter().any(|part| part.means_otherwise_in(version)) {
            return Err(QueryError::option(
                "selector_version",
                "the index's filter has the meaning of an earlier version; make the index anew"
                    .to_owned(),
            ));
        }
        let parts = both.into_iter().map(|part| part.normal.clone());
        let parts = parts.filter(|part| *part != Value::Object(Map::new()));
        let both = Map::from_iter([("$and".to_owned(), parts.collect())]);
        Self::parse_as(&both, version)
    }

    fn means_otherwise_in(&self, version: Version) -> bool {
        version.least(&self.normal) != self.version
    }

    /// The normal form.
    pub(crate) fn normal(&self) -> &Value {
        &self.normal
    }

    /// Whether a document, with its `_id` and `_rev`, matches.
    pub(crate) fn matches(&self, document: &Value) -> bool {
        self.condition.holds(document, compare)
    }
}

fn read(value: &Value, version: Version) -> Result<Condition, QueryError> {
    let Some((name, argument)) = single(value) else {
        return Ok(Condition::Always);
    };
    let inner = || read(argument, version).map(Box::new);
    let each = || match argument {
        Value::Array(parts) => {
            let parts = parts.iter().map(|part| read(part, version));
            parts.collect::<Result<Vec<_>, _>>()
        }
        _ => Ok(Vec::new()),
    };
    let values = || argument.as_array().cloned().unwrap_or_default();
    let text = || argument.as_str().unwrap_or_default();
    let compare = |comparison| Condition::Compare(comparison, argument.clone());
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
        "$regex" => Condition::Regex(Regex::new(text(), version)?),
        "$size" => Condition::Size(argument.as_u64().unwrap_or_default()),
        "$mod" => {
            let number = |at: usize| argument.get(at).and_then(Value::as_i64).unwrap_or_default();
            Condition::Modulo(number(0), number(1))
        }
        // The element itself, inside of $elemMatch and its like.
        "" => *inner()?,
        field => Condition::Field {
            path: Path::parse(field)?,
            condition: inner()?,
        },
    })
}

/// How values are compared: `_id` by its bytes, everything else by collation.
type Order = fn(&Value, &Value) -> Ordering;

impl Condition {
    fn holds(&self, value: &Value, order: Order) -> bool {
        match self {
            Self::Always => true,
            Self::And(parts) => parts.iter().all(|part| part.holds(value, order)),
            Self::Or(parts) => {
                parts.is_empty() || parts.iter().any(|part| part.holds(value, order))
            }
            Self::Nor(parts) => !parts.iter().any(|part| part.holds(value, order)),
            Self::Not(part) => !part.holds(value, order),
            Self::Field { path, condition } => match path.find(value) {
                Found::Value(found) if path.is_id() => condition.holds(found, compare_raw),
                Found::Value(found) => condition.holds(found, order),
                Found::Missing => matches!(**condition, Self::Exists(false)),
                Found::Blocked => false,
            },
            Self::Compare(comparison, argument) => comparison.holds(order(value, argument)),
            Self::In(arguments) => is_among(value, arguments, order),
            Self::NotIn(arguments) => !is_among(value, arguments, order),
            Self::Exists(should) => *should,
            Self::Type(name) => name == type_name(value),
            Self::Modulo(divisor, rest) => match value {
                Value::Number(number) => {
                    number::remainder(number.as_str(), *divisor) == Some(*rest)
                }
                _ => false,
            },
            Self::Regex(regex) => value.as_str().is_some_and(|text| regex.is_match(text)),
            Self::BeginsWith(start, version) => value.as_str().is_some_and(|text| match version {
                Version::One => text.starts_with(start),
                Version::Two => begins_with(text, start),
            }),
            Self::All(arguments) => has_all(value, arguments),
            Self::AnyElement(condition) => value.as_array().is_some_and(|elements| {
                elements
                    .iter()
                    .any(|element| condition.holds(element, order))
            }),
            Self::EveryElement(condition) => value.as_array().is_some_and(|elements| {
                !elements.is_empty()
                    && elements
                        .iter()
                        .all(|element| condition.holds(element, order))
            }),
            Self::AnyName(condition) => value.as_object().is_some_and(|members| {
                let mut names = members.keys().map(|name| Value::String(name.clone()));
                names.any(|name| condition.holds(&name, order))
            }),
            Self::Size(size) => value
                .as_array()
                .is_some_and(|elements| elements.len() as u64 == *size),
        }
    }
}

fn is_among(value: &Value, arguments: &[Value], order: Order) -> bool {
    let is_one = |value: &Value| {
        arguments
            .iter()
            .any(|argument| order(value, argument).is_eq())
    };
    match value {
        Value::Array(elements) => elements.iter().any(is_one),
        _ => is_one(value),
    }
}

/// All arguments are elements, or the only one is the array itself.
fn has_all(value: &Value, arguments: &[Value]) -> bool {
    let Value::Array(elements) = value else {
        return false;
    };
    let is_element = |argument: &Value| elements.iter().any(|element| identical(element, argument));
    !arguments.is_empty()
        && (arguments.iter().all(is_element)
            || matches!(arguments, [argument @ Value::Array(_)] if identical(argument, value)))
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
