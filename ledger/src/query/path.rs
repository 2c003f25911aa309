//! Paths into documents: `a.b`, `a\.b` for a name with a dot, `tags.0` for an array's first element.

use serde_json::{Map, Value};

use super::error::QueryError;

/// A parsed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    names: Vec<String>,
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A value.
    Value(&'a Value),
    /// Nothing: an object on the way lacks the name.
    Missing,
    /// Nothing: something on the way is no object, or an array without that element.
    Blocked,
}

impl Path {
    /// Reads a path as CouchDB does: a dot divides unless a backslash stands before it, and then
    /// backslashes go.
    ///
    /// # Errors
    /// A name in it is empty.
    pub(crate) fn parse(text: &str) -> Result<Self, QueryError> {
        let mut names = vec![String::new()];
        let mut is_escaped = false;
        for character in text.chars() {
            match (character, names.last_mut()) {
                ('.', _) if !is_escaped => names.push(String::new()),
                (other, Some(name)) if other != '\\' => name.push(other),
                _ => (),
            }
            is_escaped = character == '\\';
        }
        if names.iter().any(String::is_empty) {
            return Err(QueryError::InvalidFieldName(text.to_owned()));
        }
        Ok(Self { names })
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

    /// Puts a value where the path leads to, making objects on the way. What stands in the way stays.
    pub(crate) fn set(&self, target: &mut Map<String, Value>, value: Value) {
        let Some((first, rest)) = self.names.split_first() else {
            return;
        };
        if rest.is_empty() {
            target.insert(first.clone(), value);
            return;
        }
        let mut at = target
            .entry(first)
            .or_insert_with(|| Value::Object(Map::new()));
        for name in rest {
            at = match at {
                Value::Object(members) => members
                    .entry(name)
                    .or_insert_with(|| Value::Object(Map::new())),
                Value::Array(elements) => {
                    let element = position(name).and_then(|position| elements.get_mut(position));
                    match element {
                        Some(element) => element,
                        None => return,
                    }
                }
                _ => return,
            };
        }
        *at = value;
    }
}

/// A position in an array, as Erlang reads integers.
fn position(name: &str) -> Option<usize> {
    let position: i64 = name.parse().ok()?;
    usize::try_from(position).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_where_they_do_in_couchdb() {
        let document = json!({"a": {"b": [10, {"c": null}]}, "a.b": 1, "$x": 2, "n": null});
        for (path, expected) in [
            ("a.b.0", Some(json!(10))),
            ("a.b.1.c", Some(json!(null))),
            ("a\\.b", Some(json!(1))),
            ("\\$x", Some(json!(2))),
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
        for path in ["", "a.", ".a", "a..b"] {
            assert!(Path::parse(path).is_err(), "{path}");
        }
    }

    #[test]
    fn a_value_is_set_inside_of_new_objects() {
        let mut document = Map::new();
        let set = |document: &mut _, path, value| Path::parse(path).unwrap().set(document, value);
        set(&mut document, "a.b", json!(1));
        set(&mut document, "a.c", json!(2));
        set(&mut document, "t.1", json!("x"));
        let expected = json!({"a": {"b": 1, "c": 2}, "t": {"1": "x"}});
        assert_eq!(Value::Object(document), expected);
    }
}
