//! Does a document match? A selector in normal form, made ready to be asked often.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::collation::{compare, compare_raw, identical};
use super::error::QueryError;
use super::normalize::{normalize, single};
use super::number;
use super::path::{Found, Path};
use super::regex::Regex;

/// A condition on documents.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
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
    BeginsWith(String),
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
        let normal = normalize(selector)?;
        let condition = read(&normal)?;
        Ok(Self { normal, condition })
    }

    /// Both this and another condition.
    ///
    /// # Errors
    /// The other is refused.
    pub(crate) fn and(&self, other: Value) -> Result<Self, QueryError> {
        let both = match self.normal.as_object() {
            Some(normal) if !normal.is_empty() => vec![self.normal.clone(), other],
            _ => vec![other],
        };
        Self::parse(&Map::from_iter([("$and".to_owned(), both.into())]))
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

fn read(value: &Value) -> Result<Condition, QueryError> {
    let Some((name, argument)) = single(value) else {
        return Ok(Condition::Always);
    };
    let inner = || read(argument).map(Box::new);
    let each = || match argument {
        Value::Array(parts) => parts.iter().map(read).collect::<Result<Vec<_>, _>>(),
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
        "$beginsWith" => Condition::BeginsWith(text().to_owned()),
        "$regex" => Condition::Regex(Regex::new(text())?),
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
            Self::BeginsWith(start) => value
                .as_str()
                .is_some_and(|text| text.starts_with(start.as_str())),
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
