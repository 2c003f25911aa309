//! The built-in chaincode: JSON documents, without any code of the user's.
//!
//! | function | arguments | result |
//! |---|---|---|
//! | `get` | key | the value |
//! | `range` | see `page` | a page of rows |
//! | `find` | a request of CouchDB's `_find` | its answer, without the time it took |
//! | `history` | key, see `past` | a page of what happened to the key |
//! | `put` | key, value, conditions? | `{"previousVersion": "12.0" or null}` |
//! | `create` | key, value | the same |
//! | `merge` | key, patch, conditions? | the same |
//! | `delete` | key, conditions? | the same |
//! | `apply` | operations | an array of the same, one an operation |
//!
//! `apply` belongs to the chaincode named `documents` alone, and its operations name their
//! namespaces; all others act on the namespace that is called. Every argument is a JSON text, and
//! values are kept byte for byte. `previousVersion` is what the simulation saw.

mod draft;
mod hints;
mod operation;
mod page;
mod past;
mod view;

use bytes::Bytes;
use quire_ledger::{Height, Query, Simulator};

use crate::{
    Answer, Call, Chaincode, ChaincodeError, Hints, Invocation, Proposed, Simulated, Weight, json,
};
use draft::Draft;
use operation::{Operation, invalid, string};
use page::{Page, value_member};
use past::Past;
use view::View;

pub use operation::DOCUMENTS;

/// The version of the built-in chaincode that transactions name.
const VERSION: &str = "1";

/// The call that carries out a list of operations, a JSON text.
#[must_use]
pub fn apply(operations: Bytes) -> Call {
    Call {
        chaincode: DOCUMENTS.to_owned(),
        function: "apply".to_owned(),
        args: vec![operations],
    }
}

/// The built-in chaincode; governs every namespace without a deployed one.
#[derive(Clone, Debug)]
pub struct Documents {
    /// Most bytes of a value, whether it was given or came out of a merge.
    pub max_value_bytes: usize,
}

impl Documents {
    /// The default of [`Self::max_value_bytes`]: 1 MiB.
    pub const DEFAULT_MAX_VALUE_BYTES: usize = 1 << 20;

    /// Runs one call. Returns the result, a JSON text; reads and writes stay in `simulator`.
    ///
    /// # Errors
    /// [`ChaincodeError`]; the simulator is to be thrown away then, with what it recorded.
    pub fn run(&self, call: &Call, simulator: &mut Simulator) -> Result<Bytes, ChaincodeError> {
        self.run_on(call, simulator)
    }

    fn run_on(&self, call: &Call, view: &mut impl View) -> Result<Bytes, ChaincodeError> {
        match (call.function.as_str(), call.args.as_slice()) {
            ("get", [key]) => get(&call.chaincode, key, view),
            ("get", _) => Err(invalid("get takes a key")),
            ("range", args @ ([] | [_])) => {
                Page::from_argument(args.first())?.show(view, &call.chaincode)
            }
            ("range", _) => Err(invalid("range takes one object")),
            ("find", [request]) => find(&call.chaincode, request, view),
            ("find", _) => Err(invalid("find takes one object")),
            ("history", [key, args @ ..]) if args.len() < 2 => {
                let past = Past::from_argument(args.first())?;
                past.show(view, &call.chaincode, &read_key(key)?)
            }
            ("history", _) => Err(invalid("history takes a key and one object")),
            _ => match operation::from_call(call)? {
                Some(operations) => {
                    let versions = self.write(&operations, view)?;
                    Ok(written(&versions, call.function == "apply"))
                }
                None => Err(ChaincodeError::UnknownFunction {
                    chaincode: call.chaincode.clone(),
                    function: call.function.clone(),
                    functions: functions(&call.chaincode),
                }),
            },
        }
    }

    /// Does the operations, all or none. Returns what the keys' versions were.
    fn write(
        &self,
        operations: &[Operation],
        view: &mut impl View,
    ) -> Result<Vec<Option<Height>>, ChaincodeError> {
        if operations.len() > 1 {
            let names = operations.iter();
            let names = names.map(|one| (one.namespace.clone(), one.key.clone()));
            view.expect(names.collect())?;
        }
        let mut draft = Draft::new(view, self.max_value_bytes);
        let versions = operations
            .iter()
            .map(|operation| draft.apply(operation))
            .collect::<Result<_, _>>()?;
        draft.finish();
        Ok(versions)
    }
}

impl Default for Documents {
    fn default() -> Self {
        Self {
            max_value_bytes: Self::DEFAULT_MAX_VALUE_BYTES,
        }
    }
}

impl Chaincode for Documents {
    fn invoke(
        &self,
        call: &Call,
        _: &dyn Proposed,
        mut simulator: Simulator,
    ) -> Invocation<Simulated> {
        let answer = self.run(call, &mut simulator).map(Answer::of);
        Invocation::Done(Simulated { simulator, answer })
    }

    fn takes_json(&self) -> bool {
        true
    }

    fn version(&self) -> String {
        VERSION.to_owned()
    }

    fn weight(&self, call: &Call) -> Weight {
        hints::weight(call)
    }

    fn hints(&self, call: &Call) -> Hints {
        hints::hints(call)
    }
}

/// What can be called; lists of operations name their namespaces, and are of the chaincode that has none.
fn functions(chaincode: &str) -> &'static [&'static str] {
    const ALL: [&str; 9] = [
        "create", "put", "merge", "delete", "get", "range", "find", "history", "apply",
    ];
    match ALL.split_last() {
        Some((_, of_namespaces)) if chaincode != DOCUMENTS => of_namespaces,
        _ => &ALL,
    }
}

/// A page ends early rather than growing past this. It has at least one document.
const MAX_FOUND_BYTES: usize = 8 << 20;

fn find(namespace: &str, request: &[u8], view: &mut impl View) -> Result<Bytes, ChaincodeError> {
    let query = Query::parse(request)?;
    let found = view.find(namespace, &query, MAX_FOUND_BYTES)?;
    // A chaincode has no clock.
    Ok(found.to_json(None).into())
}

fn read_key(text: &[u8]) -> Result<String, ChaincodeError> {
    Ok(string(&json::read(text, json::MAX_DEPTH)?, "a key")?.into_owned())
}

/// The value itself where it is JSON, otherwise `{"valueBase64": ...}`.
fn get(namespace: &str, key: &[u8], view: &mut impl View) -> Result<Bytes, ChaincodeError> {
    let key = read_key(key)?;
    match view.read(namespace, &key)? {
        Some(found) if json::is_json(&found.value) => Ok(found.value),
        Some(found) => Ok(format!("{{{}}}", value_member(&found.value)).into()),
        None => Err(ChaincodeError::KeyNotFound {
            namespace: namespace.to_owned(),
            key,
        }),
    }
}

/// The result of operations, whose keys had these versions.
fn written(versions: &[Option<Height>], is_list: bool) -> Bytes {
    let one = |version: &Option<Height>| match version {
        Some(version) => format!("{{\"previousVersion\":\"{version}\"}}"),
        None => "{\"previousVersion\":null}".to_owned(),
    };
    let all: Vec<String> = versions.iter().map(one).collect();
    let all = all.join(",");
    if is_list { format!("[{all}]") } else { all }.into()
}

#[cfg(test)]
mod tests;
