//! Tells which values a server gives back unchanged.

use serde_json::Value;

/// Every JSON reader has all integers up to this one.
const MAX_SAFE_INTEGER: u64 = 1 << 53;

/// How a server treats an object's members.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fidelity {
    /// CouchDB refuses it.
    Refused,
    /// CouchDB holds it, but may give something else back.
    Rewritten,
    /// CouchDB, and other servers with its protocol, give it back.
    Kept,
}

pub(super) fn fidelity(value: &Value) -> Fidelity {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => Fidelity::Kept,
        Value::Number(number) => {
            let text = number.as_str();
            let digits = text.strip_prefix('-').unwrap_or(text);
            let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit());
            let is_safe = digits
                .parse::<u64>()
                .is_ok_and(|number| number <= MAX_SAFE_INTEGER);
            if is_integer && is_safe && text != "-0" {
                Fidelity::Kept
            } else if number.as_f64().is_some_and(f64::is_finite) {
                Fidelity::Rewritten
            } else {
                Fidelity::Refused
            }
        }
        Value::Array(items) => items.iter().map(fidelity).min().unwrap_or(Fidelity::Kept),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| {
                // JavaScript puts members with such names first, or treats them specially.
                let moves = name == "__proto__"
                    || (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()));
                let own = fidelity(value);
                if moves {
                    own.min(Fidelity::Rewritten)
                } else {
                    own
                }
            });
            members.min().unwrap_or(Fidelity::Kept)
        }
    }
}

/// Whether two values are equal, apart from the notation of numbers and the order of members.
pub(super) fn is_alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| is_alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let alike = |(name, one)| other.get(name).is_some_and(|other| is_alike(one, other));
            one.len() == other.len() && one.iter().all(alike)
        }
        (one, other) => one == other,
    }
}
