//! Brings selectors into one form: every condition is explicit, field names are at the leaves, negations are
//! pushed down as far as possible. The planner and `_explain` use this form. It is CouchDB's form, made in
//! the same three passes, so that errors have the same texts.

use serde_json::{Map, Value};

use super::erlang::Plain;
use super::error::QueryError;
use super::regex::Regex;
use super::size::{Admission, Size};
use super::version::Version;

/// A selector in normal form. This is idempotent.
///
/// # Errors
/// What CouchDB refuses: unknown operators, wrong arguments, conditions without a field. In addition,
/// [`QueryError::TooLarge`].
pub(crate) fn normalize(
    selector: &Map<String, Value>,
    version: Version,
    admission: Admission,
) -> Result<Value, QueryError> {
    if selector.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let mut size = Size::new(admission);
    let mut reading = Reading {
        version,
        admission,
        size: &mut size,
    };
    let explicit = reading.explicit(&Value::Object(selector.clone()))?;
    let normal = push_negations(at_leaves(explicit, "", &mut size)?)?;
    match single(&normal) {
        Some(("", _)) => Err(QueryError::MissingFieldName),
        _ => Ok(normal),
    }
}

/// The only member of an object that has exactly one.
pub(crate) fn single(value: &Value) -> Option<(&str, &Value)> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    let (name, value) = members.iter().next()?;
    Some((name, value))
}

fn object(name: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value)]))
}

fn list(
    name: &str,
    values: impl Iterator<Item = Result<Value, QueryError>>,
) -> Result<Value, QueryError> {
    Ok(object(
        name,
        Value::Array(values.collect::<Result<_, _>>()?),
    ))
}

/// First pass: implicit `$eq` and `$and` become explicit, and arguments are checked.
struct Reading<'a> {
    version: Version,
    admission: Admission,
    size: &'a mut Size,
}

impl Reading<'_> {
    fn explicit(&mut self, value: &Value) -> Result<Value, QueryError> {
        let Value::Object(members) = value else {
            return Ok(object("$eq", value.clone()));
        };
        if members.len() > 1 {
            let parts = members.iter();
            return list(
                "$and",
                parts.map(|(name, value)| self.condition(name, value)),
            );
        }
        match members.iter().next() {
            None => Ok(object("$eq", value.clone())),
            Some((name, value)) => self.condition(name, value),
        }
    }

    fn condition(&mut self, name: &str, argument: &Value) -> Result<Value, QueryError> {
        self.size.condition()?;
        let same = || object(name, argument.clone());
        let checked = |operator, is_good: bool| {
            if is_good {
                Ok(same())
            } else {
                Err(QueryError::bad_argument(operator, argument))
            }
        };
        match name {
            "$and" => self.each("$and", argument),
            "$or" => self.each("$or", argument),
            "$nor" => self.each("$nor", argument),
            "$not" => self.inner("$not", argument),
            "$elemMatch" => self.inner("$elemMatch", argument),
            "$allMatch" => self.inner("$allMatch", argument),
            "$keyMapMatch" => self.inner("$keyMapMatch", argument),
            "$in" | "$nin" | "$all" => {
                self.size.list(argument)?;
                checked(
                    match name {
                        "$in" => "$in",
                        "$nin" => "$nin",
                        _ => "$all",
                    },
                    argument.is_array(),
                )
            }
            "$exists" => checked("$exists", argument.is_boolean()),
            "$type" => checked("$type", argument.is_string()),
            "$size" => checked("$size", argument.as_u64().is_some()),
            "$mod" => checked("$mod", is_modulo(argument)),
            "$regex" => match argument {
                Value::String(pattern) => {
                    let steps = Regex::check(pattern, self.version, self.admission)?;
                    self.size.pattern(steps)?;
                    Ok(same())
                }
                _ => Err(QueryError::InvalidOperator(name.to_owned())),
            },
            "$beginsWith" if argument.is_string() => Ok(same()),
            "$text" => match argument {
                Value::String(_) | Value::Number(_) | Value::Bool(_) => {
                    Ok(object("$default", same()))
                }
                _ => Err(QueryError::bad_argument("$text", argument)),
            },
            "$default" | "$lt" | "$lte" | "$eq" | "$ne" | "$gte" | "$gt" => Ok(same()),
            "$where" | "$geoWithin" | "$geoIntersects" | "$near" | "$nearSphere" => {
                Err(QueryError::UnsupportedOperator(name.to_owned()))
            }
            _ if name.starts_with('$') => Err(QueryError::InvalidOperator(name.to_owned())),
            _ => Ok(object(name, self.explicit(argument)?)),
        }
    }

    fn each(&mut self, operator: &'static str, argument: &Value) -> Result<Value, QueryError> {
        match argument {
            Value::Array(parts) => list(operator, parts.iter().map(|part| self.explicit(part))),
            _ => Err(QueryError::bad_argument(operator, argument)),
        }
    }

    fn inner(&mut self, operator: &'static str, argument: &Value) -> Result<Value, QueryError> {
        match argument {
            Value::Object(_) => Ok(object(operator, self.explicit(argument)?)),
            _ => Err(QueryError::bad_argument(operator, argument)),
        }
    }
}

/// Whether it is two integers, the first not zero: zero makes CouchDB fail on the first document with an
/// integer.
fn is_modulo(argument: &Value) -> bool {
    let Some([divisor, rest]) = argument.as_array().map(Vec::as_slice) else {
        return false;
    };
    divisor.as_i64().is_some_and(|divisor| divisor != 0) && rest.as_i64().is_some()
}

/// Takes the only member out of an object that has exactly one.
fn into_single(value: Value) -> Result<(String, Value), Value> {
    match value {
        Value::Object(members) if members.len() == 1 => {
            let mut members = members.into_iter();
            members.next().ok_or(Value::Null)
        }
        other => Err(other),
    }
}

/// Second pass: `{"a": {"b": {"$gt": 1}}}` becomes `{"a.b": {"$gt": 1}}`.
fn at_leaves(value: Value, path: &str, size: &mut Size) -> Result<Value, QueryError> {
    let bad = |value: &Value| QueryError::BadField(Plain(value).to_string());
    let (name, argument) = into_single(value).map_err(|value| bad(&value))?;
    let leaf = |size: &mut Size, value| {
        size.path(path)?;
        Ok(object(path, value))
    };
    match (name.as_str(), argument) {
        ("$and" | "$or" | "$nor", Value::Array(parts)) => {
            let parts = parts.into_iter();
            list(&name, parts.map(|part| at_leaves(part, path, size)))
        }
        ("$not", argument) => Ok(object("$not", at_leaves(argument, path, size)?)),
        ("$elemMatch" | "$allMatch" | "$keyMapMatch", argument) => {
            let inner = at_leaves(argument, "", size)?;
            leaf(size, object(&name, inner))
        }
        ("$default", argument) => {
            let is_text = matches!(single(&argument), Some(("$text", _)));
            let value = object("$default", argument);
            if path.is_empty() && is_text {
                Ok(value)
            } else {
                Err(bad(&value))
            }
        }
        (_, argument) if name.starts_with('$') => leaf(size, object(&name, argument)),
        (_, argument) if path.is_empty() => at_leaves(argument, &name, size),
        (_, argument) => {
            let path = format!("{path}.{name}");
            size.path(&path)?;
            at_leaves(argument, &path, size)
        }
    }
}

/// Third pass.
fn push_negations(value: Value) -> Result<Value, QueryError> {
    let (name, argument) = match into_single(value) {
        Ok(single) => single,
        Err(value) => return Ok(value),
    };
    match (name.as_str(), argument) {
        ("$not", argument) => negate(argument),
        ("$nor", Value::Array(parts)) => list("$and", parts.into_iter().map(negate)),
        ("$and" | "$or", Value::Array(parts)) => list(&name, parts.into_iter().map(push_negations)),
        ("$elemMatch" | "$allMatch" | "$keyMapMatch", argument) => {
            Ok(object(&name, push_negations(argument)?))
        }
        (_, argument) => Ok(object(&name, argument)),
    }
}

fn negate(value: Value) -> Result<Value, QueryError> {
    let (name, argument) = match into_single(value) {
        Ok(single) => single,
        Err(value) => return Ok(object("$not", value)),
    };
    let opposite = match (name.as_str(), argument) {
        ("$not", argument) => return push_negations(argument),
        ("$nor", Value::Array(parts)) => {
            return list("$or", parts.into_iter().map(push_negations));
        }
        ("$and", Value::Array(parts)) => return list("$or", parts.into_iter().map(negate)),
        ("$or", Value::Array(parts)) => return list("$and", parts.into_iter().map(negate)),
        ("$default", argument) => {
            let value = object("$default", argument);
            return Err(QueryError::bad_argument("$not", &value));
        }
        ("$exists", Value::Bool(should)) => return Ok(object("$exists", Value::Bool(!should))),
        ("$lt", argument) => ("$gte", argument),
        ("$lte", argument) => ("$gt", argument),
        ("$eq", argument) => ("$ne", argument),
        ("$ne", argument) => ("$eq", argument),
        ("$gte", argument) => ("$lt", argument),
        ("$gt", argument) => ("$lte", argument),
        ("$in", argument) => ("$nin", argument),
        ("$nin", argument) => ("$in", argument),
        (_, argument) if name.starts_with('$') => {
            return Ok(object("$not", object(&name, argument)));
        }
        (_, argument) => return Ok(object(&name, negate(argument)?)),
    };
    Ok(object(opposite.0, opposite.1))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_have_the_normal_form_of_couchdb() {
        for (selector, expected) in [
            (json!({}), json!({})),
            (json!({"a": 1}), json!({"a": {"$eq": 1}})),
            (json!({"a": {"b": {"$gt": 1}}}), json!({"a.b": {"$gt": 1}})),
            (
                json!({"a": {"b": 1, "$exists": true}}),
                json!({"$and": [{"a.b": {"$eq": 1}}, {"a": {"$exists": true}}]}),
            ),
            (
                json!({"$nor": [{"a": 1}, {"b": {"$in": [2]}}]}),
                json!({"$and": [{"a": {"$ne": 1}}, {"b": {"$nin": [2]}}]}),
            ),
            (
                json!({"$not": {"$not": {"a": 1}}}),
                json!({"a": {"$eq": 1}}),
            ),
            (
                json!({"a": {"$not": {"$size": 1}}}),
                json!({"a": {"$not": {"$size": 1}}}),
            ),
            (
                json!({"m": {"$elemMatch": {"$elemMatch": {"$eq": 3}}}}),
                json!({"m": {"$elemMatch": {"": {"$elemMatch": {"": {"$eq": 3}}}}}}),
            ),
            (json!({"$text": "x"}), json!({"$default": {"$text": "x"}})),
        ] {
            let normal = |selector: &Value| {
                let selector = selector.as_object().unwrap();
                normalize(selector, Version::CURRENT, Admission::Now).unwrap()
            };
            assert_eq!(normal(&selector), expected);
            assert_eq!(normal(&expected), expected);
        }
    }

    #[test]
    fn bad_selectors_are_refused_in_the_words_of_couchdb() {
        for (selector, error, reason) in [
            (
                json!({"a": {"$foo": 1}}),
                "invalid_operator",
                "Invalid operator: $foo",
            ),
            (
                json!({"a": {"$in": "x"}}),
                "bad_arg",
                "Bad argument for operator $in: <<120>>",
            ),
            (
                json!({"a": {"$mod": [0, 0]}}),
                "bad_arg",
                "Bad argument for operator $mod: [0,0]",
            ),
            (
                json!({"a": {"$size": 2.0}}),
                "bad_arg",
                "Bad argument for operator $size: 2.0",
            ),
            (
                json!({"a": {"$regex": 5}}),
                "invalid_operator",
                "Invalid operator: $regex",
            ),
            (
                json!({"$where": 5}),
                "not_supported",
                "Unsupported operator: $where",
            ),
            (
                json!({"$not": {}}),
                "invalid_selector",
                "One or more conditions is missing a field name.",
            ),
        ] {
            let selector = selector.as_object().unwrap();
            let refused = normalize(selector, Version::CURRENT, Admission::Now).unwrap_err();
            assert_eq!(
                (refused.error(), refused.to_string().as_str()),
                (error, reason)
            );
        }
    }
}
