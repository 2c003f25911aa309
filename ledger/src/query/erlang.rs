//! Prints JSON as Erlang does: CouchDB's reasons quote the refused value in this form, and clients compare
//! them.

use std::fmt::{self, Display, Formatter, Write as _};

use serde_json::Value;

/// A value in the form of Erlang's `~w`: strings as lists of bytes.
pub(super) struct Plain<'a>(pub(super) &'a Value);

/// A value in the form of Erlang's `~p`: printable strings as strings.
pub(super) struct Pretty<'a>(pub(super) &'a Value);

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        term(self.0, false, f)
    }
}

impl Display for Pretty<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        term(self.0, true, f)
    }
}

fn term(value: &Value, pretty: bool, f: &mut Formatter<'_>) -> fmt::Result {
    match value {
        Value::Null => f.write_str("null"),
        Value::Bool(value) => write!(f, "{value}"),
        Value::Number(number) => f.write_str(number.as_str()),
        Value::String(text) => binary(text, pretty, f),
        Value::Array(elements) => {
            f.write_char('[')?;
            for (position, element) in elements.iter().enumerate() {
                if position > 0 {
                    f.write_char(',')?;
                }
                term(element, pretty, f)?;
            }
            f.write_char(']')
        }
        Value::Object(members) => {
            f.write_str("{[")?;
            for (position, (name, value)) in members.iter().enumerate() {
                f.write_str(if position > 0 { ",{" } else { "{" })?;
                binary(name, pretty, f)?;
                f.write_char(',')?;
                term(value, pretty, f)?;
                f.write_char('}')?;
            }
            f.write_str("]}")
        }
    }
}

fn binary(text: &str, pretty: bool, f: &mut Formatter<'_>) -> fmt::Result {
    let is_printable = text
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t'));
    if pretty && is_printable {
        return write!(f, "<<{text:?}>>");
    }
    f.write_str("<<")?;
    for (position, byte) in text.bytes().enumerate() {
        if position > 0 {
            f.write_char(',')?;
        }
        write!(f, "{byte}")?;
    }
    f.write_str(">>")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn terms_look_as_in_couchdb() {
        for (value, expected) in [
            (
                json!({"color": "blue"}),
                "{[{<<99,111,108,111,114>>,<<98,108,117,101>>}]}",
            ),
            (json!("x"), "<<120>>"),
            (json!([5, 0, 1]), "[5,0,1]"),
            (json!(2.5), "2.5"),
            (json!(""), "<<>>"),
            (json!(null), "null"),
        ] {
            assert_eq!(Plain(&value).to_string(), expected);
        }
        let sort = json!({"a": "up"});
        assert_eq!(Pretty(&sort).to_string(), "{[{<<\"a\">>,<<\"up\">>}]}");
    }
}
