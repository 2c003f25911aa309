//! A document is what was written, on every way in and on every way out.
//!
//! Guards against a route on which some member's name means something to a parser, on which a value
//! is printed anew, or on which a member that stands twice passes.

use tempfile::TempDir;

use crate::kit::{Answer, Client, Node, Request};

const JSON: &str = "application/json";

fn send(client: &Client, method: &'static str, path: &str, kind: &str, body: &str) -> Answer {
    let request = Request {
        method,
        path: format!("/v1/channels/main/{path}"),
        headers: vec![("Content-Type", kind.to_owned())],
        body: body.to_owned(),
    };
    client.send(&request).unwrap()
}

fn post(client: &Client, path: &str, body: &str) -> Answer {
    send(client, "POST", path, JSON, body)
}

/// Objects that a parser of this program could take for something else, and texts that a printer
/// would change.
const TEXTS: [&str; 7] = [
    r#"{"$serde_json::private::Number":"abc"}"#,
    r#"{"$serde_json::private::Number":"5"}"#,
    r#"{"$serde_json::private::RawValue":"[1, 2]"}"#,
    r#"{"$serde_json::private::RawValue":"no JSON"}"#,
    r#"{"$__toml_private_datetime":"1979-05-27"}"#,
    r#"{"":{ "n":1E5 , "s":"\u0041\/\u00e9", "z":-0.0,"b":123456789012345678901234567890}}"#,
    r#"[1.10,2E+0 ,"\ud83d\ude00",{"a":[ ]}]"#,
];

#[test]
#[expect(clippy::too_many_lines, reason = "a table of the ways in and out")]
fn what_is_written_on_any_way_comes_back_on_any_way() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let client = Client::new(node.address());
    let value = |text: &str| format!("{{\"a\":{text},\"n\":[{text}]}}");
    let mut keys = Vec::new();
    for (n, text) in TEXTS.iter().enumerate() {
        let value = value(text);
        let operation =
            |key: &str| format!(r#"{{"op":"put","namespace":"p","key":"{key}","value":{value}}}"#);
        let [by_put, by_list, by_call, by_line, by_patch] =
            ["put", "list", "call", "line", "patch"].map(|way| format!("{n}{way}"));
        let answers = [
            send(&client, "PUT", &format!("state/p/{by_put}"), JSON, &value),
            post(
                &client,
                "transactions",
                &format!(r#"{{"operations":[{}]}}"#, operation(&by_list)),
            ),
            post(
                &client,
                "transactions",
                &format!(r#"{{"chaincode":"p","function":"put","args":["{by_call}",{value}]}}"#),
            ),
            send(
                &client,
                "POST",
                "transactions:batch",
                "application/x-ndjson",
                &format!(
                    r#"{{"operations":[{}],"idempotencyKey":"{n}"}}"#,
                    operation(&by_line)
                ),
            ),
            send(
                &client,
                "PUT",
                &format!("state/p/{by_patch}"),
                JSON,
                r#"{"a":1}"#,
            ),
            send(
                &client,
                "PATCH",
                &format!("state/p/{by_patch}"),
                "application/merge-patch+json",
                &value,
            ),
        ];
        for answer in answers {
            assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
        }
        keys.extend([by_put, by_list, by_call, by_line].map(|key| (key, *text)));
        // Objects of a patch are merged, which takes the space between their members.
        let merged = value.replacen(
            r#"{ "n":1E5 , "s":"\u0041\/\u00e9", "z""#,
            r#"{"n":1E5,"s":"\u0041\/\u00e9","z""#,
            1,
        );
        let patched = client.get(&format!("/v1/channels/main/state/p/{by_patch}"), JSON);
        assert_eq!(patched.text(), merged, "{by_patch}");
    }
    for (key, text) in &keys {
        let value = value(text);
        let whole = client.get(&format!("/v1/channels/main/state/p/{key}"), JSON);
        assert_eq!(whole.text(), value, "{key}");
        let find = |fields: &str| format!(r#"{{"selector":{{"_id":"{key}"}},"fields":{fields}}}"#);
        let call = |function: &str, argument: &str| {
            format!(r#"{{"chaincode":"p","function":"{function}","args":[{argument}]}}"#)
        };
        let shown = format!("{{\"docs\":[{{\"n\":[{text}],\"a\":{text}}}],");
        let element = format!("{{\"docs\":[{{\"n\":{{\"0\":{text}}}}}],");
        for (answer, expected) in [
            (post(&client, "state/p/_find", &find("[]")), &value[1..]),
            (
                post(&client, "state/p/_find", &find(r#"["n","a"]"#)),
                &shown[..],
            ),
            (
                post(&client, "state/p/_find", &find(r#"["n.0"]"#)),
                &element[..],
            ),
            (
                post(&client, "evaluate", &call("find", &find(r#"["n","a"]"#))),
                &shown[..],
            ),
            (
                post(&client, "transactions", &call("find", &find(r#"["n.0"]"#))),
                &element[..],
            ),
            (
                post(&client, "evaluate", &call("get", &format!("\"{key}\""))),
                &value[..],
            ),
            (
                client.get(&format!("/v1/channels/main/history/p/{key}"), JSON),
                &value[..],
            ),
            (
                client.get("/v1/channels/main/state/p?limit=1000", JSON),
                &value[..],
            ),
        ] {
            let text = answer.text();
            assert!(matches!(answer.status, 200 | 201), "{key}: {text}");
            assert!(
                text.contains(expected),
                "{key}: {expected} is not in {text}"
            );
        }
    }
    let blocks: Vec<String> = (1..client.height())
        .map(|number| {
            let block = client.get(&format!("/v1/channels/main/blocks/{number}"), JSON);
            block.text()
        })
        .collect();
    for (key, text) in &keys {
        let value = value(text);
        let is_there = blocks.iter().any(|block| block.contains(&value));
        assert!(is_there, "{key}: {value} is in no block");
    }
    drop(client);
    assert!(node.stop().success());
    let check = crate::kit::check(data.path());
    assert!(check.status.success(), "{check:?}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of bodies")]
fn a_member_that_stands_twice_is_refused_on_every_way() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let client = Client::new(node.address());
    let before = client.height();
    let twice = r#"{"x":[{"a":1,"a":2}]}"#;
    let call = |function: &str, args: &str| {
        format!(r#"{{"chaincode":"p","function":"{function}","args":[{args}]}}"#)
    };
    let operation = r#"{"op":"put","namespace":"p","key":"k","key":"l","value":1}"#;
    for (path, body) in [
        ("state/p/_find", r#"{"selector":{"a":1,"a":2}}"#.to_owned()),
        (
            "state/p/_find",
            r#"{"selector":{},"selector":{}}"#.to_owned(),
        ),
        (
            "state/p/_find",
            format!(r#"{{"selector":{{"a":{{"$eq":{twice}}}}}}}"#),
        ),
        (
            "state/p/_explain",
            format!(r#"{{"selector":{{"a":{{"$in":[{twice}]}}}}}}"#),
        ),
        (
            "state/p/_index",
            r#"{"index":{"fields":["a"],"fields":["b"]}}"#.to_owned(),
        ),
        (
            "state/p/_index",
            r#"{"index":{"fields":["a"]},"name":"a","name":"b"}"#.to_owned(),
        ),
        (
            "state/p/_index",
            format!(r#"{{"index":{{"fields":["a"],"partial_filter_selector":{twice}}}}}"#),
        ),
        ("evaluate", call("find", r#"{"selector":{"a":1,"a":2}}"#)),
        ("evaluate", call("range", r#"{"limit":1,"limit":2}"#)),
        ("evaluate", call("history", r#""k",{"limit":1,"limit":2}"#)),
        (
            "evaluate",
            r#"{"chaincode":"p","chaincode":"p","function":"get","args":["k"]}"#.to_owned(),
        ),
        ("transactions", call("put", &format!(r#""k",{twice}"#))),
        ("transactions", call("merge", &format!(r#""k",{twice}"#))),
        (
            "transactions",
            call("put", r#""k",1,{"ifVersion":null,"ifVersion":"1.0"}"#),
        ),
        ("transactions", format!(r#"{{"operations":[{operation}]}}"#)),
        (
            "transactions",
            r#"{"operations":[],"operations":[]}"#.to_owned(),
        ),
    ] {
        let answer = post(&client, path, &body);
        let problem = answer.json();
        assert_eq!(answer.status, 400, "{path} {body}: {problem}");
        assert_eq!(problem["code"], "INVALID_JSON", "{path} {body}: {problem}");
    }
    let lines = [
        format!(r#"{{"operations":[{operation}],"idempotencyKey":"a"}}"#),
        r#"{"operations":[],"idempotencyKey":"b","idempotencyKey":"c"}"#.to_owned(),
    ];
    let answer = send(
        &client,
        "POST",
        "transactions:batch",
        "application/x-ndjson",
        &lines.join("\n"),
    );
    let answers = answer.text();
    assert_eq!(
        answers.matches("\"status\":400,\"body\"").count(),
        2,
        "{answers}"
    );
    let told = answers.matches("\"code\":\"INVALID_JSON\"").count();
    assert_eq!(told, 2, "{answers}");
    assert_eq!(client.height(), before);
    let channel = Request {
        method: "POST",
        path: "/v1/channels".to_owned(),
        headers: vec![("Content-Type", JSON.to_owned())],
        body: r#"{"name":"a","name":"b"}"#.to_owned(),
    };
    let answer = client.send(&channel).unwrap();
    assert_eq!(answer.status, 400, "{}", answer.text());
    // CouchDB's clients read these two.
    let refused = post(&client, "state/p/_find", r#"{"selector":{"a":1,"a":2}}"#).json();
    assert_eq!(refused["error"], "bad_request");
    assert_eq!(
        refused["reason"],
        r#"the member "a" appears twice in one object"#
    );
    let deep = format!(
        "{{\"selector\":{}1{}}}",
        "{\"a\":".repeat(127),
        "}".repeat(127)
    );
    let refused = post(&client, "state/p/_find", &deep).json();
    assert_eq!(refused["reason"], "nested deeper than 127 levels");
}
