//! What of a document is shown.

use serde_json::{Map, Value};

use super::path::{Found, Path};

/// A new document of these paths only; those that lead nowhere are left out.
pub(super) fn project(document: &Value, fields: &[Path]) -> Value {
    let mut shown = Map::new();
    for path in fields {
        if let Found::Value(value) = path.find(document) {
            path.set(&mut shown, value.clone());
        }
    }
    Value::Object(shown)
}
