//! A document is what was written: for queries, in their answers, and in blocks.
//!
//! These tests guard against a parser that treats some member's name specially, and against values that are
//! printed again instead of copied.

use std::time::Duration;

use bytes::Bytes;
use quire_ledger::{FindError, IndexRequest, Meter, Query, QueryError, Reader, Simulator};
use quire_wire::Code;
use serde_json::Value;

use crate::kit::{Documents, chain};

const NAMESPACE: &str = "ns";
const PAGE_BYTES: usize = 8 << 20;

/// Names that parsers of this program use internally for things that are not members.
const PRIVATE: [&str; 6] = [
    "$serde_json::private::Number",
    "$serde_json::private::RawValue",
    "$__toml_private_datetime",
    "$__serde_spanned_private_value",
    "$__serde_private_tag",
    "__proto__",
];
/// Values that make such a member look like something else, or not.
const INSIDE: [&str; 6] = [
    "\"abc\"",
    "\"5\"",
    "\"[1, 2]\"",
    "\"{}\"",
    "5",
    "{\"x\":1,\"y\":2}",
];

fn put(documents: &mut Documents, rows: &[(String, String)]) {
    let rows = rows
        .iter()
        .map(|(key, value)| (key.as_str(), Some(value.clone())));
    documents.write(NAMESPACE, rows);
}

/// A row whose member `a` is an object with a member of a private name.
fn private_rows() -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for (n, name) in PRIVATE.iter().enumerate() {
        for (i, inside) in INSIDE.iter().enumerate() {
            let private = format!("{{\"{name}\":{inside}}}");
            rows.push((format!("a{n}{i}"), format!("{{\"a\":{private}}}")));
            rows.push((format!("b{n}{i}"), format!("{{\"l\":[{private}]}}")));
            rows.push((format!("c{n}{i}"), private.clone()));
            rows.push((
                format!("d{n}{i}"),
                format!("{{\"a\":{{\"{name}\":{inside},\"b\":2}}}}"),
            ));
        }
    }
    rows.sort();
    rows
}

fn try_find(reader: &Reader, request: &str) -> Result<(Vec<String>, Option<String>), FindError> {
    let query = Query::parse(request.as_bytes())?;
    let found = reader
        .snapshot()
        .find(NAMESPACE, &query, PAGE_BYTES, &mut Meter::default())?;
    Ok((found.documents, found.bookmark))
}

/// What a query shows, without `_id` and `_rev` if it shows everything.
fn find(reader: &Reader, request: &str) -> Vec<String> {
    try_find(reader, request).unwrap().0
}

/// The keys that a selector finds.
fn keys(reader: &Reader, selector: &str) -> Vec<String> {
    let request = format!(r#"{{"selector":{selector},"fields":["_id"],"limit":1000}}"#);
    let key = |text: String| {
        let text = text.strip_prefix(r#"{"_id":""#).unwrap();
        text.strip_suffix("\"}").unwrap().to_owned()
    };
    find(reader, &request).into_iter().map(key).collect()
}

fn index(reader: &Reader, request: &str) {
    let request = IndexRequest::parse(request.as_bytes()).unwrap();
    let wait = Duration::from_secs(60);
    assert!(reader.create_index(NAMESPACE, &request, wait).unwrap());
}

fn text_of(rows: &[(String, String)], key: &str) -> String {
    let (_, value) = rows.iter().find(|(known, _)| known == key).unwrap();
    value.clone()
}

#[test]
fn a_member_of_any_name_is_a_member() {
    let mut documents = Documents::new();
    let rows = private_rows();
    put(&mut documents, &rows);
    put(&mut documents, &[("plain".into(), r#"{"a":5}"#.into())]);
    let reader = documents.reader();
    let shown = find(&reader, r#"{"selector":{},"limit":1000}"#);
    let expected: Vec<String> = rows
        .iter()
        .map(|(key, value)| format!("{{\"_id\":\"{key}\",\"_rev\":\"1.0\",{}", &value[1..]))
        .chain([r#"{"_id":"plain","_rev":"2.0","a":5}"#.to_owned()])
        .collect();
    assert_eq!(shown, expected);
    // None of them counts as its inner value.
    assert_eq!(keys(&reader, r#"{"a":5}"#), ["plain"]);
    assert_eq!(keys(&reader, r#"{"a":[1,2]}"#), Vec::<String>::new());
    assert_eq!(keys(&reader, r#"{"a":{"$lt":"~"}}"#), ["plain"]);
    assert_eq!(keys(&reader, r#"{"a":{"$type":"object"}}"#).len(), 72);
    let of_lists = r#"{"l":{"$elemMatch":{"$type":"object"}}}"#;
    assert_eq!(keys(&reader, of_lists).len(), 36);
    for (n, name) in PRIVATE.iter().enumerate() {
        let escaped = name.replace('.', "\\\\.");
        for (i, inside) in INSIDE.iter().enumerate() {
            let key = |of: char| format!("{of}{n}{i}");
            let value = format!("{{\"{name}\":{inside}}}");
            for operand in [
                format!(r#"{{"$eq":{value}}}"#),
                format!(r#"{{"$in":[{value}]}}"#),
                format!(r#"{{"$gte":{value},"$lte":{value}}}"#),
            ] {
                let selector = format!("{{\"a\":{operand}}}");
                assert_eq!(keys(&reader, &selector), [key('a')], "{selector}");
            }
            let selector = format!(r#"{{"l":{{"$all":[{value}]}}}}"#);
            assert_eq!(keys(&reader, &selector), [key('b')], "{selector}");
            // The name is used as a path.
            let selector = format!(r#"{{"\\{escaped}":{{"$eq":{inside}}}}}"#);
            assert_eq!(keys(&reader, &selector), [key('c')], "{selector}");
            let fields = format!(
                r#"{{"selector":{{"_id":"{0}"}},"fields":["{escaped}"]}}"#,
                key('c')
            );
            assert_eq!(find(&reader, &fields), [text_of(&rows, &key('c'))]);
        }
        // The name is not an operator.
        if name.starts_with('$') {
            let selector = format!(r#"{{"selector":{{"a":{{"{name}":"5"}}}}}}"#);
            let Err(FindError::Query(refused)) = try_find(&reader, &selector) else {
                panic!("{selector}");
            };
            assert_eq!(refused, QueryError::InvalidOperator((*name).to_owned()));
        }
    }
}

#[test]
fn pages_and_definitions_give_back_members_of_any_name() {
    let mut documents = Documents::new();
    let rows = private_rows();
    put(&mut documents, &rows);
    index(
        &documents.reader(),
        r#"{"index":{"fields":["a"]},"ddoc":"a","name":"a"}"#,
    );
    let partial = r#"{"index":{"fields":["a"],"partial_filter_selector":
        {"a":{"$in":[{"$serde_json::private::Number":"abc"},1.5]}}},"ddoc":"p","name":"p"}"#;
    index(&documents.reader(), partial);
    // Bookmarks hold values.
    let reader = documents.reader();
    let (mut paged, mut bookmark) = (Vec::new(), String::new());
    loop {
        let request = format!(
            r#"{{"selector":{{"a":{{"$gt":null}}}},"sort":["a"],"fields":["_id"],"limit":7,"bookmark":"{bookmark}"}}"#
        );
        let (page, next) = try_find(&reader, &request).unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
        bookmark = next.unwrap();
    }
    let whole = r#"{"selector":{"a":{"$gt":null}},"sort":["a"],"fields":["_id"],"limit":1000}"#;
    assert_eq!(paged.len(), 72);
    assert_eq!(paged, find(&reader, whole));
    drop(reader);
    // Definitions hold them too, and a start reads them.
    documents.reopen();
    let listed = documents.reader().indexes(NAMESPACE);
    let definition = listed[2].definition["def"]["partial_filter_selector"].to_string();
    assert_eq!(
        definition,
        r#"{"a":{"$in":[{"$serde_json::private::Number":"abc"},1.5]}}"#
    );
    let by_partial = r#"{"selector":{"a":{"$gt":null}},"use_index":["p","p"],"fields":["_id"]}"#;
    let found = find(&documents.reader(), by_partial);
    assert_eq!(found, [r#"{"_id":"a00"}"#]);
}

/// The verdict on a transaction that asked `request` and then wrote, after another wrote `value`.
fn verdict(documents: &mut Documents, nonce: &str, request: &str, value: &str) -> Code {
    let snapshot = documents.reader().snapshot();
    let mut asking = Simulator::new(snapshot.clone());
    let query = Query::parse(request.as_bytes()).unwrap();
    asking.find(NAMESPACE, &query, PAGE_BYTES).unwrap();
    asking.put(NAMESPACE, &format!("asked{nonce}"), "0".into());
    let mut other = Simulator::new(snapshot);
    other.put(NAMESPACE, nonce, Bytes::copy_from_slice(value.as_bytes()));
    let envelope = |part: &str, simulator: Simulator| {
        let nonce = format!("{nonce}{part}");
        chain::endorsed("main", &nonce, &simulator.into_read_write_set())
    };
    let envelopes = vec![envelope("other", other), envelope("asking", asking)];
    documents.commit(&[envelopes])[0][1]
}

#[test]
fn what_was_asked_is_judged_by_what_was_written() {
    let mut documents = Documents::new();
    put(&mut documents, &[("k".into(), r#"{"z":1}"#.into())]);
    let mut count = 0;
    for name in PRIVATE {
        for inside in INSIDE {
            let value = format!("{{\"{name}\":{inside}}}");
            let asking =
                |operand: &str| format!(r#"{{"selector":{{"a":{operand}}},"limit":1000}}"#);
            let written = format!("{{\"a\":{value}}}");
            for (request, expected) in [
                (
                    asking(&format!("{{\"$eq\":{value}}}")),
                    Code::PHANTOM_READ_CONFLICT,
                ),
                (asking(r#"{"$type":"object"}"#), Code::PHANTOM_READ_CONFLICT),
                (asking("5"), Code::VALID),
                (asking("[1,2]"), Code::VALID),
            ] {
                count += 1;
                let verdict = verdict(&mut documents, &format!("n{count}"), &request, &written);
                assert_eq!(verdict, expected, "{request} {written}");
            }
        }
    }
}

#[test]
fn fields_show_the_bytes_that_were_written() {
    let mut documents = Documents::new();
    let value = concat!(
        "{ \"n\" : 1E5,\"z\":-0.0, \"big\":123456789012345678901234567890.10e+02,\n",
        "\"s\":\"\\u0041\\/\\u00e9é\\ud83d\\ude00\", \"o\":{ \"x\" : [1.0, 2E0 ,{ \"y\":\"\\t\" } ] ,\"e\":{}},",
        "\"\\u0061b\":[ ],\"d.t\":{\"u\":1e1}, \"t\":true,\"u\":null,\"\":{\"\":0.10} }"
    );
    put(&mut documents, &[("k".into(), value.into())]);
    let reader = documents.reader();
    for (fields, expected) in [
        (r#"["n"]"#, r#"{"n":1E5}"#),
        (r#"["z","n"]"#, r#"{"z":-0.0,"n":1E5}"#),
        (
            r#"["big"]"#,
            r#"{"big":123456789012345678901234567890.10e+02}"#,
        ),
        (r#"["s"]"#, "{\"s\":\"\\u0041\\/\\u00e9é\\ud83d\\ude00\"}"),
        (r#"["o.x"]"#, r#"{"o":{"x":[1.0, 2E0 ,{ "y":"\t" } ]}}"#),
        (r#"["o.x.1"]"#, r#"{"o":{"x":{"1":2E0}}}"#),
        (
            r#"["o.x.2.y","o.x.+0","n"]"#,
            r#"{"o":{"x":{"2":{"y":"\t"},"+0":1.0}},"n":1E5}"#,
        ),
        (
            r#"["o"]"#,
            r#"{"o":{ "x" : [1.0, 2E0 ,{ "y":"\t" } ] ,"e":{}}}"#,
        ),
        (
            r#"["o.e","t","o"]"#,
            r#"{"o":{ "x" : [1.0, 2E0 ,{ "y":"\t" } ] ,"e":{}},"t":true}"#,
        ),
        (
            r#"["o","o.x.1"]"#,
            r#"{"o":{ "x" : [1.0, 2E0 ,{ "y":"\t" } ] ,"e":{}}}"#,
        ),
        (r#"["o.none","t","o.e"]"#, r#"{"t":true,"o":{"e":{}}}"#),
        (r#"["ab"]"#, "{\"\\u0061b\":[ ]}"),
        (r#"["d\\.t.u","u"]"#, r#"{"d.t":{"u":1e1},"u":null}"#),
        (
            r#"["_id","_rev","t"]"#,
            r#"{"_id":"k","_rev":"1.0","t":true}"#,
        ),
        (r#"["none","t.x","o.x.9","o.x.y","_id.x"]"#, "{}"),
        (r#"["\\"]"#, r#"{"":{"":0.10}}"#),
        (r#"["\\.\\"]"#, "{}"),
        (r#"["t","t","t"]"#, r#"{"t":true}"#),
    ] {
        let request = format!(r#"{{"selector":{{}},"fields":{fields}}}"#);
        assert_eq!(find(&reader, &request), [expected], "{fields}");
        // The same is true inside a transaction.
        let mut simulator = Simulator::new(reader.snapshot());
        let query = Query::parse(request.as_bytes()).unwrap();
        let found = simulator.find(NAMESPACE, &query, PAGE_BYTES).unwrap();
        assert_eq!(found.documents, [expected], "{fields}");
    }
}

#[test]
fn a_document_that_brings_a_key_of_its_own_keeps_the_rest_of_its_bytes() {
    let mut documents = Documents::new();
    let value =
        "{ \"a\" : 1E5, \"_id\":{\"x\":[1]},\"\\u005frev\":2, \"b\":\"\\/\", \"b\":\"\\u0041\" }";
    put(
        &mut documents,
        &[
            ("k".into(), value.into()),
            ("l".into(), r#"{"_id":1}"#.into()),
        ],
    );
    let reader = documents.reader();
    assert_eq!(
        find(&reader, r#"{"selector":{}}"#),
        [
            "{\"_id\":\"k\",\"_rev\":\"1.0\",\"a\":1E5,\"b\":\"\\/\",\"b\":\"\\u0041\"}",
            r#"{"_id":"l","_rev":"1.0"}"#
        ]
    );
    let shown = find(
        &reader,
        r#"{"selector":{"b":"A"},"fields":["b","_id","_rev"]}"#,
    );
    assert_eq!(
        shown,
        ["{\"b\":\"\\u0041\",\"_id\":\"k\",\"_rev\":\"1.0\"}"]
    );
}

#[test]
fn a_member_without_a_name_is_asked_for_by_a_backslash() {
    let mut documents = Documents::new();
    let rows = [
        ("a", r#"{"":1}"#),
        ("b", r#"{"":2,"x":{"":1}}"#),
        ("c", r#"{"y":[{"":3}]}"#),
        ("d", r#"{"x":{"":{"y":1},".y":1}}"#),
    ];
    let rows = rows.map(|(key, value)| (key.to_owned(), value.to_owned()));
    put(&mut documents, &rows);
    let reader = documents.reader();
    for (selector, expected) in [
        (r#"{"\\":1}"#, vec!["a"]),
        (r#"{"\\":{"$exists":true}}"#, vec!["a", "b"]),
        (r#"{"\\":{"$gt":1},"x":{"\\":1}}"#, vec!["b"]),
        (r#"{"x.\\":1}"#, vec!["b"]),
        (r#"{"y.0.\\":3}"#, vec!["c"]),
        (r#"{"y":{"$elemMatch":{"\\":3}}}"#, vec!["c"]),
        // A dot after a backslash does not divide.
        (r#"{"x.\\.y":1}"#, vec!["d"]),
    ] {
        assert_eq!(keys(&reader, selector), expected, "{selector}");
    }
    index(
        &reader,
        r#"{"index":{"fields":["\\"]},"ddoc":"e","name":"e"}"#,
    );
    let sorted = r#"{"selector":{"\\":{"$gt":0}},"sort":[{"\\":"desc"}],"fields":["\\","x.\\"]}"#;
    assert_eq!(find(&reader, sorted), [r#"{"":2,"x":{"":1}}"#, r#"{"":1}"#]);
    // The rest has CouchDB's errors.
    for (selector, reason) in [
        (
            r#"{"":1}"#,
            "One or more conditions is missing a field name.",
        ),
        (r#"{"x":{"":1}}"#, "Invalid field name: x."),
        (r#"{"x..y":1}"#, "Invalid field name: x..y"),
        (r#"{"x\\.y.":1}"#, "Invalid field name: x\\.y."),
    ] {
        let request = format!(r#"{{"selector":{selector}}}"#);
        let refused = try_find(&reader, &request).unwrap_err();
        assert_eq!(refused.to_string(), reason, "{selector}");
    }
}

fn refusal<T: std::fmt::Debug>(read: Result<T, QueryError>) -> String {
    let refused = read.unwrap_err();
    format!("{}: {refused}", refused.error())
}

#[test]
fn a_member_that_stands_twice_is_refused_wherever_it_stands() {
    let twice = r#"bad_request: the member "a" appears twice in one object"#;
    for body in [
        r#"{"selector":{},"a":1,"a":2}"#,
        r#"{"selector":{"a":1,"a":2}}"#,
        r#"{"selector":{"a":1,"\u0061":2}}"#,
        r#"{"selector":{"x":{"a":1,"y":2,"a":1}}}"#,
        r#"{"selector":{"$or":[{"b":1},{"x":{"$eq":{"a":1,"a":1}}}]}}"#,
        r#"{"selector":{"x":{"$in":[[{"a":1,"a":1}]]}}}"#,
        r#"{"selector":{},"sort":[{"a":"asc","a":"asc"}]}"#,
    ] {
        assert_eq!(refusal(Query::parse(body.as_bytes())), twice, "{body}");
    }
    for body in [
        r#"{"index":{"fields":["x"]},"a":1,"a":2}"#,
        r#"{"index":{"fields":["x"],"a":1,"a":2}}"#,
        r#"{"index":{"fields":[{"a":"asc","a":"asc"}]}}"#,
        r#"{"index":{"fields":["x"],"partial_filter_selector":{"a":1,"a":2}}}"#,
    ] {
        assert_eq!(
            refusal(IndexRequest::parse(body.as_bytes())),
            twice,
            "{body}"
        );
    }
    let twice = r#"{"selector":{"x":1},"selector":{"x":1}}"#;
    assert!(Query::parse(twice.as_bytes()).is_err());
}

#[test]
fn a_selector_too_deep_is_told_how_deep_it_may_be() {
    let nested = |depth: usize| {
        let selector = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        format!("{{\"selector\":{selector}}}")
    };
    assert!(Query::parse(nested(126).as_bytes()).is_ok());
    let too_deep = "bad_request: nested deeper than 127 levels";
    for depth in [127, 200, 100_000] {
        assert_eq!(refusal(Query::parse(nested(depth).as_bytes())), too_deep);
    }
    let list = format!(
        "{{\"index\":{{\"fields\":{}1{}}}}}",
        "[".repeat(200),
        "]".repeat(200)
    );
    assert_eq!(refusal(IndexRequest::parse(list.as_bytes())), too_deep);
    // Texts that are not JSON have CouchDB's error.
    for body in [
        "{",
        "{\"selector\":{\"a\":\"\\ud800\"}}",
        "",
        "{\"selector\":{}} x",
    ] {
        let refused = refusal(Query::parse(body.as_bytes()));
        assert_eq!(refused, "bad_request: invalid UTF-8 JSON", "{body}");
    }
    assert_eq!(
        refusal(Query::parse(b"{\"selector\":{\"a\":\"\xff\"}}")),
        "bad_request: invalid UTF-8 JSON"
    );
}

#[test]
fn what_is_explained_says_what_was_asked() {
    let documents = Documents::new();
    let query = r#"{"selector":{"a":{"$eq":{"$serde_json::private::Number":"5","b":[{"$serde_json::private::RawValue":"x"}]}}}}"#;
    let query = Query::parse(query.as_bytes()).unwrap();
    let snapshot = documents.reader().snapshot();
    let explained: Value = snapshot.explain(NAMESPACE, &query).unwrap();
    let expected = r#"{"a":{"$eq":{"$serde_json::private::Number":"5","b":[{"$serde_json::private::RawValue":"x"}]}}}"#;
    assert_eq!(explained["selector"].to_string(), expected);
}
