//! Chooses the index for a query, and the part of it, as CouchDB does.
//!
//! An index can be used if the selector, or the sort, requires every one of its fields, because documents
//! that lack a field are not in it. Of several, the index wins that the selector's ranges cover most, then
//! the one with the fewest fields, then the first by design document and name.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::Value;

use super::collation::{compare, compare_raw};
use super::comparison::weight;
use super::normalize::single;

/// The part of a field's values that can match; `_id` is compared by its bytes, other fields by collation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Range {
    /// No value can match.
    Empty,
    /// The values between two bounds; each bound says whether it is in the range itself.
    Within {
        low: Option<(Value, bool)>,
        high: Option<(Value, bool)>,
    },
}

impl Range {
    const ALL: Self = Self::Within {
        low: None,
        high: None,
    };
}

/// Whether every document that matches has all the fields.
pub(super) fn requires(selector: &Value, fields: &[&str]) -> bool {
    missing(selector, fields).is_empty()
}

/// The fields that a matching document may lack.
fn missing<'a>(selector: &Value, fields: &[&'a str]) -> Vec<&'a str> {
    let Some((name, argument)) = single(selector) else {
        return fields.to_vec();
    };
    match (name, argument) {
        ("$and", Value::Array(parts)) => parts
            .iter()
            .fold(fields.to_vec(), |left, part| missing(part, &left)),
        ("$or", Value::Array(parts)) if parts.is_empty() => fields.to_vec(),
        ("$or", Value::Array(parts)) => {
            let lacking = |field: &&str| {
                let lacks = |part| !missing(part, std::slice::from_ref(field)).is_empty();
                parts.iter().any(lacks)
            };
            fields.iter().copied().filter(lacking).collect()
        }
        _ if matches!(single(argument), Some(("$exists", Value::Bool(false)))) => fields.to_vec(),
        _ => fields
            .iter()
            .copied()
            .filter(|field| *field != name)
            .collect(),
    }
}

/// Whether the selector asks for only one value of the field.
pub(super) fn is_constant(selector: &Value, field: &str) -> bool {
    match single(selector) {
        Some(("$and", Value::Array(parts))) => parts.iter().any(|part| is_constant(part, field)),
        Some((name, argument)) => name == field && matches!(single(argument), Some(("$eq", _))),
        None => false,
    }
}

/// Whether reading the index in order gives the order asked for.
pub(super) fn gives_order(columns: &[String], sort: &[String], selector: &Value) -> bool {
    let Some(first) = sort.first() else {
        return true;
    };
    let mut columns = columns;
    while let Some((column, rest)) = columns.split_first() {
        if column == first {
            return columns.starts_with(sort);
        }
        if !is_constant(selector, column) {
            return false;
        }
        columns = rest;
    }
    false
}

/// Whether it has `$text`, for which only a text index could be used.
pub(super) fn is_text_search(selector: &Value) -> bool {
    match single(selector) {
        Some(("$default", _)) => true,
        Some(("$and" | "$or", Value::Array(parts))) => parts.iter().any(is_text_search),
        _ => false,
    }
}

/// The sorted fields whose values the selector bounds. `$exists` counts as a range of all values, as in
/// CouchDB.
pub(super) fn bounded_fields(selector: &Value) -> Vec<&str> {
    let mut fields = Vec::new();
    collect_bounded(selector, &mut fields);
    fields.sort_unstable();
    fields.dedup();
    fields
}

fn collect_bounded<'a>(selector: &'a Value, fields: &mut Vec<&'a str>) {
    match single(selector) {
        Some(("$and", Value::Array(parts))) => {
            for part in parts {
                collect_bounded(part, fields);
            }
        }
        Some((name, argument)) if !name.starts_with('$') => {
            let bounds = [
                "$lt",
                "$lte",
                "$eq",
                "$gte",
                "$gt",
                "$beginsWith",
                "$exists",
            ];
            if single(argument).is_some_and(|(operator, _)| bounds.contains(&operator)) {
                fields.push(name);
            }
        }
        _ => (),
    }
}

/// The order of values for bounds.
#[derive(Clone, Copy)]
pub(super) struct Order {
    compare: fn(&Value, &Value) -> Ordering,
    /// The character that sorts after every other end of a string if it is repeated this often.
    last: (char, usize),
}

/// CouchDB plans with collation for all fields, even for `_id`.
pub(super) const COLLATED: Order = Order {
    compare,
    last: ('\u{ffff}', 1),
};
/// The order that is really used for `_id`; no key has so many bytes.
pub(super) const BYTES: Order = Order {
    compare: compare_raw,
    last: (char::MAX, 300),
};

/// The values of a field that can match.
pub(super) fn range(selector: &Value, field: &str, order: Order) -> Range {
    let mut range = Range::ALL;
    narrow(selector, field, order, &mut range);
    range
}

fn narrow(selector: &Value, field: &str, order: Order, range: &mut Range) {
    match single(selector) {
        Some(("$and", Value::Array(parts))) => {
            for part in parts {
                narrow(part, field, order, range);
            }
        }
        Some((name, argument)) if name == field => {
            let Some((operator, value)) = single(argument) else {
                return;
            };
            match operator {
                "$lt" => upper(range, value, false, order),
                "$lte" => upper(range, value, true, order),
                "$gt" => lower(range, value, false, order),
                "$gte" => lower(range, value, true, order),
                "$eq" => {
                    lower(range, value, true, order);
                    upper(range, value, true, order);
                }
                "$beginsWith" => {
                    lower(range, value, true, order);
                    let start = value.as_str().unwrap_or_default();
                    let (last, times) = order.last;
                    let last = last.to_string().repeat(times);
                    upper(range, &Value::String(format!("{start}{last}")), true, order);
                }
                _ => (),
            }
        }
        _ => (),
    }
}

fn lower(range: &mut Range, value: &Value, inclusive: bool, order: Order) {
    if let Range::Within { low, .. } = range {
        let tightens = low.as_ref().is_none_or(|(now, now_inclusive)| {
            let against = (order.compare)(value, now);
            against.is_gt() || (against.is_eq() && *now_inclusive && !inclusive)
        });
        if tightens {
            *low = Some((value.clone(), inclusive));
        }
    }
    close(range, order);
}

fn upper(range: &mut Range, value: &Value, inclusive: bool, order: Order) {
    if let Range::Within { high, .. } = range {
        let tightens = high.as_ref().is_none_or(|(now, now_inclusive)| {
            let against = (order.compare)(value, now);
            against.is_lt() || (against.is_eq() && *now_inclusive && !inclusive)
        });
        if tightens {
            *high = Some((value.clone(), inclusive));
        }
    }
    close(range, order);
}

fn close(range: &mut Range, order: Order) {
    if let Range::Within {
        low: Some((low, low_inclusive)),
        high: Some((high, high_inclusive)),
    } = range
    {
        let between = (order.compare)(low, high);
        if between.is_gt() || (between.is_eq() && !(*low_inclusive && *high_inclusive)) {
            *range = Range::Empty;
        }
    }
}

/// The ranges of all bounded fields, in order of the fields. If one is impossible, only that one is returned,
/// because CouchDB stops there.
pub(super) fn ranges(selector: &Value) -> Vec<(&str, Range)> {
    let fields = bounded_fields(selector).into_iter();
    let mut found: BTreeMap<&str, Range> = fields.map(|field| (field, Range::ALL)).collect();
    narrow_all(selector, &mut found);
    match found.iter().find(|(_, range)| **range == Range::Empty) {
        Some((field, _)) => vec![(*field, Range::Empty)],
        None => found.into_iter().collect(),
    }
}

/// The most steps of finding the ranges: each bound of a field is compared with the bound before it, and with
/// the other end.
pub(super) fn steps(selector: &Value) -> u64 {
    let mut fields: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    collect_steps(selector, &mut fields);
    let steps = fields.values();
    let steps = steps.map(|(bounds, heaviest)| bounds.saturating_mul(4 * heaviest));
    steps.fold(0, u64::saturating_add)
}

fn collect_steps<'a>(selector: &'a Value, fields: &mut BTreeMap<&'a str, (u64, u64)>) {
    match single(selector) {
        Some(("$and", Value::Array(parts))) => {
            for part in parts {
                collect_steps(part, fields);
            }
        }
        Some((name, argument)) if !name.starts_with('$') => {
            let weight = single(argument).map_or(1, |(_, value)| weight(value));
            let (bounds, heaviest) = fields.entry(name).or_default();
            *bounds += 1;
            *heaviest = weight.max(*heaviest);
        }
        _ => (),
    }
}

/// Narrows the ranges of all fields in one walk.
fn narrow_all<'a>(selector: &'a Value, ranges: &mut BTreeMap<&'a str, Range>) {
    match single(selector) {
        Some(("$and", Value::Array(parts))) => {
            for part in parts {
                narrow_all(part, ranges);
            }
        }
        Some((name, _)) => {
            if let Some(range) = ranges.get_mut(name) {
                narrow(selector, name, COLLATED, range);
            }
        }
        None => (),
    }
}

/// The ranges of an index's first fields, up to the first that has none.
pub(super) fn prefix(columns: &[String], ranges: &[(&str, Range)]) -> Vec<Range> {
    let find = |column: &String| ranges.iter().find(|(field, _)| field == column);
    let found = columns.iter().map_while(find);
    found.map(|(_, range)| range.clone()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_index_serves_where_every_field_is_required() {
        for (selector, fields, expected) in [
            (json!({"a": {"$eq": 1}}), vec!["a"], true),
            (json!({"a": {"$eq": 1}}), vec!["a", "b"], false),
            (json!({"a": {"$exists": false}}), vec!["a"], false),
            (json!({"a": {"$nin": [1]}}), vec!["a"], true),
            (
                json!({"$or": [{"a": {"$eq": 1}}, {"a": {"$gt": 2}}]}),
                vec!["a"],
                true,
            ),
            (
                json!({"$or": [{"a": {"$eq": 1}}, {"b": {"$gt": 2}}]}),
                vec!["a"],
                false,
            ),
            (json!({"$or": []}), vec!["a"], false),
            (json!({}), vec![], true),
        ] {
            assert_eq!(
                requires(&selector, &fields),
                expected,
                "{selector} {fields:?}"
            );
        }
    }

    #[test]
    fn bounds_narrow_until_nothing_is_left() {
        let bounds = |selector: Value| range(&selector, "a", COLLATED);
        let both =
            bounds(json!({"$and": [{"a": {"$gte": 1}}, {"a": {"$lt": 5}}, {"a": {"$gt": 1}}]}));
        let expected = Range::Within {
            low: Some((json!(1), false)),
            high: Some((json!(5), false)),
        };
        assert_eq!(both, expected);
        for empty in [
            json!({"$and": [{"a": {"$gt": 1}}, {"a": {"$lt": 1}}]}),
            json!({"$and": [{"a": {"$eq": 1}}, {"a": {"$eq": 2}}]}),
            json!({"$and": [{"a": {"$gte": 1}}, {"a": {"$lt": 1}}]}),
        ] {
            assert_eq!(bounds(empty), Range::Empty);
        }
    }
}
