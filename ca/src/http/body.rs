//! Bodies: JSON whose names may be written in either case, as Go reads them, and where `null` says nothing.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::request::Asked;
use crate::authority::Authority;
use crate::error::{Code, Refusal};

impl Asked {
    /// What the body says.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        if self.body.is_empty() {
            return Err(Refusal::new(400, Code::EmptyBody, "Empty request body"));
        }
        // The body itself is not told: it may hold a secret.
        let bad = |error: serde_json::Error| {
            let at = format!("line {} column {}", error.line(), error.column());
            let kind = match error.classify() {
                serde_json::error::Category::Data => "a member has the wrong type".to_owned(),
                _ => format!("no JSON at {at}"),
            };
            Refusal::new(400, Code::BadBody, format!("Invalid request body: {kind}"))
        };
        let value: Value = serde_json::from_slice(&self.body).map_err(bad)?;
        if !value.is_object() {
            let detail = "Invalid request body: it is no object";
            return Err(Refusal::new(400, Code::BadBody, detail));
        }
        serde_json::from_value(lower_case(value)).map_err(bad)
    }

    /// Makes sure that the CA that is named, in the query or in a body, is this one.
    pub(super) fn check_authority(&self, authority: &Authority) -> Result<(), Refusal> {
        let asked = self.query.get("ca");
        if !asked.is_empty() || self.body.is_empty() {
            return authority.check_name(asked);
        }
        let Named { caname } = self.body()?;
        authority.check_name(&caname)
    }
}

#[derive(Deserialize)]
struct Named {
    #[serde(default, deserialize_with = "or_default")]
    caname: String,
}

/// Names of members in lower case; of two that are one then, the last counts.
fn lower_case(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut lower = Map::with_capacity(members.len());
            for (name, value) in members {
                lower.insert(name.to_ascii_lowercase(), lower_case(value));
            }
            Value::Object(lower)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(lower_case).collect()),
        other => other,
    }
}

/// `null` is as if nothing was said.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
