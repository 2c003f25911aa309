//! What the built-in chaincode tells of a call before it runs.

use std::collections::HashSet;

use bytes::Bytes;

use super::operation::{self, Action, Operation};
use crate::condition::{Condition, Expect};
use crate::{Call, Hints, Weight};

/// Longest arguments of a call that is brief, in bytes: to scan them takes as long as a signature.
const BRIEF_BYTES: usize = 32 << 10;
/// Longest list of operations of one.
const BRIEF_OPERATIONS_BYTES: usize = 2 << 10;

/// What a call costs.
pub(super) fn weight(call: &Call) -> Weight {
    let brief_bytes = match call.function.as_str() {
        "get" | "put" | "create" | "merge" | "delete" => BRIEF_BYTES,
        "apply" => BRIEF_OPERATIONS_BYTES,
        _ => return Weight::Scan,
    };
    let bytes: usize = call.args.iter().map(Bytes::len).sum();
    if bytes <= brief_bytes {
        Weight::Brief
    } else {
        Weight::Keys
    }
}

/// What a call demands and touches.
pub(super) fn hints(call: &Call) -> Hints {
    match operation::from_call(call) {
        Ok(Some(operations)) => Hints {
            conditions: conditions(&operations),
            keys: Some(keys(operations)),
        },
        Ok(None) => Hints::default(),
        Err(_) => Hints {
            conditions: Vec::new(),
            keys: Some(Vec::new()),
        },
    }
}

fn keys(operations: Vec<Operation>) -> Vec<(String, String)> {
    let operations = operations.into_iter();
    operations
        .map(|operation| (operation.namespace, operation.key))
        .collect()
}

/// What operations demand of committed versions. A `create` demands that its key does not exist. Where an
/// earlier operation of the same list touched the key, a `create` speaks of that operation's effect and
/// demands nothing of versions.
fn conditions(operations: &[Operation]) -> Vec<Condition> {
    let mut touched = HashSet::new();
    let mut conditions = Vec::new();
    for operation in operations {
        let is_first = touched.insert((&operation.namespace, &operation.key));
        let is_create = matches!(operation.action, Action::Create(_));
        let implied = (is_create && is_first).then_some(Expect::Absent);
        let implied = implied.map(|expect| (expect, true));
        let given = operation.expect.clone().map(|expect| (expect, false));
        for (expect, is_implied) in implied.into_iter().chain(given) {
            conditions.push(Condition {
                operation: operation.position,
                namespace: operation.namespace.clone(),
                key: operation.key.clone(),
                expect,
                is_implied,
            });
        }
    }
    conditions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demands(chaincode: &str, function: &str, args: &[&'static str]) -> Vec<String> {
        let call = Call {
            chaincode: chaincode.into(),
            function: function.into(),
            args: args.iter().map(|arg| (*arg).into()).collect(),
        };
        let show = |it: Condition| format!("{}/{} {}", it.namespace, it.key, it.expect);
        hints(&call).conditions.into_iter().map(show).collect()
    }

    #[test]
    fn a_call_tells_what_it_demands() {
        let rows: [(&str, &[&'static str], &[&str]); 10] = [
            ("put", &[r#""k""#, "1"], &[]),
            (
                "put",
                &[r#""k""#, "1", r#"{"ifVersion":"9.1"}"#],
                &["ns/k must have version 9.1"],
            ),
            (
                "put",
                &[r#""k""#, "1", r#"{"ifNoneMatch":"*"}"#],
                &["ns/k must not exist"],
            ),
            ("create", &[r#""k""#, "1"], &["ns/k must not exist"]),
            ("merge", &[r#""k""#, "{}"], &[]),
            (
                "merge",
                &[r#""k""#, "{}", r#"{"ifMatch":"*"}"#],
                &["ns/k must exist"],
            ),
            ("delete", &[r#""k""#], &[]),
            (
                "delete",
                &[r#""k""#, r#"{"ifMatch":[]}"#],
                &["ns/k must have version (none given)"],
            ),
            ("get", &[r#""k""#], &[]),
            ("put", &["broken"], &[]),
        ];
        for (function, args, expected) in rows {
            assert_eq!(
                demands("ns", function, args),
                expected,
                "{function} {args:?}"
            );
        }
    }

    #[test]
    fn a_list_of_operations_tells_all_it_demands() {
        let list = r#"[
            {"op":"check","namespace":"a","key":"1","ifVersion":"9.1"},
            {"op":"put","namespace":"a","key":"2","value":0},
            {"op":"create","namespace":"a","key":"3","value":0},
            {"op":"delete","namespace":"a","key":"4"},
            {"op":"create","namespace":"a","key":"4","value":0},
            {"op":"create","namespace":"a","key":"5","value":0,"ifVersion":null}]"#;
        assert_eq!(
            demands("documents", "apply", &[list]),
            [
                "a/1 must have version 9.1",
                "a/3 must not exist",
                "a/5 must not exist",
                "a/5 must not exist"
            ]
        );
        assert!(demands("other", "apply", &[list]).is_empty());
    }
}
