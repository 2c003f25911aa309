//! Chaincodes over HTTP: who may deploy what, what is told of a definition, and of which channels system chaincodes
//! tell whom.

use serde_json::json;
use tempfile::TempDir;

use super::{assert_problem, create, send};
use crate::kit::Node;

const CHAINCODES: &str = "/v1/channels/main/chaincodes";
/// Nobody answers there.
const SERVICE: &str =
    r#"{"name": "orders", "address": "127.0.0.1:9", "policy": "OR('QuireMSP.peer')"}"#;

#[test]
fn an_administrator_of_all_channels_deploys_and_everybody_is_told() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let client = node.client();
    let (get, post) = (format!("GET {CHAINCODES}"), format!("POST {CHAINCODES}"));
    assert_eq!(client.json(CHAINCODES), json!({"chaincodes": []}));
    // While no token is needed, anybody on the machine could have a program run as the node's user.
    assert_problem(&send(&client, &post, "", SERVICE), 403, "FORBIDDEN");

    let admin = create(data.path(), "--identity boss --role admin");
    let writer = create(data.path(), "--identity shop --role writer");
    let local = create(data.path(), "--identity local --role admin --channel main");
    for token in [&writer, &local] {
        assert_problem(&send(&client, &post, token, SERVICE), 403, "FORBIDDEN");
    }
    let deployed = send(&client, &post, &admin, SERVICE);
    assert_eq!(deployed.status, 201, "{}", deployed.text());
    let location = format!("{CHAINCODES}/orders");
    assert_eq!(deployed.header("location"), Some(&*location));
    let deployed = deployed.json();
    let package_id = deployed["packageId"].as_str().unwrap();
    assert_eq!(
        deployed,
        json!({
            "packageId": package_id, "sequence": 1, "version": "1", "approvals": {"QuireMSP": true},
            "isCommitted": true, "wasThere": false, "isRunning": false,
        })
    );
    let told = send(&client, &format!("{get}/orders"), &writer, "");
    assert_eq!(
        told.json(),
        json!({
            "name": "orders", "sequence": 1, "version": "1", "initRequired": false,
            "policy": "OR('QuireMSP.peer')", "collections": [], "approvals": {"QuireMSP": true},
            "packageId": package_id, "isRunning": false,
        })
    );
    let missing = send(&client, &format!("{get}/carts"), &writer, "");
    assert_problem(&missing, 404, "CHAINCODE_NOT_FOUND");

    // What is installed, an administrator of the channel deploys too.
    let again = format!(r#"{{"name": "orders", "packageId": "{package_id}"}}"#);
    let same = send(&client, &post, &local, &again);
    assert_eq!((same.status, &same.json()["wasThere"]), (200, &json!(true)));
    let version = format!(r#"{{"name": "orders", "packageId": "{package_id}", "version": "2"}}"#);
    let upgraded = send(&client, &post, &local, &version);
    assert_eq!(
        (upgraded.status, &upgraded.json()["sequence"]),
        (201, &json!(2))
    );
    // The policy was not named, and is as it was.
    let told = send(&client, &format!("{get}/orders"), &writer, "").json();
    assert_eq!(told["policy"], "OR('QuireMSP.peer')");
    assert!(node.stop().success());
}

#[test]
fn a_deployment_that_cannot_be_is_told_what_is_wrong_with_it() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let client = node.client();
    let admin = create(data.path(), "--identity boss --role admin");
    let post = format!("POST {CHAINCODES}");
    for (body, status, code) in [
        (
            r#"{"name": "a b", "packageId": "none:0"}"#,
            404,
            "CHAINCODE_NOT_FOUND",
        ),
        (
            r#"{"name": "orders", "address": "nowhere"}"#,
            400,
            "INVALID_ARGUMENT",
        ),
        (
            r#"{"name": "orders", "package": "AAAA"}"#,
            400,
            "INVALID_ARGUMENT",
        ),
        (
            r#"{"name": "orders", "address": "h:1", "policy": "AND("}"#,
            400,
            "INVALID_ARGUMENT",
        ),
        (
            r#"{"name": "a.b", "address": "h:1"}"#,
            422,
            "CHAINCODE_ERROR",
        ),
    ] {
        assert_problem(&send(&client, &post, &admin, body), status, code);
    }
    assert!(node.stop().success());
}

#[test]
fn a_token_for_some_channels_hears_of_no_others_from_system_chaincodes() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let client = node.client();
    let admin = create(data.path(), "--identity boss --role admin");
    let made = send(&client, "POST /v1/channels", &admin, r#"{"name": "other"}"#);
    assert_eq!(made.status, 201);
    let main = create(data.path(), "--identity shop --role writer --channel main");
    let ask = |token: &str, verb: &str, chaincode: &str, function: &str, argument: &str| {
        let body = json!({"chaincode": chaincode, "function": function, "args": [argument]});
        let route = format!("POST /v1/channels/main/{verb}");
        send(&client, &route, token, &body.to_string())
    };
    for (chaincode, function) in [("qscc", "GetChainInfo"), ("cscc", "GetChannelConfig")] {
        let own = ask(&main, "evaluate", chaincode, function, "main");
        assert_eq!(own.status, 200, "{}", own.text());
        for verb in ["evaluate", "transactions"] {
            let others = ask(&main, verb, chaincode, function, "other");
            assert_problem(&others, 403, "FORBIDDEN");
        }
        let all = ask(&admin, "evaluate", chaincode, function, "other");
        assert_eq!(all.status, 200, "{}", all.text());
    }
    let listed = ask(&main, "evaluate", "cscc", "GetChannels", "main");
    assert_problem(&listed, 403, "FORBIDDEN");
    let listed = ask(&admin, "evaluate", "cscc", "GetChannels", "main");
    assert_eq!(listed.status, 200, "{}", listed.text());
    assert!(node.stop().success());
}
