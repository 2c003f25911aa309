//! Compares the values of documents with those of a selector, and counts the steps.

use std::cmp::Ordering;

use serde_json::Value;

use super::collation::identical;
use super::graphemes::begins_with;
use super::number::{Decimal, View};
use super::version::Version;
use super::work::{Exceeded, Meter, Spend};

#[derive(Clone, Copy, Debug)]
pub(super) enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

impl Comparison {
    pub(super) fn holds(self, order: Ordering) -> bool {
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

/// A value to compare with, which is prepared once.
#[derive(Clone, Debug)]
pub(super) struct Argument {
    value: Value,
    /// The value as a number, if it is one.
    number: Option<Decimal>,
    /// The most steps that a comparison with it takes.
    weight: u64,
}

impl Argument {
    pub(super) fn new(value: &Value) -> Self {
        Self {
            number: match value {
                Value::Number(number) => Some(Decimal::new(number.as_str())),
                _ => None,
            },
            weight: weight(value),
            value: value.clone(),
        }
    }
}

/// How values are compared: `_id` by its bytes, everything else by collation.
pub(super) type Order = fn(&Value, &Value) -> Ordering;

pub(super) fn any<T>(
    parts: impl IntoIterator<Item = T>,
    mut holds: impl FnMut(T) -> Result<bool, Exceeded>,
) -> Result<bool, Exceeded> {
    for part in parts {
        if holds(part)? {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn all<T>(
    parts: impl IntoIterator<Item = T>,
    mut holds: impl FnMut(T) -> Result<bool, Exceeded>,
) -> Result<bool, Exceeded> {
    Ok(!any(parts, |part| Ok(!holds(part)?))?)
}

pub(super) fn length(text: &str) -> u64 {
    text.len() as u64
}

/// The steps of collating two texts, whatever their length.
const COLLATING: u64 = 40;

/// Bytes of characters that collation may ignore, so that it goes on to the end of the text: none of them is
/// printable ASCII.
fn passed_over(text: &str) -> u64 {
    let bytes = text.bytes();
    bytes.filter(|byte| !matches!(byte, b' '..=b'~')).count() as u64
}

/// The most steps that a value's own numbers and texts add to a comparison with a list or an object.
fn inside(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) => 1,
        Value::Number(number) => 1 + length(number.as_str()) / 16,
        Value::String(text) => 1 + length(text) / 32 + passed_over(text),
        Value::Array(elements) => 1 + elements.iter().map(inside).sum::<u64>(),
        Value::Object(members) => {
            let members = members.iter();
            let inside = members.map(|(name, value)| 1 + passed_over(name) + inside(value));
            1 + inside.sum::<u64>()
        }
    }
}

/// The most steps of a comparison with a value, whatever the other value is, without the steps for that
/// value's inside.
pub(super) fn weight(value: &Value) -> u64 {
    match value {
        Value::Null | Value::Bool(_) => 1,
        Value::Number(number) => 4 + length(number.as_str()),
        Value::String(text) => COLLATING + length(text) + passed_over(text),
        Value::Array(elements) => 1 + elements.iter().map(weight).sum::<u64>(),
        Value::Object(members) => {
            let members = members.iter();
            let weights = members
                .map(|(name, value)| COLLATING + length(name) + passed_over(name) + weight(value));
            1 + weights.sum::<u64>()
        }
    }
}

/// A document's value, which is prepared to be compared with several values.
pub(super) struct Subject<'a> {
    value: &'a Value,
    number: Option<View<'a>>,
    /// [`passed_over`] of its text, if it is a text.
    passed_over: u64,
}

impl<'a> Subject<'a> {
    pub(super) fn new(value: &'a Value, meter: &mut Meter) -> Result<Self, Exceeded> {
        let number = match value {
            Value::Number(number) => {
                let text = number.as_str();
                meter.spend(Spend::Conditions, 3 + length(text) / 16)?;
                Some(View::new(text))
            }
            _ => None,
        };
        let passed_over = match value {
            Value::String(text) => {
                meter.spend(Spend::Conditions, length(text) / 32)?;
                passed_over(text)
            }
            _ => 0,
        };
        Ok(Self {
            value,
            number,
            passed_over,
        })
    }

    pub(super) fn compare(
        &self,
        argument: &Argument,
        order: Order,
        meter: &mut Meter,
    ) -> Result<Ordering, Exceeded> {
        if let (Some(number), Some(other)) = (&self.number, &argument.number) {
            let other = other.view();
            meter.spend(Spend::Conditions, 1 + number.common(&other) / 16)?;
            return Ok(number.compare(&other));
        }
        let steps = match (self.value, &argument.value) {
            (Value::String(text), Value::String(other)) => {
                let passed_over = self.passed_over + passed_over(other);
                COLLATING + length(text).min(length(other)) + passed_over
            }
            (Value::Array(_), Value::Array(_)) | (Value::Object(_), Value::Object(_)) => {
                argument.weight + inside(self.value)
            }
            _ => 1,
        };
        meter.spend(Spend::Conditions, steps)?;
        Ok(order(self.value, &argument.value))
    }
}

pub(super) fn text_begins_with(
    text: &str,
    start: &str,
    version: Version,
    meter: &mut Meter,
) -> Result<bool, Exceeded> {
    meter.spend(Spend::Conditions, 1 + length(start) / 32)?;
    if version == Version::One || !text.starts_with(start) {
        return Ok(text.starts_with(start));
    }
    // A single character may be as long as the text.
    meter.spend(Spend::Conditions, 2 + (length(text) - length(start)))?;
    Ok(begins_with(text, start))
}

pub(super) fn is_among(
    value: &Value,
    arguments: &[Argument],
    order: Order,
    meter: &mut Meter,
) -> Result<bool, Exceeded> {
    let mut is_one = |value| {
        let subject = Subject::new(value, meter)?;
        any(arguments, |argument| {
            Ok(subject.compare(argument, order, meter)?.is_eq())
        })
    };
    match value {
        Value::Array(elements) => any(elements, is_one),
        _ => is_one(value),
    }
}

/// Whether all arguments are elements, or the only argument is the array itself.
pub(super) fn has_all(
    value: &Value,
    arguments: &[Argument],
    meter: &mut Meter,
) -> Result<bool, Exceeded> {
    let Value::Array(elements) = value else {
        return Ok(false);
    };
    let mut same = |value: &Value, argument: &Argument| {
        let steps = match (value, &argument.value) {
            (Value::Number(one), Value::Number(other)) => {
                8 + length(one.as_str()).max(length(other.as_str())) / 2
            }
            (Value::String(text), Value::String(_)) => 2 + length(text) / 32,
            // If their lengths differ, they are not compared further.
            (Value::Array(one), Value::Array(other)) if one.len() != other.len() => 1,
            (Value::Object(one), Value::Object(other)) if one.len() != other.len() => 1,
            (Value::Array(_), Value::Array(_)) | (Value::Object(_), Value::Object(_)) => {
                argument.weight + inside(value)
            }
            _ => 1,
        };
        meter.spend(Spend::Conditions, steps)?;
        Ok(identical(value, &argument.value))
    };
    if arguments.is_empty() {
        return Ok(false);
    }
    let has_each = all(arguments, |argument| {
        any(elements, |element| same(element, argument))
    })?;
    Ok(has_each
        || match arguments {
            [argument] if argument.value.is_array() => same(value, argument)?,
            _ => false,
        })
}
