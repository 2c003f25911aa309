//! Every route and every address: nobody gets in without a token, nor with the wrong one.

use tempfile::TempDir;

use super::{assert_problem, create, problem, send};
use crate::kit::{Client, Node, RawAnswer, Request, exchange};

const BATCH: &str = "POST /v1/channels/main/transactions:batch";
const FIND: &str = "POST /v1/channels/main/state/orders/_find";
const EXPLAIN: &str = "POST /v1/channels/main/state/orders/_explain";
const INDEX: &str = "/v1/channels/main/state/orders/_index";
const DROP: &str = "DELETE /v1/channels/main/state/orders/_index/by-total/json/by-total";
const EVENTS: &str = "GET /v1/channels/main/events?from=0&to=0";
const SELECTOR: &str = r#"{"selector":{"total":1}}"#;
const DEFINITION: &str = r#"{"index":{"fields":["total"]},"ddoc":"by-total","name":"by-total"}"#;

/// What a role may do, in the order that makes each of them succeed; readers come first.
const ROUTES: [(&str, &str, Role); 24] = {
    use Role::{Admin, Reader, Writer};
    [
        ("GET /v1/channels", "", Reader),
        ("GET /v1/channels/main", "", Reader),
        ("GET /v1/channels/main/state", "", Reader),
        ("GET /v1/channels/main/state/orders", "", Reader),
        ("GET /v1/channels/main/state/orders/1", "", Reader),
        ("GET /v1/channels/main/history/orders/1", "", Reader),
        ("GET /v1/channels/main/blocks", "", Reader),
        ("GET /v1/channels/main/blocks/0", "", Reader),
        (EVENTS, "", Reader),
        (
            "POST /v1/channels/main/evaluate",
            r#"{"chaincode":"orders","function":"get","args":["1"]}"#,
            Reader,
        ),
        (FIND, SELECTOR, Reader),
        (EXPLAIN, SELECTOR, Reader),
        ("GET /v1/channels/main/state/orders/_index", "", Reader),
        ("GET /metrics", "", Reader),
        ("GET /openapi.json", "", Reader),
        ("GET /docs", "", Reader),
        ("PUT /v1/channels/main/state/orders/1", "1", Writer),
        (
            "POST /v1/channels/main/transactions",
            r#"{"chaincode":"orders","function":"put","args":["2",1]}"#,
            Writer,
        ),
        (
            "POST /v1/channels/main/state/orders/_index",
            DEFINITION,
            Admin,
        ),
        (DROP, "", Admin),
        ("GET /logspec", "", Admin),
        ("PUT /logspec", r#"{"spec":"info"}"#, Admin),
        ("GET /v1/backups", "", Admin),
        ("POST /v1/backups", "", Admin),
    ]
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Reader,
    Writer,
    Admin,
}

/// A batch of one line, which is no JSON document of the usual type.
fn batch(client: &Client, token: &str) -> crate::kit::Answer {
    let mut headers = vec![("Content-Type", "application/x-ndjson".to_owned())];
    if !token.is_empty() {
        headers.push(("Authorization", format!("Bearer {token}")));
    }
    let (_, path) = BATCH.split_once(' ').unwrap();
    let request = Request {
        method: "POST",
        path: path.to_owned(),
        headers,
        body: r#"{"chaincode":"orders","function":"put","args":["3",1]}"#.to_owned(),
    };
    client.send(&request).unwrap()
}

#[test]
fn every_route_asks_for_a_token_of_its_role_and_channel() {
    let (data, backups) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let flags = ["--backup-to", backups.path().to_str().unwrap()];
    let node = Node::start_with(data.path(), &flags);
    let client = node.client();
    assert_eq!(
        send(&client, "PUT /v1/channels/main/state/orders/1", "", "1").status,
        201
    );
    assert_eq!(
        send(&client, "POST /v1/channels", "", r#"{"name":"other"}"#).status,
        201
    );
    let height = client.height();
    let tokens = ["reader", "writer", "admin"]
        .map(|role| create(data.path(), &format!("--identity {role} --role {role}")));
    let elsewhere = create(data.path(), "--identity there --role admin --channel other");
    for (route, body, _) in ROUTES {
        let answer = send(&client, route, "", body);
        assert_problem(&answer, 401, "UNAUTHENTICATED");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{route}");
        let wrong = format!("{}x", tokens[2]);
        assert_problem(&send(&client, route, &wrong, body), 401, "UNAUTHENTICATED");
        // The list of channels shows what the token reaches; how to ask is told to all who may.
        if !["GET /v1/channels", "GET /openapi.json", "GET /docs"].contains(&route) {
            assert_problem(&send(&client, route, &elsewhere, body), 403, "FORBIDDEN");
        }
    }
    for token in ["", "nonsense", "Bearer", "quire_a_b"] {
        assert_problem(&batch(&client, token), 401, "UNAUTHENTICATED");
    }
    for token in [&tokens[0], &elsewhere] {
        assert_problem(&batch(&client, token), 403, "FORBIDDEN");
    }
    let admin = |path: &str| send(&client, path, &tokens[2], "").json();
    assert_eq!(
        admin("GET /v1/channels/main")["height"],
        height,
        "nothing got through"
    );
    assert_eq!(
        admin(&format!("GET {INDEX}"))["total_rows"],
        1,
        "but the one of ids"
    );
    for (route, body, needed) in ROUTES {
        for (role, token) in [Role::Reader, Role::Writer, Role::Admin]
            .iter()
            .zip(&tokens)
        {
            let answer = send(&client, route, token, body);
            if *role < needed {
                assert_eq!(problem(&answer), (403, "FORBIDDEN".to_owned()), "{route}");
            } else {
                assert!(answer.status < 300, "{route} {role:?}: {}", answer.text());
            }
        }
    }
    assert_eq!(batch(&client, &tokens[1]).status, 200);
    assert!(node.stop().success());
}

#[test]
fn the_operations_door_tells_everybody_how_the_node_is_and_nothing_more() {
    let data = TempDir::new().unwrap();
    // Every address of the machine: others may reach it.
    let flags = ["--operations-listen", "0.0.0.0:0", "--insecure-plain-http"];
    let node = Node::start_with(data.path(), &flags);
    let port = loop {
        let log = node.log();
        let at = log
            .lines()
            .find_map(|line| line.trim().strip_prefix("metrics "));
        if let Some(at) = at {
            let port = at.trim().trim_end_matches("/metrics");
            break port.rsplit(':').next().unwrap().to_owned();
        }
        std::thread::yield_now();
    };
    let door = Client::new(&format!("127.0.0.1:{port}"));
    let level = r#"{"spec":"debug"}"#;
    // There is no token at all yet: open at the API's loopback, closed here.
    let open = [
        "GET /healthz",
        "GET /readyz",
        "GET /version",
        "GET /metrics",
    ];
    for route in open {
        assert_eq!(send(&door, route, "", "").status, 200, "{route}");
    }
    for (route, body) in [("GET /logspec", ""), ("PUT /logspec", level)] {
        assert_problem(&send(&door, route, "", body), 401, "UNAUTHENTICATED");
    }
    let reader = create(data.path(), "--identity clerk --role reader");
    let admin = create(data.path(), "--identity boss --role admin");
    for route in open {
        assert_eq!(send(&door, route, "", "").status, 200, "{route}");
    }
    for (route, body) in [("GET /logspec", ""), ("PUT /logspec", level)] {
        assert_problem(&send(&door, route, "", body), 401, "UNAUTHENTICATED");
        assert_problem(&send(&door, route, &reader, body), 403, "FORBIDDEN");
        assert!(send(&door, route, &admin, body).status < 300, "{route}");
    }
    for route in ["GET /v1/channels", "GET /openapi.json", FIND] {
        let answer = send(&door, route, &admin, "");
        assert_problem(&answer, 404, "ROUTE_NOT_FOUND");
    }
    // A page that a name of the attacker's led there changes nothing either.
    let request = format!(
        "PUT /logspec HTTP/1.1\r\nHost: attacker.example:{port}\r\nConnection: close\r\n\
         Origin: http://attacker.example:{port}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{level}",
        level.len()
    );
    let answer = exchange(&format!("127.0.0.1:{port}"), request.as_bytes());
    let answer = RawAnswer::read(&answer).unwrap();
    assert!(matches!(answer.status, 401 | 403), "{answer:?}");
    assert!(node.stop().success());
}
