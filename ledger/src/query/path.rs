//! Paths into documents: `a.b`, `a\.b` for a name with a dot, `tags.0` for an array's first element.

use serde_json::Value;

use super::error::QueryError;

/// A parsed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    names: Vec<String>,
}

/// The target of a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A value.
    Value(&'a Value),
    /// Nothing: an object on the path lacks the name.
    Missing,
    /// Nothing: a value on the path is not an object, or is an array without that element.
    Blocked,
}

impl Path {
    /// Reads a path as CouchDB does: a dot divides unless a backslash is before it, and then backslashes are
    /// removed. So a single backslash names the member with an empty name.
    ///
    /// # Errors
    /// A name in it is missing.
    pub(crate) fn parse(text: &str) -> Result<Self, QueryError> {
        let mut names = vec![String::new()];
        let (mut is_escaped, mut is_blank, mut has_blank) = (false, true, false);
        for character in text.chars() {
            if character == '.' && !is_escaped {
                has_blank |= is_blank;
                is_blank = true;
                names.push(String::new());
            } else {
                is_blank = false;
                if let Some(name) = names.last_mut().filter(|_| character != '\\') {
                    name.push(character);
                }
            }
            is_escaped = character == '\\';
        }
        if has_blank || is_blank {
            return Err(QueryError::InvalidFieldName(text.to_owned()));
        }
        Ok(Self { names })
    }

    /// Its names, one or more.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The top-level member of a document on the path.
    pub(super) fn first(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// The steps of following it.
    pub(super) fn weight(&self) -> u64 {
        let names = self.names.iter();
        names.map(|name| 6 + name.len() as u64 / 16).sum()
    }

    /// Whether it is the document's key.
    pub(crate) fn is_id(&self) -> bool {
        matches!(self.names.as_slice(), [name] if name == "_id")
    }

    /// Follows the path.
    pub(crate) fn find<'a>(&self, value: &'a Value) -> Found<'a> {
        let mut at = value;
        for name in &self.names {
            at = match at {
                Value::Object(members) => match members.get(name) {
                    Some(value) => value,
                    None => return Found::Missing,
                },
                Value::Array(elements) => {
                    let element = position(name).and_then(|position| elements.get(position));
                    match element {
                        Some(value) => value,
                        None => return Found::Blocked,
                    }
                }
                _ => return Found::Blocked,
            };
        }
        Found::Value(at)
    }
}

/// A position in an array, as Erlang reads integers.
pub(super) fn position(name: &str) -> Option<usize> {
    let position: i64 = name.parse().ok()?;
    usize::try_from(position).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_where_they_do_in_couchdb() {
        let document = json!({
            "a": {"b": [10, {"c": null}]}, "a.b": 1, "$x": 2, "n": null, "": {"": 3}, ".": {"": 4},
        });
        for (path, expected) in [
            ("a.b.0", Some(json!(10))),
            ("a.b.1.c", Some(json!(null))),
            ("a\\.b", Some(json!(1))),
            ("\\$x", Some(json!(2))),
            ("\\.\\", Some(json!({"": 4}))),
            ("\\\\..\\", Some(json!(4))),
            ("\\", Some(json!({"": 3}))),
            ("a.b.[0]", None),
            ("a.b.2", None),
            ("n.x", None),
        ] {
            match (Path::parse(path).unwrap().find(&document), expected) {
                (Found::Value(found), Some(expected)) => assert_eq!(*found, expected, "{path}"),
                (Found::Blocked, None) => (),
                (found, _) => panic!("{path}: {found:?}"),
            }
        }
        let missing = Path::parse("a.x").unwrap();
        assert_eq!(missing.find(&document), Found::Missing);
        for path in ["", ".", "a.", ".a", "a..b", "\\a.", "\\...b"] {
            assert!(Path::parse(path).is_err(), "{path}");
        }
    }
}
