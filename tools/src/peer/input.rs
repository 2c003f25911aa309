//! What a chaincode is called with, as command lines write it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;

use super::error::PeerError;

/// The arguments in `{"Args":[..]}`, or in `{"Function":"..","Args":[..]}`, where the function is the first of them.
pub(super) fn arguments(text: &str) -> Result<Vec<Bytes>, PeerError> {
    let wrong = |error: &dyn ToString| PeerError::Input(error.to_string());
    let value: Value = serde_json::from_str(text).map_err(|error| wrong(&error))?;
    let Value::Object(members) = value else {
        return Err(wrong(&"it is no JSON object"));
    };
    if members.is_empty() {
        return Err(PeerError::Usage(
            "empty JSON chaincode parameters must contain the following keys: 'Args' or 'Function' and 'Args'"
                .to_owned(),
        ));
    }
    let (mut function, mut args) = (None, None);
    let count = members.len();
    for (name, value) in members {
        match &*name.to_ascii_lowercase() {
            "function" => function = Some(value),
            "args" => args = Some(value),
            _ => {}
        }
    }
    if args.is_none() || count > 2 || (count == 2 && function.is_none()) {
        return Err(PeerError::Usage(
            "non-empty JSON chaincode parameters must contain the following keys: 'Args' or 'Function' and 'Args'"
                .to_owned(),
        ));
    }
    let text = |value| match value {
        Value::String(text) => Ok(Bytes::from(text)),
        _ => Err(wrong(&"an argument is no string")),
    };
    let function = match function {
        None | Some(Value::Null) => Bytes::new(),
        Some(function) => text(function)?,
    };
    let args = match args {
        Some(Value::Array(args)) => args,
        None | Some(Value::Null) => Vec::new(),
        Some(_) => return Err(wrong(&"Args is no list")),
    };
    let args = args.into_iter().map(text);
    let function = Some(function).filter(|function| !function.is_empty());
    function.into_iter().map(Ok).chain(args).collect()
}

/// What only the chaincode may see: a JSON object of texts in base64.
pub(super) fn transient(text: &str) -> Result<BTreeMap<String, Vec<u8>>, PeerError> {
    if text.is_empty() {
        return Ok(BTreeMap::new());
    }
    let map: BTreeMap<String, String> = serde_json::from_str(text).map_err(PeerError::Transient)?;
    let decoded = map.into_iter().map(|(name, value)| {
        let value = STANDARD.decode(value).map_err(PeerError::TransientValue)?;
        Ok((name, value))
    });
    decoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_the_first_argument_whichever_way_it_is_written() {
        for text in [
            r#"{"Args":["put","k","ä"]}"#,
            r#"{"args":["put","k","ä"]}"#,
            r#"{"function":"put","Args":["k","ä"]}"#,
            r#"{"Args":["k","ä"],"Function":"put"}"#,
            r#"{"Function":"","Args":["put","k","ä"]}"#,
        ] {
            assert_eq!(arguments(text).unwrap(), ["put", "k", "ä"], "{text}");
        }
        assert_eq!(arguments(r#"{"Args":[]}"#).unwrap(), [""; 0]);
        assert_eq!(arguments(r#"{"Args":null}"#).unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_no_input_is_refused() {
        for (text, expected) in [
            ("{}", "empty JSON chaincode parameters must contain"),
            (
                r#"{"Function":"put"}"#,
                "non-empty JSON chaincode parameters must contain",
            ),
            (
                r#"{"Args":[],"x":1}"#,
                "non-empty JSON chaincode parameters must contain",
            ),
            (
                r#"{"Args":[1]}"#,
                "chaincode argument error: an argument is no string",
            ),
            (
                r#"{"Args":"put"}"#,
                "chaincode argument error: Args is no list",
            ),
            ("[]", "chaincode argument error: it is no JSON object"),
            ("Args", "chaincode argument error: "),
        ] {
            let refused = arguments(text).unwrap_err().to_string();
            assert!(refused.starts_with(expected), "{text}: {refused}");
        }
    }

    #[test]
    fn transient_values_are_base64() {
        let expected = BTreeMap::from([("a".to_owned(), b"secret".to_vec())]);
        assert_eq!(transient(r#"{"a":"c2VjcmV0"}"#).unwrap(), expected);
        assert_eq!(transient("").unwrap(), BTreeMap::new());
        for text in [r#"{"a":"*"}"#, r#"{"a":1}"#, "a"] {
            let refused = transient(text).unwrap_err().to_string();
            assert!(
                refused.starts_with("error parsing transient string"),
                "{refused}"
            );
        }
    }
}
