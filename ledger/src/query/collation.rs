//! CouchDB's order of JSON values: null, false, true, numbers, strings, arrays, objects.
//!
//! Strings are compared by ICU's root collation, so `é` equals `e` + U+0301. The exception is a field named
//! `_id`, which is compared by [`compare_raw`]. The byte order of sort keys is that of [`compare`]; they
//! change with the collation data, so [`fingerprint`] is stored with them.
//!
//! | value | sort key |
//! |---|---|
//! | null, false, true | `01`, `02`, `03` |
//! | number | `04`, see [`number::put_sort_key`] |
//! | string | `05`, ICU's sort key with `00` as `00 FF`, `00 00` |
//! | array | `06`, elements, `00` |
//! | object | `07`, name and value of each member, `00` |

use std::cmp::Ordering;
use std::sync::LazyLock;

use icu_collator::options::CollatorOptions;
use icu_collator::{CollationKeySink, Collator, CollatorBorrowed, CollatorPreferences};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::number;

/// Greater than the first byte of any sort key.
pub(super) const ABOVE_ALL: u8 = 0xff;

#[expect(
    clippy::expect_used,
    reason = "the root collation is compiled in, and needs nothing else"
)]
static COLLATOR: LazyLock<CollatorBorrowed<'static>> = LazyLock::new(|| {
    Collator::try_new(CollatorPreferences::default(), CollatorOptions::default())
        .expect("the root collation is compiled in")
});

/// Identifies the collation data by its effect: a digest of the sort keys of every character of the basic
/// plane. An update that sorts any of them differently has another digest.
pub(crate) fn fingerprint() -> &'static str {
    static FINGERPRINT: LazyLock<String> = LazyLock::new(|| {
        let mut digest = Sha256::new();
        let mut key = Vec::new();
        for character in (0..=0xffff_u32).filter_map(char::from_u32) {
            key.clear();
            put_string(character.encode_utf8(&mut [0; 4]), &mut key, usize::MAX);
            digest.update(&key);
        }
        hex::encode(digest.finalize())
    });
    &FINGERPRINT
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 1,
        Value::Bool(false) => 2,
        Value::Bool(true) => 3,
        Value::Number(_) => 4,
        Value::String(_) => 5,
        Value::Array(_) => 6,
        Value::Object(_) => 7,
    }
}

fn compare_text(left: &str, right: &str) -> Ordering {
    if left == right {
        return Ordering::Equal;
    }
    COLLATOR.compare(left, right)
}

/// CouchDB's order.
pub(crate) fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            number::compare(left.as_str(), right.as_str())
        }
        (Value::String(left), Value::String(right)) => compare_text(left, right),
        (Value::Array(left), Value::Array(right)) => left
            .iter()
            .zip(right)
            .map(|(left, right)| compare(left, right))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| left.len().cmp(&right.len())),
        (Value::Object(left), Value::Object(right)) => {
            compare_members(left, right, compare_text, compare)
        }
        _ => rank(left).cmp(&rank(right)),
    }
}

fn compare_members(
    left: &Map<String, Value>,
    right: &Map<String, Value>,
    names: impl Fn(&str, &str) -> Ordering,
    values: impl Fn(&Value, &Value) -> Ordering,
) -> Ordering {
    left.iter()
        .zip(right)
        .map(|(left, right)| names(left.0, right.0).then_with(|| values(left.1, right.1)))
        .find(|order| order.is_ne())
        .unwrap_or_else(|| left.len().cmp(&right.len()))
}

/// The order of a field named `_id`, which is Erlang's: numbers, false, null, true, objects, arrays, and
/// strings by their bytes.
pub(crate) fn compare_raw(left: &Value, right: &Value) -> Ordering {
    fn rank(value: &Value) -> u8 {
        match value {
            Value::Number(_) => 0,
            Value::Bool(false) => 1,
            Value::Null => 2,
            Value::Bool(true) => 3,
            Value::Object(_) => 4,
            Value::Array(_) => 5,
            Value::String(_) => 6,
        }
    }
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            number::compare(left.as_str(), right.as_str())
        }
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Array(left), Value::Array(right)) => left
            .iter()
            .zip(right)
            .map(|(left, right)| compare_raw(left, right))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| left.len().cmp(&right.len())),
        (Value::Object(left), Value::Object(right)) => {
            compare_members(left, right, Ord::cmp, compare_raw)
        }
        _ => rank(left).cmp(&rank(right)),
    }
}

/// Whether two values are the same for `$all`: strings are compared by their bytes, and 1 is not 1.0.
pub(super) fn identical(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            let (left, right) = (left.as_str(), right.as_str());
            number::is_integer(left) == number::is_integer(right)
                && number::compare(left, right).is_eq()
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| identical(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| left.0 == right.0 && identical(left.1, right.1))
        }
        _ => left == right,
    }
}

/// Takes bytes of a sort key up to a number, and then ends the collation.
struct Bounded<'a> {
    out: &'a mut Vec<u8>,
    most: usize,
}

/// There are as many bytes as are needed, or some more.
struct Enough;

impl CollationKeySink for Bounded<'_> {
    type Error = Enough;
    type State = ();
    type Output = ();

    fn write(&mut self, (): &mut (), bytes: &[u8]) -> Result<(), Enough> {
        if self.out.len() >= self.most {
            return Err(Enough);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(&mut self, (): ()) -> Result<(), Enough> {
        Ok(())
    }
}

fn put_string(text: &str, out: &mut Vec<u8>, most: usize) {
    out.push(5);
    let start = out.len();
    let mut sink = Bounded { out, most };
    // A key that is ended early is longer than what is kept.
    let (Ok(()) | Err(Enough)) = COLLATOR.write_sort_key_to(text, &mut sink);
    if out.iter().skip(start).any(|byte| *byte == 0) {
        let key = out.split_off(start);
        for byte in key {
            out.push(byte);
            if byte == 0 {
                out.push(0xff);
            }
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// Appends the sort key of a value. No sort key is a prefix of another. Once `out` has `most` bytes, the rest
/// is not needed, and little of it is made.
pub(crate) fn put_sort_key(value: &Value, out: &mut Vec<u8>, most: usize) {
    if out.len() >= most {
        return;
    }
    match value {
        Value::Null | Value::Bool(_) => out.push(rank(value)),
        Value::Number(number) => {
            out.push(4);
            number::put_sort_key(number.as_str(), out);
        }
        Value::String(text) => put_string(text, out, most),
        Value::Array(elements) => {
            out.push(6);
            for element in elements {
                if out.len() >= most {
                    return;
                }
                put_sort_key(element, out, most);
            }
            out.push(0);
        }
        Value::Object(members) => {
            out.push(7);
            for (name, value) in members {
                if out.len() >= most {
                    return;
                }
                put_string(name, out, most);
                put_sort_key(value, out, most);
            }
            out.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_order_as_in_couchdb_and_sort_keys_agree() {
        let long = json!("a\u{0}b");
        let ascending = [
            json!(null),
            json!(false),
            json!(true),
            json!(-1),
            json!(0),
            json!(1.5),
            json!(10),
            json!(""),
            json!("_"),
            json!("-"),
            json!("~"),
            json!("😀"),
            json!("1"),
            json!("10"),
            json!("2"),
            json!("a"),
            json!("A"),
            json!("å"),
            json!("ä"),
            long,
            json!("b"),
            json!("ß"),
            json!("z"),
            json!("中"),
            json!([]),
            json!([null]),
            json!([1]),
            json!([1, 2]),
            json!(["a"]),
            json!([[1]]),
            json!({}),
            json!({"a": 1}),
            json!({"a": 1, "b": 2}),
            json!({"a": 2}),
            json!({"b": 1}),
            json!({"b": 2, "a": 1}),
        ];
        let key = |value| {
            let mut key = Vec::new();
            put_sort_key(value, &mut key, usize::MAX);
            key
        };
        for (i, left) in ascending.iter().enumerate() {
            for (j, right) in ascending.iter().enumerate() {
                assert_eq!(compare(left, right), i.cmp(&j), "{left} {right}");
                assert_eq!(key(left).cmp(&key(right)), i.cmp(&j), "{left} {right}");
            }
        }
        assert!(compare(&json!("é"), &json!("e\u{301}")).is_eq());
        assert!(compare(&json!(""), &json!("\u{200b}")).is_eq());
        assert!(compare_raw(&json!("é"), &json!("e\u{301}")).is_ne());
        assert!(compare_raw(&json!("Z"), &json!("a")).is_lt());
        assert!(compare_raw(&json!("a"), &json!({})).is_gt());
    }

    /// The characters have one byte or several, and expand, contract, reorder, compress or are ignored; NUL
    /// has a key with an escaped byte.
    #[test]
    fn a_sort_key_that_is_cut_is_made_to_the_cut_and_has_the_same_bytes() {
        let characters = [
            "a", "B", "ß", "é", "e\u{301}", "中", "文", "\u{ad}", "\u{0}", "ch", "😀", "-", "한",
        ];
        let text = |length: usize, step: usize| -> String {
            let mut at = 0;
            let mut next = || {
                at = (at * 7 + step) % characters.len();
                characters[at]
            };
            (0..length).map(|_| next()).collect()
        };
        let longs = (1..13).map(|step| json!(text(30_000, step)));
        let nested = [
            json!(vec![0; 100_000]),
            json!([["a", text(9_000, 5)], {"b": text(9_000, 3)}]),
            json!({"ab": 1, text(9_000, 1): 2, "z": text(9_000, 2)}),
        ];
        for value in longs.chain(nested) {
            let mut whole = Vec::new();
            put_sort_key(&value, &mut whole, usize::MAX);
            assert!(whole.len() > 12_000, "{}", whole.len());
            for most in [1, 100, 101, 102, 103, 8 << 10] {
                let mut cut = Vec::new();
                put_sort_key(&value, &mut cut, most);
                assert!((most..most + 1_000).contains(&cut.len()), "{}", cut.len());
                assert_eq!(cut[..most], whole[..most], "{most}");
            }
        }
    }

    #[test]
    fn to_all_a_float_is_no_integer() {
        assert!(identical(&json!([1, "a"]), &json!([1, "a"])));
        assert!(!identical(&json!(1), &json!(1.0)));
        assert!(!identical(&json!("é"), &json!("e\u{301}")));
        assert!(!identical(
            &json!({"a": 1, "b": 1}),
            &json!({"b": 1, "a": 1})
        ));
    }
}
