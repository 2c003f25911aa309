//! Reads a text as a [`Value`] in which every member is a member, whatever its name.

use std::borrow::Cow;

use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use super::scanner::Scanner;
use super::{JsonError, utf8};

/// How deep a text may be nested: `[[1]]` has depth 2.
pub(crate) const MAX_TREE_DEPTH: usize = 127;
/// A number with so few digits fits into any 64-bit integer.
const SHORT_DIGITS: usize = 18;

/// How a repeated member of one object is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeats {
    /// The last value counts, in the place of the first: for texts of others, and stored texts.
    LastCounts,
    /// The text is refused, as is one with a number that is too long: for users' queries.
    Refused,
}

/// Reads a text.
///
/// # Errors
/// [`JsonError`] with the first fault found.
pub(crate) fn parse(text: &[u8], repeats: Repeats) -> Result<Value, JsonError> {
    parse_to(text, repeats, MAX_TREE_DEPTH)
}

/// Reads a text that may be nested up to `max_depth`.
///
/// # Errors
/// See [`parse`].
pub(crate) fn parse_to(
    text: &[u8],
    repeats: Repeats,
    max_depth: usize,
) -> Result<Value, JsonError> {
    let mut reader = Reader {
        scanner: match repeats {
            Repeats::Refused => Scanner::strict(utf8(text)?, max_depth),
            Repeats::LastCounts => Scanner::new(utf8(text)?, max_depth),
        },
        repeats,
    };
    reader.scanner.skip_space();
    let value = reader.value()?;
    reader.scanner.end()?;
    Ok(value)
}

/// The members of an object, and whether it has hidden members.
pub(crate) type Members = (Map<String, Value>, bool);

/// Reads an object, and adds its members to those given, without members whose names `hides` has. Returns
/// `None` if the text is not an object. Members that are not `wanted` are only checked. Of a repeated member
/// the last counts.
///
/// # Errors
/// [`JsonError`] with the first fault found.
pub(crate) fn parse_members(
    text: &[u8],
    mut members: Map<String, Value>,
    hides: &dyn Fn(&str) -> bool,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Option<Members>, JsonError> {
    let mut reader = Reader {
        scanner: Scanner::new(utf8(text)?, MAX_TREE_DEPTH),
        repeats: Repeats::LastCounts,
    };
    reader.scanner.skip_space();
    if reader.scanner.peek() != Some(b'{') {
        return Ok(None);
    }
    let mut has_hidden = false;
    reader.object(&mut |reader, name| {
        let is_hidden = hides(&name);
        has_hidden |= is_hidden;
        if is_hidden || !wanted(&name) {
            return reader.pass_over();
        }
        let value = reader.value()?;
        reader.insert(&mut members, name.into_owned(), value)
    })?;
    reader.scanner.end()?;
    Ok(Some((members, has_hidden)))
}

struct Reader<'a> {
    scanner: Scanner<'a>,
    repeats: Repeats,
}

/// Reads the value of a member, whose name was read.
type ReadMember<'a, 'f> = dyn FnMut(&mut Reader<'a>, Cow<'a, str>) -> Result<(), JsonError> + 'f;

impl<'a> Reader<'a> {
    /// A value; the position is at its first character.
    fn value(&mut self) -> Result<Value, JsonError> {
        match self.scanner.peek() {
            Some(b'"') => Ok(Value::String(self.scanner.string()?.into_owned())),
            Some(b'{') => {
                let mut members = Map::new();
                self.object(&mut |reader, name| {
                    let value = reader.value()?;
                    reader.insert(&mut members, name.into_owned(), value)
                })?;
                Ok(Value::Object(members))
            }
            Some(b'[') => {
                let mut elements = Vec::new();
                self.array(&mut |reader| {
                    elements.push(reader.value()?);
                    Ok(())
                })?;
                Ok(Value::Array(elements))
            }
            Some(b'-' | b'0'..=b'9') => {
                let start = self.scanner.position();
                self.scanner.number()?;
                number(self.scanner.since(start), start)
            }
            _ => Ok(match self.scanner.word()? {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                _ => Value::Null,
            }),
        }
    }

    /// Checks a value without keeping it.
    fn pass_over(&mut self) -> Result<(), JsonError> {
        match self.scanner.peek() {
            Some(b'"') => self.scanner.string().map(|_| ()),
            Some(b'{') => self.object(&mut |reader, _| reader.pass_over()),
            Some(b'[') => self.array(&mut Self::pass_over),
            Some(b'-' | b'0'..=b'9') => self.scanner.number(),
            _ => self.scanner.word().map(|_| ()),
        }
    }

    /// An array; `element` reads each of its elements.
    fn array(
        &mut self,
        element: &mut dyn FnMut(&mut Self) -> Result<(), JsonError>,
    ) -> Result<(), JsonError> {
        self.scanner.enter()?;
        if !self.scanner.closes(b']') {
            loop {
                self.scanner.skip_space();
                element(self)?;
                if !self.scanner.goes_on(b']')? {
                    break;
                }
            }
        }
        self.scanner.leave();
        Ok(())
    }

    /// An object; `value` reads the value of each of its members.
    fn object(&mut self, value: &mut ReadMember<'a, '_>) -> Result<(), JsonError> {
        self.scanner.enter()?;
        if !self.scanner.closes(b'}') {
            loop {
                self.scanner.skip_space();
                let (name, _) = self.scanner.name()?;
                value(self, name)?;
                if !self.scanner.goes_on(b'}')? {
                    break;
                }
            }
        }
        self.scanner.leave();
        Ok(())
    }

    fn insert(
        &self,
        members: &mut Map<String, Value>,
        name: String,
        value: Value,
    ) -> Result<(), JsonError> {
        match members.entry(name) {
            Entry::Vacant(place) => {
                place.insert(value);
            }
            Entry::Occupied(place) if self.repeats == Repeats::Refused => {
                let name = place.key().clone();
                return Err(JsonError::DuplicateMember { name });
            }
            Entry::Occupied(mut place) => {
                place.insert(value);
            }
        }
        Ok(())
    }
}

fn number(text: &str, offset: usize) -> Result<Value, JsonError> {
    // Most numbers are short integers, whose digits come back unchanged; `-0` is not such a number.
    if text.len() <= SHORT_DIGITS
        && text != "-0"
        && let Ok(integer) = text.parse::<i64>()
    {
        return Ok(integer.into());
    }
    let number = text.parse::<Number>().map_err(|_| JsonError::Syntax {
        expected: "a number",
        offset,
    })?;
    Ok(Value::Number(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Value, JsonError> {
        parse(text.as_bytes(), Repeats::LastCounts)
    }

    /// The texts are those that `serde_json` reads rightly, without its private names.
    #[test]
    fn texts_are_what_they_are_to_everybody() {
        for text in [
            "null",
            " true ",
            "[false]",
            "0",
            "-0",
            "-7",
            "00",
            "-",
            "999999999999999999",
            "9999999999999999999",
            "-123456789012345678901234567890",
            "1E5",
            "1e+5",
            "-0.10",
            "1e400",
            "1.",
            "\"\"",
            r#""é\u00e9\ud83d\ude00\n\/""#,
            r#""\ud800""#,
            r#""\ude00\ud800""#,
            "\"\u{1}\"",
            "[1 ,2, [ ] ,{}]",
            "[1,]",
            r#"{"a":1,"b":{"":[{"c":null}]}}"#,
            r#"{"a":1,"b":2,"a":3}"#,
            r#"{"a":1,}"#,
            r#"{"a" 1}"#,
            "{} {}",
            "",
            "nul",
        ] {
            let expected = serde_json::from_str::<Value>(text).ok();
            let found = read(text).ok();
            assert_eq!(found, expected, "{text}");
            let print = |value: Option<Value>| value.map(|value| value.to_string());
            assert_eq!(print(found), print(expected), "{text}");
        }
        for depth in [1, 127, 128] {
            let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            let expected = serde_json::from_str::<Value>(&nested).is_ok();
            assert_eq!(read(&nested).is_ok(), expected, "{depth}");
        }
    }

    #[test]
    fn what_is_not_wanted_is_checked_all_the_same() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let (deepest, too_deep) = (deep(126), deep(127));
        for value in [
            "null",
            "[1, -2.50e3 ,{}, [ ],\"\\ud83d\\ude00\"]",
            r#"{"a":1,"a":2,"b":{"":[]}}"#,
            &"9".repeat(5_000),
            &deepest,
            &too_deep,
            "[1,]",
            "01",
            "-",
            "1e",
            "tru",
            "\"\\ud800\"",
            "\"\n\"",
            "\"",
            "{\"a\"}",
            "{a:1}",
            "[}",
            "",
        ] {
            let text = format!("{{\"a\":{value}}}");
            let read = |is_wanted: bool| {
                let read = parse_members(text.as_bytes(), Map::new(), &|_| false, &|_| is_wanted);
                read.map(|read| read.is_some())
            };
            assert_eq!(read(false), read(true), "{text}");
        }
    }

    #[test]
    fn no_name_is_anything_but_a_name() {
        for text in [
            r#"{"$serde_json::private::Number":"5"}"#,
            r#"{"$serde_json::private::Number":"abc","x":1}"#,
            r#"[{"$serde_json::private::RawValue":"[]"}]"#,
            r#"{"a":{"$serde_json::private::RawValue":{"$serde_json::private::Number":5}}}"#,
        ] {
            assert_eq!(read(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_repeated_member_counts_last_or_not_at_all() {
        let text = r#"{"x":[{"a":1,"b":2,"\u0061":3}]}"#;
        let last = read(text).unwrap().to_string();
        assert_eq!(last, r#"{"x":[{"a":3,"b":2}]}"#);
        let name = "a".to_owned();
        assert_eq!(
            parse(text.as_bytes(), Repeats::Refused),
            Err(JsonError::DuplicateMember { name })
        );
    }

    #[test]
    fn members_come_behind_others_and_some_are_hidden() {
        let read = |text: &str| {
            let given = Map::from_iter([("k".to_owned(), Value::from(0))]);
            let is_hidden = |name: &str| name == "k";
            let read = parse_members(text.as_bytes(), given, &is_hidden, &|name| name != "n");
            let read = read.unwrap();
            read.map(|(members, hidden)| (Value::Object(members).to_string(), hidden))
        };
        assert_eq!(read("{}"), Some((r#"{"k":0}"#.to_owned(), false)));
        let hidden = Some((r#"{"k":0,"a":{"k":2}}"#.to_owned(), true));
        let text = r#"{"n":[{"a":{}}],"k":1,"a":{"k":2},"n":"\u0061"}"#;
        assert_eq!(read(text), hidden);
        assert_eq!(read(r#" {"k":1,"a":{"k":2}} "#), hidden);
        assert_eq!(read("[1]"), None);
    }
}
