//! Members of a JSON object, found as Go finds them.

use std::fmt;

use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::{Error, Value};

/// The known members of a JSON object, in the order of the text: Go takes their names in any case, and of
/// several the last. `null` is an object without members.
pub(super) fn read(
    text: &[u8],
    known: &[&'static str],
) -> Result<Vec<(&'static str, Value)>, Error> {
    // Go reads what is not UTF-8 so, too.
    let text = String::from_utf8_lossy(text);
    let mut reader = serde_json::Deserializer::from_str(&text);
    let members = reader.deserialize_any(Members { known })?;
    reader.end()?;
    Ok(members)
}

/// The text of a member; none for `null`, which changes nothing.
pub(super) fn text(name: &str, value: Value) -> Result<Option<String>, Error> {
    match value {
        Value::String(text) => Ok(Some(text)),
        Value::Null => Ok(None),
        _ => Err(Error::custom(format!("{name} is no string"))),
    }
}

/// A member that is true or false; none for `null`, which changes nothing.
pub(super) fn flag(name: &str, value: &Value) -> Result<Option<bool>, Error> {
    match value {
        Value::Bool(flag) => Ok(Some(*flag)),
        Value::Null => Ok(None),
        _ => Err(Error::custom(format!("{name} is neither true nor false"))),
    }
}

struct Members<'a> {
    known: &'a [&'static str],
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Vec<(&'static str, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let known = self
                .known
                .iter()
                .find(|known| known.eq_ignore_ascii_case(&name));
            match known {
                Some(known) => found.push((*known, map.next_value()?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}
