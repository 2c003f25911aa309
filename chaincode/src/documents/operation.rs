//! The operations of the built-in chaincode, read from the arguments of a call.
//!
//! A function such as `put` is a list of one operation in the chaincode's own namespace; `apply`
//! takes a list that names its namespaces:
//!
//! ```text
//! [{"op": "create"|"put"|"merge"|"delete"|"check",
//!   "namespace": "orders", "key": "1001", "value": any, "ifVersion": "12.0"|null}, ...]
//! ```

use std::borrow::Cow;

use bytes::Bytes;

use crate::condition::Expect;
use crate::json::{self, MAX_DEPTH, Node, Shape};
use crate::{Call, ChaincodeError, name};

/// The chaincode that takes lists of operations on any namespace.
pub const DOCUMENTS: &str = "documents";
/// Most operations of one transaction.
pub(crate) const MAX_OPERATIONS: usize = 1_000;

/// One step of a transaction, on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    /// Which one of the list it is, from 0.
    pub(crate) position: usize,
    pub(crate) namespace: String,
    pub(crate) key: String,
    /// Demanded of the committed version.
    pub(crate) expect: Option<Expect>,
    pub(crate) action: Action,
}

/// What an operation does. Values are checked JSON texts, their size is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Writes a key that does not exist.
    Create(Bytes),
    /// Writes a key.
    Put(Bytes),
    /// Merges a patch (RFC 7396) into a key that exists. The patch may have reserved members, as
    /// long as the result has none.
    Merge(Bytes),
    /// Deletes a key that exists.
    Delete,
    /// Demands a version and changes nothing.
    Check,
}

/// The operations that a call asks for; none where its function is not one that writes.
pub(crate) fn from_call(call: &Call) -> Result<Option<Vec<Operation>>, ChaincodeError> {
    if call.function == "apply" && call.chaincode == DOCUMENTS {
        let [list] = call.args.as_slice() else {
            return Err(invalid("apply takes one argument, an array of operations"));
        };
        return from_list(list).map(Some);
    }
    let args = call.args.as_slice();
    let (action, key, conditions) = match (call.function.as_str(), args) {
        ("create", [key, value]) => (Action::Create(checked(value)?), key, None),
        ("create", _) => return Err(invalid("create takes a key and a value")),
        ("put", [key, value, rest @ ..]) if rest.len() < 2 => {
            (Action::Put(checked(value)?), key, rest.first())
        }
        ("put", _) => return Err(invalid("put takes a key, a value and conditions")),
        ("merge", [key, patch, rest @ ..]) if rest.len() < 2 => {
            json::check(patch, MAX_DEPTH)?;
            (Action::Merge(patch.clone()), key, rest.first())
        }
        ("merge", _) => return Err(invalid("merge takes a key, a patch and conditions")),
        ("delete", [key, rest @ ..]) if rest.len() < 2 => (Action::Delete, key, rest.first()),
        ("delete", _) => return Err(invalid("delete takes a key and conditions")),
        _ => return Ok(None),
    };
    let operation = Operation {
        position: 0,
        namespace: call.chaincode.clone(),
        key: string(&json::read(key, MAX_DEPTH)?, "a key")?.into_owned(),
        expect: match conditions {
            Some(text) => Expect::from_argument(text)?,
            None => None,
        },
        action,
    };
    operation.check_names()?;
    Ok(Some(vec![operation]))
}

/// Reads a string out of an argument or a member, called `what`.
pub(crate) fn string<'a>(node: &Node<'a>, what: &str) -> Result<Cow<'a, str>, ChaincodeError> {
    match &node.shape {
        Shape::String(text) => Ok(text.clone()),
        _ => Err(invalid(format!("{what} has to be a string"))),
    }
}

pub(crate) fn invalid(detail: impl Into<String>) -> ChaincodeError {
    ChaincodeError::InvalidArgument(detail.into())
}

fn checked(value: &Bytes) -> Result<Bytes, ChaincodeError> {
    json::check_value(value)?;
    Ok(value.clone())
}

fn from_list(text: &Bytes) -> Result<Vec<Operation>, ChaincodeError> {
    // An operation's value is two levels below the array.
    let Some(nodes) = json::read_array(text, MAX_DEPTH + 2)? else {
        return Err(invalid("the operations have to be an array"));
    };
    if nodes.is_empty() {
        return Err(invalid("at least one operation is needed"));
    }
    if nodes.len() > MAX_OPERATIONS {
        let count = nodes.len();
        return Err(invalid(format!(
            "{count} operations, at most {MAX_OPERATIONS} make one transaction"
        )));
    }
    nodes
        .iter()
        .enumerate()
        .map(|(position, node)| {
            Operation::from_node(text, node, position).map_err(|error| at(position, error))
        })
        .collect()
}

/// Says which operation an error is about.
fn at(index: usize, error: ChaincodeError) -> ChaincodeError {
    let place = |detail| format!("operation {index}: {detail}");
    match error {
        ChaincodeError::InvalidArgument(detail) => ChaincodeError::InvalidArgument(place(detail)),
        ChaincodeError::InvalidName(detail) => ChaincodeError::InvalidName(place(detail)),
        other => other,
    }
}

impl Operation {
    /// Reads an operation, a part of `text`.
    fn from_node(text: &Bytes, node: &Node<'_>, position: usize) -> Result<Self, ChaincodeError> {
        let Shape::Object(members) = &node.shape else {
            return Err(invalid("an operation has to be an object"));
        };
        let (mut op, mut namespace, mut key, mut value, mut expect) =
            (None, None, None, None, None);
        for member in members {
            match &*member.name {
                "op" => op = Some(string(&member.value, "op")?),
                "namespace" => namespace = Some(string(&member.value, "namespace")?),
                "key" => key = Some(string(&member.value, "key")?),
                "value" => value = Some(&member.value),
                "ifVersion" => expect = Some(Expect::if_version(&member.value)?),
                unknown => {
                    return Err(invalid(format!(
                        "unknown member {unknown:?}; an operation has op, namespace, key, value, ifVersion"
                    )));
                }
            }
        }
        let missing = |member| move || invalid(format!("{member} is missing"));
        let op = op.ok_or_else(missing("op"))?;
        let operation = Self {
            position,
            namespace: namespace.ok_or_else(missing("namespace"))?.into_owned(),
            key: key.ok_or_else(missing("key"))?.into_owned(),
            action: Action::from_members(&op, text, value)?,
            expect,
        };
        if operation.action == Action::Check && operation.expect.is_none() {
            return Err(missing("ifVersion")());
        }
        operation.check_names()?;
        Ok(operation)
    }

    /// Names bind what writes; what is only looked at may have any name.
    fn check_names(&self) -> Result<(), ChaincodeError> {
        if self.action != Action::Check {
            name::check_namespace(&self.namespace)?;
            name::check_key(&self.key)?;
        }
        Ok(())
    }
}

impl Action {
    fn from_members(
        op: &str,
        text: &Bytes,
        value: Option<&Node<'_>>,
    ) -> Result<Self, ChaincodeError> {
        let part = |node: &Node<'_>| text.slice_ref(node.text.as_bytes());
        match (op, value) {
            ("create" | "put", Some(value)) => {
                json::check_reserved(value)?;
                Ok(match op {
                    "create" => Self::Create(part(value)),
                    _ => Self::Put(part(value)),
                })
            }
            ("merge", Some(patch)) => Ok(Self::Merge(part(patch))),
            ("create" | "put" | "merge", None) => Err(invalid("value is missing")),
            ("delete", None) => Ok(Self::Delete),
            ("check", None) => Ok(Self::Check),
            ("delete" | "check", Some(_)) => Err(invalid(format!("{op} takes no value"))),
            (unknown, _) => Err(invalid(format!(
                "unknown op {unknown:?}; there are create, put, merge, delete, check"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(function: &str, args: &[&str]) -> Call {
        Call {
            chaincode: "documents".into(),
            function: function.into(),
            args: args
                .iter()
                .map(|arg| Bytes::copy_from_slice(arg.as_bytes()))
                .collect(),
        }
    }

    fn error(function: &str, args: &[&str]) -> String {
        from_call(&call(function, args)).unwrap_err().to_string()
    }

    #[test]
    fn values_keep_their_bytes() {
        let read = |function, args: &[&str]| {
            let mut operations = from_call(&call(function, args)).unwrap().unwrap();
            operations.remove(0).action
        };
        assert_eq!(
            read("put", &[r#""k""#, "\n{\"a\": 1.10} "]),
            Action::Put("\n{\"a\": 1.10} ".into())
        );
        let list = r#"[{"op":"put","namespace":"n","key":"k","value": {"a" : 1.10} }]"#;
        assert_eq!(
            read("apply", &[list]),
            Action::Put(r#"{"a" : 1.10}"#.into())
        );
        let list = r#"[{"op":"merge","namespace":"n","key":"k","value": {"_a":null}}]"#;
        assert_eq!(
            read("apply", &[list]),
            Action::Merge(r#"{"_a":null}"#.into())
        );
    }

    #[test]
    fn arguments_of_functions_are_checked() {
        let rows: [(&str, &[&str], &str); 15] = [
            ("put", &[], "put takes a key, a value and conditions"),
            ("put", &["\"k\""], "put takes a key, a value and conditions"),
            (
                "put",
                &["\"k\"", "1", "{}", "{}"],
                "put takes a key, a value and conditions",
            ),
            (
                "create",
                &["\"k\"", "1", "{}"],
                "create takes a key and a value",
            ),
            (
                "merge",
                &["\"k\""],
                "merge takes a key, a patch and conditions",
            ),
            ("delete", &[], "delete takes a key and conditions"),
            (
                "delete",
                &["\"k\"", "{}", "{}"],
                "delete takes a key and conditions",
            ),
            ("put", &["7", "1"], "a key has to be a string"),
            (
                "put",
                &["k", "1"],
                "not a JSON text that can be kept: expected a value at byte 0",
            ),
            ("put", &["\"_k\"", "1"], "bad key: it starts with '_'"),
            ("delete", &["\"\""], "bad key: it is empty"),
            (
                "put",
                &["\"k\"", "{\"_id\":1}"],
                "the top-level member \"_id\" is reserved",
            ),
            (
                "merge",
                &["\"k\"", "{"],
                "not a JSON text that can be kept: expected a member's name at byte 1",
            ),
            (
                "put",
                &["\"k\"", "1", "{\"ifVersoin\":null}"],
                "unknown condition \"ifVersoin\"; there are ifVersion, ifMatch, ifNoneMatch",
            ),
            (
                "apply",
                &[],
                "apply takes one argument, an array of operations",
            ),
        ];
        for (function, args, expected) in rows {
            assert_eq!(error(function, args), expected, "{function} {args:?}");
        }
        assert_eq!(from_call(&call("get", &["\"k\""])).unwrap(), None);
    }

    #[test]
    fn operations_are_checked() {
        let rows = [
            ("{}", "the operations have to be an array"),
            ("[]", "at least one operation is needed"),
            ("[1]", "operation 0: an operation has to be an object"),
            ("[{}]", "operation 0: op is missing"),
            (r#"[{"op":"put"}]"#, "operation 0: namespace is missing"),
            (
                r#"[{"op":"put","namespace":"n"}]"#,
                "operation 0: key is missing",
            ),
            (
                r#"[{"op":"put","namespace":"n","key":"k"}]"#,
                "operation 0: value is missing",
            ),
            (
                r#"[{"op":"put","namespace":"n","key":1,"value":1}]"#,
                "operation 0: key has to be a string",
            ),
            (
                r#"[{"op":"del","namespace":"n","key":"k"}]"#,
                "operation 0: unknown op \"del\"; there are create, put, merge, delete, check",
            ),
            (
                r#"[{"op":"delete","namespace":"n","key":"k","value":null}]"#,
                "operation 0: delete takes no value",
            ),
            (
                r#"[{"op":"check","namespace":"n","key":"k"}]"#,
                "operation 0: ifVersion is missing",
            ),
            (
                r#"[{"op":"delete","namespace":"n","key":"k","ifversion":"1.0"}]"#,
                "operation 0: unknown member \"ifversion\"; an operation has op, namespace, key, value, \
                 ifVersion",
            ),
            (
                r#"[{"op":"delete","namespace":"_l","key":"k"}]"#,
                "operation 0: bad namespace: it starts with '_'",
            ),
            (
                r#"[{"op":"delete","namespace":"n","key":"k"},{"op":"delete","namespace":"n","key":".."}]"#,
                "operation 1: bad key: it is a dot segment",
            ),
            (
                r#"[{"op":"put","namespace":"n","key":"k","value":{"a":1,"a":2}}]"#,
                "not a JSON text that can be kept: the member \"a\" appears twice in one object",
            ),
            (
                r#"[{"op":"put","namespace":"n","key":"k","value":{"_a":1}}]"#,
                "the top-level member \"_a\" is reserved",
            ),
            (
                r#"[{"op":"put","op":"put"}]"#,
                "not a JSON text that can be kept: the member \"op\" appears twice in one object",
            ),
        ];
        for (list, expected) in rows {
            assert_eq!(error("apply", &[list]), expected, "{list}");
        }
    }

    #[test]
    fn a_check_may_look_at_any_name() {
        let list = r#"[{"op":"check","namespace":"_lifecycle","key":"\u0000a","ifVersion":null}]"#;
        let operations = from_call(&call("apply", &[list])).unwrap().unwrap();
        assert_eq!(operations[0].key, "\0a");
        assert_eq!(operations[0].expect, Some(Expect::Absent));
    }

    #[test]
    fn at_most_a_thousand_operations_and_a_hundred_levels_in_each() {
        let list = |count: usize, depth: usize| {
            let value = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
            let one = format!(r#"{{"op":"put","namespace":"n","key":"k","value":{value}}}"#);
            format!("[{}]", vec![one; count].join(","))
        };
        let read = |list: &str| from_call(&call("apply", &[list]));
        assert_eq!(read(&list(1000, 0)).unwrap().unwrap().len(), 1000);
        assert_eq!(
            error("apply", &[&list(1001, 0)]),
            "1001 operations, at most 1000 make one transaction"
        );
        assert!(read(&list(1, 100)).is_ok());
        assert!(matches!(
            read(&list(1, 101)),
            Err(ChaincodeError::InvalidJson(_))
        ));
    }
}
