//! The built-in chaincode over a map: what each call answers, reads and writes.

use std::collections::{BTreeMap, BTreeSet};

use quire_ledger::{
    ExecutionStats, FindError, Found, KeyModification, Order, ReadError, VersionedValue,
};
use quire_wire::common::Timestamp;

use super::*;
use crate::{Expect, Listing};

/// Committed state, and what one transaction did to it.
#[derive(Default)]
struct Fake {
    committed: BTreeMap<(String, String), VersionedValue>,
    reads: BTreeSet<String>,
    ranges: Vec<String>,
    writes: BTreeMap<String, Option<Bytes>>,
}

impl Fake {
    /// Rows of `namespace/key`, version and value.
    fn new(rows: &[(&str, &str, &[u8])]) -> Self {
        let mut fake = Self::default();
        for (path, version, value) in rows {
            let (namespace, key) = path.split_once('/').unwrap();
            let value = VersionedValue {
                value: Bytes::copy_from_slice(value),
                metadata: Bytes::new(),
                version: version.parse().unwrap(),
            };
            fake.committed.insert((namespace.into(), key.into()), value);
        }
        fake
    }

    fn reads(&self) -> Vec<&str> {
        self.reads.iter().map(String::as_str).collect()
    }

    /// The writes as `path=value`, deletes as `path!`.
    fn writes(&self) -> Vec<String> {
        let show = |(path, value): (&String, &Option<Bytes>)| match value {
            Some(value) => format!(
                "{path}={}",
                value.escape_ascii().to_string().replace('\\', "")
            ),
            None => format!("{path}!"),
        };
        self.writes.iter().map(show).collect()
    }
}

impl View for Fake {
    fn expect(&mut self, _: Vec<(String, String)>) -> Result<(), ReadError> {
        Ok(())
    }

    fn channel(&self) -> &'static str {
        "main"
    }

    fn read(&mut self, namespace: &str, key: &str) -> Result<Option<VersionedValue>, ReadError> {
        self.reads.insert(format!("{namespace}/{key}"));
        self.peek(namespace, key)
    }

    fn peek(&self, namespace: &str, key: &str) -> Result<Option<VersionedValue>, ReadError> {
        Ok(self.committed.get(&(namespace.into(), key.into())).cloned())
    }

    fn range(
        &mut self,
        namespace: &str,
        start: &str,
        end: &str,
        limit: usize,
    ) -> Result<Vec<(String, VersionedValue)>, ReadError> {
        self.ranges
            .push(format!("{namespace} {start}..{end} {limit}"));
        let inside = |key: &str| key >= start && (end.is_empty() || key < end);
        let rows = self.committed.iter();
        let rows = rows.filter(|((ns, key), _)| ns == namespace && inside(key));
        let rows = rows.map(|((_, key), value)| (key.clone(), value.clone()));
        Ok(rows.take(limit).collect())
    }

    fn find(&mut self, namespace: &str, _: &Query, page_bytes: usize) -> Result<Found, FindError> {
        self.ranges.push(format!("{namespace} {page_bytes}"));
        Ok(Found {
            documents: vec![r#"{"_id":"a","n":1.10}"#.to_owned()],
            bookmark: Some("nil".to_owned()),
            warning: Some("slow".to_owned()),
            stats: Some(ExecutionStats {
                documents_examined: 3,
                results_returned: 1,
            }),
        })
    }

    /// Every key has three versions.
    fn history(
        &self,
        _: &str,
        _: &str,
        order: Order,
        after: Option<Height>,
        limit: usize,
    ) -> Result<Vec<Height>, ReadError> {
        let mut heights: Vec<Height> = (1..=3).map(|block| Height::new(block, 0)).collect();
        let is_behind = |height: &Height| match (after, order) {
            (None, _) => true,
            (Some(after), Order::NewestFirst) => *height < after,
            (Some(after), Order::OldestFirst) => *height > after,
        };
        if order == Order::NewestFirst {
            heights.reverse();
        }
        Ok(heights.into_iter().filter(is_behind).take(limit).collect())
    }

    /// The second deletes it, the third is no JSON.
    fn modification(
        &self,
        _: &str,
        key: &str,
        height: Height,
    ) -> Result<KeyModification, ReadError> {
        Ok(KeyModification {
            height,
            tx_id: format!("{key}{height}"),
            timestamp: (height.block < 3).then_some(Timestamp {
                seconds: 0,
                nanos: 0,
            }),
            creator: Bytes::new(),
            value: match height.block {
                1 => Some(r#"{"n": 1.10}"#.into()),
                2 => None,
                _ => Some(Bytes::from_static(b"\xff")),
            },
        })
    }

    fn write(&mut self, namespace: &str, key: &str, value: Option<Bytes>) {
        let before = self.writes.insert(format!("{namespace}/{key}"), value);
        assert!(before.is_none(), "one write a key");
    }
}

fn call(chaincode: &str, function: &str, args: &[&str]) -> Call {
    Call {
        chaincode: chaincode.into(),
        function: function.into(),
        args: args
            .iter()
            .map(|arg| Bytes::copy_from_slice(arg.as_bytes()))
            .collect(),
    }
}

fn run(fake: &mut Fake, call: &Call) -> Result<String, ChaincodeError> {
    let result = Documents::default().run_on(call, fake)?;
    let text = String::from_utf8(result.to_vec()).unwrap();
    assert!(json::is_json(text.as_bytes()), "{text}");
    Ok(text)
}

/// What the state of the tests is: one document of each sort.
fn state() -> Fake {
    Fake::new(&[
        ("ns/a", "12.0", br#"{"n":1.10,"m":{"x":1}}"#),
        ("ns/list", "8.2", b"[1]"),
        ("ns/raw", "3.1", b"\xff\x00"),
    ])
}

/// Runs one function over [`state`]. Returns result, reads and writes, or the error.
fn outcome(function: &str, args: &[&str]) -> (String, Vec<String>, Vec<String>) {
    let mut fake = state();
    let chaincode = if function == "apply" {
        "documents"
    } else {
        "ns"
    };
    match run(&mut fake, &call(chaincode, function, args)) {
        Ok(result) => (
            result,
            fake.reads().into_iter().map(str::to_owned).collect(),
            fake.writes(),
        ),
        Err(error) => {
            assert!(fake.writes.is_empty(), "a failed call wrote");
            (error.to_string(), vec![], vec![])
        }
    }
}

const WAS_12: &str = r#"{"previousVersion":"12.0"}"#;
const WAS_8: &str = r#"{"previousVersion":"8.2"}"#;
const WAS_NOT: &str = r#"{"previousVersion":null}"#;

/// Function, arguments, result, reads, writes.
type Row<'a> = (
    &'a str,
    &'a [&'a str],
    &'a str,
    &'a [&'a str],
    &'a [&'a str],
);

fn check(rows: &[Row<'_>]) {
    for (function, args, result, reads, writes) in rows {
        let found = outcome(function, args);
        let claim = format!("{function} {args:?}");
        assert_eq!(found.0, *result, "{claim}");
        assert_eq!(found.1, *reads, "reads of {claim}");
        assert_eq!(found.2, *writes, "writes of {claim}");
    }
}

#[test]
fn a_put_without_a_condition_leaves_no_read() {
    check(&[
        ("put", &[r#""a""#, "7"], WAS_12, &[], &["ns/a=7"]),
        ("put", &[r#""new""#, " 7\n"], WAS_NOT, &[], &["ns/new= 7n"]),
        ("put", &[r#""a""#, "7", "{}"], WAS_12, &[], &["ns/a=7"]),
    ]);
}

#[test]
fn everything_that_depends_on_the_key_reads_it() {
    check(&[
        (
            "put",
            &[r#""a""#, "7", r#"{"ifVersion":"12.0"}"#],
            WAS_12,
            &["ns/a"],
            &["ns/a=7"],
        ),
        (
            "put",
            &[r#""a""#, "7", r#"{"ifMatch":"*"}"#],
            WAS_12,
            &["ns/a"],
            &["ns/a=7"],
        ),
        (
            "put",
            &[r#""b""#, "7", r#"{"ifNoneMatch":"*"}"#],
            WAS_NOT,
            &["ns/b"],
            &["ns/b=7"],
        ),
        ("create", &[r#""b""#, "7"], WAS_NOT, &["ns/b"], &["ns/b=7"]),
        (
            "merge",
            &[r#""a""#, r#"{"m":{"y":2.0}}"#],
            WAS_12,
            &["ns/a"],
            &[r#"ns/a={"n":1.10,"m":{"x":1,"y":2.0}}"#],
        ),
        (
            "merge",
            &[r#""list""#, r#"{"x":1,"y":null}"#],
            WAS_8,
            &["ns/list"],
            &[r#"ns/list={"x":1}"#],
        ),
        (
            "merge",
            &[r#""a""#, "[2]"],
            WAS_12,
            &["ns/a"],
            &["ns/a=[2]"],
        ),
        ("delete", &[r#""a""#], WAS_12, &["ns/a"], &["ns/a!"]),
        (
            "delete",
            &[r#""a""#, r#"{"ifMatch":["1.0","12.0"]}"#],
            WAS_12,
            &["ns/a"],
            &["ns/a!"],
        ),
    ]);
}

#[test]
fn what_does_not_hold_is_refused_and_writes_nothing() {
    let refuse =
        |function, args: &[&str], error: &str| assert_eq!(outcome(function, args).0, error);
    let not = r#"key "a" in namespace "ns" must not exist, but its version is 12.0"#;
    refuse("create", &[r#""a""#, "7"], not);
    refuse("put", &[r#""a""#, "7", r#"{"ifNoneMatch":"*"}"#], not);
    refuse("merge", &[r#""a""#, "7", r#"{"ifVersion":null}"#], not);
    let other = r#"key "a" in namespace "ns" must have version 12.1, but its version is 12.0"#;
    refuse("delete", &[r#""a""#, r#"{"ifVersion":"12.1"}"#], other);
    let gone = r#"key "b" in namespace "ns" must exist, but it does not exist"#;
    refuse("delete", &[r#""b""#, r#"{"ifMatch":"*"}"#], gone);
    let none = r#"there is no key "b" in namespace "ns""#;
    refuse("delete", &[r#""b""#], none);
    refuse("merge", &[r#""b""#, "{}"], none);
    refuse("get", &[r#""b""#], none);
    refuse(
        "merge",
        &[r#""a""#, r#"{"_id":1}"#],
        "the top-level member \"_id\" is reserved",
    );
    refuse(
        "merge",
        &[r#""raw""#, "{}"],
        "the present value cannot be merged into: not UTF-8 from byte 0 on",
    );
    refuse(
        "seek",
        &["{}"],
        "chaincode \"ns\" has no function \"seek\"; it has create, put, merge, delete, get, range, \
         find, history",
    );
}

#[test]
fn apply_belongs_to_the_chaincode_documents() {
    let list = r#"[{"op":"put","namespace":"ns","key":"a","value":1}]"#;
    let refused = run(&mut state(), &call("ns", "apply", &[list])).unwrap_err();
    assert!(matches!(refused, ChaincodeError::UnknownFunction { .. }));
    // In its own namespace it is a chaincode like any other.
    let mut fake = state();
    run(&mut fake, &call("documents", "put", &[r#""k""#, "1"])).unwrap();
    assert_eq!(fake.writes(), ["documents/k=1"]);
}

#[test]
fn the_limit_of_a_value_binds_what_a_merge_makes() {
    let documents = Documents {
        max_value_bytes: 24,
    };
    let run = |function, args: &[&str]| {
        let result = documents.run_on(&call("ns", function, args), &mut state());
        result.map_err(|error| error.to_string())
    };
    let digits = "1".repeat(24);
    assert!(run("put", &["\"k\"", &digits]).is_ok());
    let too_large = "a value of 25 bytes, at most 24 are allowed";
    assert_eq!(
        run("put", &["\"k\"", &format!("{digits} ")]).unwrap_err(),
        too_large
    );
    assert_eq!(
        run("create", &["\"k\"", &format!("{digits}0")]).unwrap_err(),
        too_large
    );
    assert!(run("merge", &["\"a\"", r#"{"n":1.100}"#]).is_ok());
    assert_eq!(
        run("merge", &["\"a\"", r#"{"n":1.10000}"#]).unwrap_err(),
        too_large
    );
    let shrinking = r#"{"m":null,"nothing-of-this-name-exists":null}"#;
    assert!(run("merge", &["\"a\"", shrinking]).is_ok());
}

/// Shorthand for lists: `op key value? version?`, in namespace `ns`.
fn list(operations: &[(&str, &str, &str, &str)]) -> String {
    let one = |(op, key, value, version): &(&str, &str, &str, &str)| {
        let member = |name: &str, json: &str| match json {
            "" => String::new(),
            json => format!(r#","{name}":{json}"#),
        };
        let (value, version) = (member("value", value), member("ifVersion", version));
        format!(r#"{{"op":"{op}","namespace":"ns","key":"{key}"{value}{version}}}"#)
    };
    format!(
        "[{}]",
        operations.iter().map(one).collect::<Vec<_>>().join(",")
    )
}

#[test]
fn operations_of_one_list_see_each_other() {
    let mut rows = vec![
        (
            "a put hides a put",
            list(&[("put", "b", "1", ""), ("put", "b", "2", "")]),
            vec![],
            vec!["ns/b=2"],
        ),
        (
            "a merge into what was just put",
            list(&[
                ("put", "b", r#"{"x":1}"#, ""),
                ("merge", "b", r#"{"y":2}"#, ""),
            ]),
            vec!["ns/b"],
            vec![r#"ns/b={"x":1,"y":2}"#],
        ),
        (
            "a create after a delete",
            list(&[("delete", "a", "", ""), ("create", "a", "1", "")]),
            vec!["ns/a"],
            vec!["ns/a=1"],
        ),
        (
            "created and deleted leaves nothing but the read",
            list(&[("create", "b", "1", ""), ("delete", "b", "", "")]),
            vec!["ns/b"],
            vec![],
        ),
        (
            "put and deleted where something was",
            list(&[("put", "a", "1", ""), ("delete", "a", "", "")]),
            vec!["ns/a"],
            vec!["ns/a!"],
        ),
        (
            "conditions speak of the committed version throughout",
            list(&[
                ("put", "a", "1", r#""12.0""#),
                ("put", "a", "2", r#""12.0""#),
                ("check", "a", "", r#""12.0""#),
            ]),
            vec!["ns/a"],
            vec!["ns/a=2"],
        ),
        (
            "a check reads and writes nothing",
            list(&[("check", "b", "", "null"), ("put", "c", "1", "")]),
            vec!["ns/b"],
            vec!["ns/c=1"],
        ),
    ];
    for (claim, list, reads, writes) in rows.drain(..) {
        let found = outcome("apply", &[&list]);
        assert_eq!(found.1, reads, "{claim}: {}", found.0);
        assert_eq!(found.2, writes, "{claim}");
    }
}

#[test]
fn one_operation_that_fails_undoes_the_list() {
    for (list, error) in [
        (
            list(&[("put", "c", "1", ""), ("create", "a", "1", "")]),
            r#"key "a" in namespace "ns" must not exist, but its version is 12.0"#,
        ),
        (
            list(&[("put", "b", "1", ""), ("create", "b", "1", "")]),
            r#"key "b" in namespace "ns" must not exist, but an earlier operation writes it"#,
        ),
        (
            list(&[("delete", "a", "", ""), ("merge", "a", "{}", "")]),
            r#"there is no key "a" in namespace "ns""#,
        ),
        (
            list(&[("put", "b", "1", ""), ("check", "b", "", r#""12.0""#)]),
            r#"key "b" in namespace "ns" must have version 12.0, but it does not exist"#,
        ),
    ] {
        assert_eq!(outcome("apply", &[&list]).0, error, "{list}");
    }
}

#[test]
fn a_list_answers_one_version_an_operation() {
    let list = list(&[
        ("put", "b", "1", ""),
        ("delete", "a", "", ""),
        ("check", "list", "", r#""8.2""#),
    ]);
    assert_eq!(
        outcome("apply", &[&list]).0,
        format!("[{WAS_NOT},{WAS_12},{WAS_8}]")
    );
}

#[test]
fn a_list_may_span_namespaces() {
    let list = r#"[{"op":"put","namespace":"x","key":"k","value":1},
                   {"op":"put","namespace":"y","key":"k","value":2}]"#;
    assert_eq!(outcome("apply", &[list]).2, ["x/k=1", "y/k=2"]);
}

#[test]
fn a_failed_condition_says_what_was_demanded_and_found() {
    let list = r#"[
        {"op":"put","namespace":"ns","key":"b","value":1},
        {"op":"create","namespace":"ns","key":"a","value":1}]"#;
    for (call, position) in [
        (call("ns", "create", &[r#""a""#, "1"]), 0),
        (call("documents", "apply", &[list]), 1),
    ] {
        let refused = run(&mut state(), &call).unwrap_err();
        let ChaincodeError::PreconditionFailed {
            operation,
            expected,
            found,
            ..
        } = refused
        else {
            panic!("{refused}")
        };
        assert_eq!(operation, position);
        assert_eq!(expected, Expect::Absent);
        assert_eq!(found, Some(Height { block: 12, tx: 0 }));
    }
}

#[test]
fn get_gives_the_value_itself() {
    check(&[
        (
            "get",
            &[r#""a""#],
            r#"{"n":1.10,"m":{"x":1}}"#,
            &["ns/a"],
            &[],
        ),
        (
            "get",
            &[r#" "raw" "#],
            r#"{"valueBase64":"/wA="}"#,
            &["ns/raw"],
            &[],
        ),
    ]);
    for args in [&[][..], &["\"a\"", "\"b\""], &["a"], &["1"]] {
        assert!(
            run(&mut state(), &call("ns", "get", args)).is_err(),
            "{args:?}"
        );
    }
}

#[test]
fn reads_take_any_name() {
    let mut fake = Fake::new(&[("_lifecycle/_k", "1.0", b"1"), ("/\0a", "1.1", b"2")]);
    assert_eq!(
        run(&mut fake, &call("_lifecycle", "get", &[r#""_k""#])).unwrap(),
        "1"
    );
    assert_eq!(
        run(&mut fake, &call("", "get", &[r#""\u0000a""#])).unwrap(),
        "2"
    );
}

#[test]
fn a_range_comes_page_by_page() {
    let mut fake = state();
    let mut page = |argument: &str| run(&mut fake, &call("ns", "range", &[argument])).unwrap();
    let a = r#"{"key":"a","version":"12.0","value":{"n":1.10,"m":{"x":1}}}"#;
    let list = r#"{"key":"list","version":"8.2","value":[1]}"#;
    let raw = r#"{"key":"raw","version":"3.1","valueBase64":"/wA="}"#;
    let all = format!(r#"{{"rows":[{a},{list},{raw}],"bookmark":null}}"#);
    let at_raw = Listing(&["range", "main", "ns", "", ""]).bookmark("raw");
    assert_eq!(page("{}"), all);
    assert_eq!(
        page(r#"{"start":"","end":"","limit":1000,"bookmark":null}"#),
        all
    );
    assert_eq!(
        page(r#"{"limit":2}"#),
        format!(r#"{{"rows":[{a},{list}],"bookmark":"{at_raw}"}}"#)
    );
    assert_eq!(
        page(&format!(r#"{{"limit":9,"bookmark":"{at_raw}"}}"#)),
        format!(r#"{{"rows":[{raw}],"bookmark":null}}"#)
    );
    assert_eq!(
        page(r#"{"start":"b","end":"raw","limit":1}"#),
        format!(r#"{{"rows":[{list}],"bookmark":null}}"#)
    );
    assert_eq!(page(r#"{"start":"x"}"#), r#"{"rows":[],"bookmark":null}"#);
    assert_eq!(fake.ranges[0], "ns .. 26");
    assert!(fake.reads.is_empty());
    assert_eq!(run(&mut state(), &call("ns", "range", &[])).unwrap(), all);
}

#[test]
fn a_range_is_asked_for_strictly() {
    for (argument, error) in [
        ("[]", "range takes an object"),
        (
            r#"{"Start":"a"}"#,
            "unknown member \"Start\"; range takes start, end, limit, bookmark",
        ),
        (r#"{"start":1}"#, "start has to be a string"),
        (
            r#"{"limit":0}"#,
            "limit has to be an integer from 1 to 1000",
        ),
        (
            r#"{"limit":1001}"#,
            "limit has to be an integer from 1 to 1000",
        ),
        (
            r#"{"limit":2.0}"#,
            "limit has to be an integer from 1 to 1000",
        ),
        (
            r#"{"limit":"2"}"#,
            "limit has to be an integer from 1 to 1000",
        ),
        (r#"{"bookmark":1}"#, "bookmark has to be a string"),
    ] {
        assert_eq!(outcome("range", &[argument]).0, error, "{argument}");
    }
    assert_eq!(outcome("range", &["{}", "{}"]).0, "range takes one object");
}

#[track_caller]
fn assert_no_bookmark_of(function: &str, args: &[&str]) {
    let (error, ..) = outcome(function, args);
    let expected = format!("the bookmark is not one of this {function}");
    assert!(error.starts_with(&expected), "{args:?}: {error}");
}

#[test]
fn a_bookmark_of_another_range_or_history_is_refused() {
    for (listing, place) in [
        (["range", "other", "ns", "b", "s"], "list"),
        (["range", "main", "other", "b", "s"], "list"),
        (["range", "main", "ns", "", "s"], "list"),
        (["range", "main", "ns", "b", ""], "list"),
        (["history", "main", "ns", "b", "s"], "list"),
        // Nobody was ever given these two.
        (["range", "main", "ns", "b", "s"], "a"),
        (["range", "main", "ns", "b", "s"], "s"),
    ] {
        let bookmark = Listing(&listing).bookmark(place);
        let argument = format!(r#"{{"start":"b","end":"s","bookmark":"{bookmark}"}}"#);
        assert_no_bookmark_of("range", &[&argument]);
    }
    for (listing, place) in [
        (["history", "other", "ns", "k", "asc"], "1.0"),
        (["history", "main", "other", "k", "asc"], "1.0"),
        (["history", "main", "ns", "l", "asc"], "1.0"),
        (["history", "main", "ns", "k", "desc"], "1.0"),
        (["history", "main", "ns", "k", "asc"], "1"),
    ] {
        let bookmark = Listing(&listing).bookmark(place);
        let argument = format!(r#"{{"order":"asc","bookmark":"{bookmark}"}}"#);
        assert_no_bookmark_of("history", &["\"k\"", &argument]);
    }
    for text in ["", "c", "cmF3", "cmF3=", "_w", "1.0"] {
        let argument = format!(r#"{{"bookmark":"{text}"}}"#);
        assert_no_bookmark_of("range", &[&argument]);
        assert_no_bookmark_of("history", &["\"k\"", &argument]);
    }
}

#[test]
fn a_page_of_large_values_ends_early() {
    let large = format!("\"{}\"", "x".repeat(10 << 20));
    let rows = [
        ("ns/a", "1.0", large.as_bytes()),
        ("ns/b", "1.1", large.as_bytes()),
    ];
    let page = run(&mut Fake::new(&rows), &call("ns", "range", &[])).unwrap();
    let bookmark = Listing(&["range", "main", "ns", "", ""]).bookmark("b");
    assert!(page.ends_with(&format!(r#"],"bookmark":"{bookmark}"}}"#)));
}

#[test]
fn the_work_of_merges_is_bounded() {
    let large = format!(r#"{{"x":"{}"}}"#, "x".repeat((1 << 20) - 9));
    let merges = |count: usize| {
        let operations = vec![("merge", "a", r#"{"y":1}"#, ""); count];
        let mut fake = Fake::new(&[("ns/a", "1.0", large[..].as_bytes())]);
        let documents = Documents {
            max_value_bytes: 2 << 20,
        };
        let call = call("documents", "apply", &[&list(&operations)]);
        documents
            .run_on(&call, &mut fake)
            .map_err(|error| error.to_string())
    };
    assert!(merges(63).is_ok());
    assert_eq!(
        merges(65).unwrap_err(),
        "the merges of one transaction read at most 67108864 bytes"
    );
}

/// Does the operations one by one on plain values; none where one of them cannot be done.
fn naive(
    mut state: BTreeMap<String, String>,
    operations: &[(&str, &str, &str, &str)],
) -> Option<BTreeMap<String, String>> {
    for (op, key, value, _) in operations {
        let old = state.remove(*key);
        let new = match (*op, old) {
            ("create", None) | ("put", _) => Some((*value).to_owned()),
            ("merge", Some(old)) => Some(json::merge(old.as_bytes(), value.as_bytes()).ok()?),
            ("delete", Some(_)) => None,
            _ => return None,
        };
        state.extend(new.map(|new| ((*key).to_owned(), new)));
    }
    Some(state)
}

#[test]
fn a_list_does_what_its_operations_do_one_by_one() {
    let (mut done, mut refused) = (0, 0);
    for seed in 1..20_000_usize {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut pick = |bound: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % bound
        };
        let operations: Vec<_> = (0..=pick(5))
            .map(|_| {
                let op = ["create", "put", "merge", "delete"][pick(4)];
                let value = ["1", r#"{"x":1}"#, r#"{"x":null,"y":2}"#][pick(3)];
                let value = if op == "delete" { "" } else { value };
                (op, ["a", "b", "c"][pick(3)], value, "")
            })
            .collect();
        let mut fake = Fake::new(&[("ns/a", "1.0", b"{\"x\":0}"), ("ns/b", "1.1", b"0")]);
        let committed = fake.committed.iter().map(|((_, key), found)| {
            let value = String::from_utf8(found.value.to_vec()).unwrap();
            (key.clone(), value)
        });
        let expected = naive(committed.clone().collect(), &operations);
        let mut state: BTreeMap<_, _> = committed.collect();

        let result = run(
            &mut fake,
            &call("documents", "apply", &[&list(&operations)]),
        );
        assert_eq!(
            result.is_ok(),
            expected.is_some(),
            "seed {seed}: {operations:?}"
        );
        let Some(expected) = expected else {
            refused += 1;
            continue;
        };
        done += 1;
        for (path, value) in &fake.writes {
            let key = path.trim_start_matches("ns/").to_owned();
            match value {
                Some(value) => state.insert(key, String::from_utf8(value.to_vec()).unwrap()),
                None => state.remove(&key),
            };
        }
        assert_eq!(state, expected, "seed {seed}: {operations:?}");
        for (op, key, ..) in &operations {
            let is_read = fake.reads.contains(&format!("ns/{key}"));
            assert!(is_read || *op == "put", "seed {seed}: {operations:?}");
        }
    }
    // Both ways have to be common for the comparison to mean anything.
    assert!(
        done > 2_000 && refused > 2_000,
        "{done} done, {refused} refused"
    );
}

#[test]
fn find_answers_as_couchdb_does_but_for_the_time_it_took() {
    let mut fake = state();
    let asked = call("ns", "find", &[r#"{"selector":{"n":{"$gt":1}}}"#]);
    let answer = run(&mut fake, &asked).unwrap();
    assert_eq!(
        answer,
        concat!(
            r#"{"docs":[{"_id":"a","n":1.10}],"bookmark":"nil","execution_stats":"#,
            r#"{"total_keys_examined":3,"total_docs_examined":3,"total_quorum_docs_examined":0,"#,
            r#""results_returned":1},"warning":"slow"}"#
        )
    );
    assert_eq!(fake.ranges, ["ns 8388608"]);
    for (args, error) in [
        (vec![], "find takes one object"),
        (vec!["{}", "{}"], "find takes one object"),
        (vec!["[]"], "Request body must be a JSON object"),
        (vec!["{}"], "Missing required key: selector"),
        (
            vec![r#"{"selector":{"a":{"$no":1}}}"#],
            "Invalid operator: $no",
        ),
    ] {
        let refused = run(&mut state(), &call("ns", "find", &args)).unwrap_err();
        assert_eq!(refused.to_string(), error);
    }
}

#[test]
fn history_is_read_a_page_at_a_time_from_either_end() {
    let third = concat!(
        r#"{"transactionId":"k3.0","blockNumber":3,"txNumber":0,"timestamp":null,"#,
        r#""isDelete":false,"valueBase64":"/w=="}"#
    );
    let second = concat!(
        r#"{"transactionId":"k2.0","blockNumber":2,"txNumber":0,"#,
        r#""timestamp":"1970-01-01T00:00:00Z","isDelete":true,"value":null}"#
    );
    let first = concat!(
        r#"{"transactionId":"k1.0","blockNumber":1,"txNumber":0,"#,
        r#""timestamp":"1970-01-01T00:00:00Z","isDelete":false,"value":{"n": 1.10}}"#
    );
    let page = |entries: &[&str], bookmark: &str| {
        format!(
            r#"{{"entries":[{}],"bookmark":{bookmark}}}"#,
            entries.join(",")
        )
    };
    let behind = |order, version| {
        let bookmark = Listing(&["history", "main", "ns", "k", order]).bookmark(version);
        format!("\"{bookmark}\"")
    };
    let go_on_down = format!(r#"{{"limit":2,"bookmark":{}}}"#, behind("desc", "2.0"));
    let bookmark = behind("asc", "1.0");
    let go_on_up = format!(r#"{{"order":"asc","limit":1,"bookmark":{bookmark}}}"#);
    for (args, expected) in [
        (vec![r#""k""#], page(&[third, second, first], "null")),
        (
            vec![r#""k""#, r#"{"order":"asc"}"#],
            page(&[first, second, third], "null"),
        ),
        (
            vec![r#""k""#, r#"{"limit":2}"#],
            page(&[third, second], &behind("desc", "2.0")),
        ),
        (vec![r#""k""#, &go_on_down], page(&[first], "null")),
        (
            vec![r#""k""#, &go_on_up],
            page(&[second], &behind("asc", "2.0")),
        ),
    ] {
        let mut fake = state();
        assert_eq!(
            run(&mut fake, &call("ns", "history", &args)).unwrap(),
            expected
        );
        assert!(fake.reads().is_empty());
    }
    for (args, error) in [
        (vec![], "history takes a key and one object"),
        (vec!["1"], "a key has to be a string"),
        (vec![r#""k""#, "[]"], "history takes a key and an object"),
        (vec![r#""k""#, r#"{"order":1}"#], "order has to be a string"),
        (
            vec![r#""k""#, r#"{"order":"up"}"#],
            "order is neither asc nor desc",
        ),
        (
            vec![r#""k""#, r#"{"from":1}"#],
            r#"unknown member "from"; history takes order, limit, bookmark"#,
        ),
        (
            vec![r#""k""#, r#"{"limit":0}"#],
            "limit has to be an integer from 1 to 1000",
        ),
    ] {
        let refused = run(&mut state(), &call("ns", "history", &args)).unwrap_err();
        assert_eq!(refused.to_string(), error);
    }
}
