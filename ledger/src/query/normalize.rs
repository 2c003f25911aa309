//! Selectors in one form: every condition explicit, field names at the leaves, negations pushed down
//! as far as they go. The planner and `_explain` work on this form, and it is CouchDB's, in the same
//! three passes, so that what it refuses is refused in the same words.

use serde_json::{Map, Value};

use super::erlang::Plain;
use super::error::QueryError;
use super::regex::Regex;
use super::version::Version;

/// A selector in normal form. Idempotent.
///
/// # Errors
/// What CouchDB refuses: unknown operators, arguments they cannot take, conditions without a field.
pub(crate) fn normalize(
    selector: &Map<String, Value>,
    version: Version,
) -> Result<Value, QueryError> {
    if selector.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let explicit = explicit(&Value::Object(selector.clone()), version)?;
    let normal = push_negations(at_leaves(&explicit, "")?)?;
    match single(&normal) {
        Some(("", _)) => Err(QueryError::MissingFieldName),
        _ => Ok(normal),
    }
}

/// The only member of an object that has one.
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
fn explicit(value: &Value, version: Version) -> Result<Value, QueryError> {
    let Value::Object(members) = value else {
        return Ok(object("$eq", value.clone()));
    };
    if members.len() > 1 {
        let parts = members
            .iter()
            .map(|(name, value)| condition(name, value, version));
        return list("$and", parts);
    }
    match members.iter().next() {
        None => Ok(object("$eq", value.clone())),
        Some((name, value)) => condition(name, value, version),
    }
}

fn condition(name: &str, argument: &Value, version: Version) -> Result<Value, QueryError> {
    let same = || object(name, argument.clone());
    let checked = |operator, is_good: bool| {
        if is_good {
            Ok(same())
        } else {
            Err(QueryError::bad_argument(operator, argument))
        }
    };
    let each = |operator| match argument {
        Value::Array(parts) => list(operator, parts.iter().map(|part| explicit(part, version))),
        _ => Err(QueryError::bad_argument(operator, argument)),
    };
    let inner = |operator| match argument {
        Value::Object(_) => Ok(object(operator, explicit(argument, version)?)),
        _ => Err(QueryError::bad_argument(operator, argument)),
    };
    match name {
        "$and" => each("$and"),
        "$or" => each("$or"),
        "$nor" => each("$nor"),
        "$not" => inner("$not"),
        "$elemMatch" => inner("$elemMatch"),
        "$allMatch" => inner("$allMatch"),
        "$keyMapMatch" => inner("$keyMapMatch"),
        "$in" => checked("$in", argument.is_array()),
        "$nin" => checked("$nin", argument.is_array()),
        "$all" => checked("$all", argument.is_array()),
        "$exists" => checked("$exists", argument.is_boolean()),
        "$type" => checked("$type", argument.is_string()),
        "$size" => checked("$size", argument.as_u64().is_some()),
        "$mod" => checked("$mod", is_modulo(argument)),
        "$regex" => match argument {
            Value::String(pattern) => {
                Regex::new(pattern, version)?;
                Ok(same())
            }
            _ => Err(QueryError::InvalidOperator(name.to_owned())),
        },
        "$beginsWith" if argument.is_string() => Ok(same()),
        "$text" => match argument {
            Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok(object("$default", same())),
            _ => Err(QueryError::bad_argument("$text", argument)),
        },
        "$default" | "$lt" | "$lte" | "$eq" | "$ne" | "$gte" | "$gt" => Ok(same()),
        "$where" | "$geoWithin" | "$geoIntersects" | "$near" | "$nearSphere" => {
            Err(QueryError::UnsupportedOperator(name.to_owned()))
        }
        _ if name.starts_with('$') => Err(QueryError::InvalidOperator(name.to_owned())),
        _ => Ok(object(name, explicit(argument, version)?)),
    }
}

/// Two integers, the first not zero: that makes CouchDB fail on the first document with an integer.
fn is_modulo(argument: &Value) -> bool {
    let Some([divisor, rest]) = argument.as_array().map(Vec::as_slice) else {
        return false;
    };
    divisor.as_i64().is_some_and(|divisor| divisor != 0) && rest.as_i64().is_some()
}

/// Second pass: `{"a": {"b": {"$gt": 1}}}` becomes `{"a.b": {"$gt": 1}}`.
fn at_leaves(value: &Value, path: &str) -> Result<Value, QueryError> {
    let bad = || QueryError::BadField(Plain(value).to_string());
    let (name, argument) = single(value).ok_or_else(bad)?;
    match (name, argument) {
        ("$and" | "$or" | "$nor", Value::Array(parts)) => {
            list(name, parts.iter().map(|part| at_leaves(part, path)))
        }
        ("$not", _) => Ok(object(name, at_leaves(argument, path)?)),
        ("$elemMatch" | "$allMatch" | "$keyMapMatch", _) => {
            Ok(object(path, object(name, at_leaves(argument, "")?)))
        }
        ("$default", _) => {
            let is_text = matches!(single(argument), Some(("$text", _)));
            if path.is_empty() && is_text {
                Ok(value.clone())
            } else {
                Err(bad())
            }
        }
        _ if name.starts_with('$') => Ok(object(path, value.clone())),
        _ if path.is_empty() => at_leaves(argument, name),
        _ => at_leaves(argument, &format!("{path}.{name}")),
    }
}

/// Third pass.
fn push_negations(value: Value) -> Result<Value, QueryError> {
    match single(&value) {
        Some(("$not", argument)) => negate(argument),
        Some(("$nor", Value::Array(parts))) => list("$and", parts.iter().map(negate)),
        Some((name @ ("$and" | "$or"), Value::Array(parts))) => {
            list(name, parts.iter().cloned().map(push_negations))
        }
        Some((name @ ("$elemMatch" | "$allMatch" | "$keyMapMatch"), argument)) => {
            Ok(object(name, push_negations(argument.clone())?))
        }
        _ => Ok(value),
    }
}

fn negate(value: &Value) -> Result<Value, QueryError> {
    let Some((name, argument)) = single(value) else {
        return Ok(object("$not", value.clone()));
    };
    let opposite = match (name, argument) {
        ("$not", _) => return push_negations(argument.clone()),
        ("$nor", Value::Array(parts)) => {
            return list("$or", parts.iter().cloned().map(push_negations));
        }
        ("$and", Value::Array(parts)) => return list("$or", parts.iter().map(negate)),
        ("$or", Value::Array(parts)) => return list("$and", parts.iter().map(negate)),
        ("$default", _) => return Err(QueryError::bad_argument("$not", value)),
        ("$exists", Value::Bool(should)) => return Ok(object(name, Value::Bool(!should))),
        ("$lt", _) => "$gte",
        ("$lte", _) => "$gt",
        ("$eq", _) => "$ne",
        ("$ne", _) => "$eq",
        ("$gte", _) => "$lt",
        ("$gt", _) => "$lte",
        ("$in", _) => "$nin",
        ("$nin", _) => "$in",
        _ if name.starts_with('$') => return Ok(object("$not", value.clone())),
        _ => return Ok(object(name, negate(argument)?)),
    };
    Ok(object(opposite, argument.clone()))
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
            let normal = normalize(selector.as_object().unwrap(), Version::CURRENT).unwrap();
            assert_eq!(normal, expected);
            assert_eq!(
                normalize(normal.as_object().unwrap(), Version::CURRENT).unwrap(),
                expected
            );
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
            let refused = normalize(selector.as_object().unwrap(), Version::CURRENT).unwrap_err();
            assert_eq!(
                (refused.error(), refused.to_string().as_str()),
                (error, reason)
            );
        }
    }
}
