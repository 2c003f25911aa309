//! Channels, blocks, transactions, and the operator's endpoints.

use quire_gateway::backend::FailedCheck;
use quire_wire::Message;
use quire_wire::common;
use quire_wire::transaction::Opened;

use crate::kit::Node;

const PROTOBUF: &str = "accept: application/x-protobuf";

#[tokio::test]
async fn a_transaction_is_followed_to_its_block() {
    let client = Node::new().client();
    let key = "idempotency-key: k";
    let written = client
        .put("./state/ns/k", &[key], "{\"n\": 1.10}")
        .await
        .json();
    let id = written["transactionId"].as_str().unwrap().to_owned();

    let transaction = client.get(&format!("./transactions/{id}?wait=1")).await;
    assert_eq!(transaction.header("quire-height"), Some("2"));
    let document = transaction.json();
    assert_eq!(document["status"], "VALID");
    assert_eq!(document["chaincode"], "ns");
    assert_eq!(document["creator"], "client");
    assert_eq!(document["creatorMspId"], "TestOrg");

    let envelope = client
        .get_with(&format!("./transactions/{id}/envelope"), PROTOBUF)
        .await;
    assert_eq!(
        envelope.header("content-type"),
        Some("application/x-protobuf")
    );
    assert_eq!(envelope.header("vary"), Some("Accept"));
    assert_eq!(Opened::read(&envelope.body).unwrap().derived_tx_id(), id);

    let block = client.get("./blocks/latest").await;
    block.assert_status(200);
    assert_eq!(block.header("vary"), Some("Accept"));
    // The block shows even the value, as it was written.
    assert!(
        block
            .text()
            .contains(r#""writes":[{"key":"k","isDelete":false,"value":{"n": 1.10}}]"#)
    );
    let decoded = block.json();
    assert_eq!(decoded["number"], 1);
    let transaction = &decoded["transactions"][0];
    assert_eq!(transaction["transactionId"], id);
    assert_eq!(transaction["function"], "put");
    assert_eq!(transaction["creator"]["name"], "client");
    assert!(transaction["decorations"]["quire"].is_string());
    let json = client
        .get(&format!("./transactions/{id}/envelope"))
        .await
        .json();
    assert_eq!(&json, transaction);

    let bytes = client.get_with("./blocks/1", PROTOBUF).await;
    let message = common::Block::decode(bytes.body).unwrap();
    let header = message.header.unwrap();
    assert_eq!(
        hex::encode(&header.previous_hash),
        decoded["previousHash"].as_str().unwrap()
    );
    let hash = decoded["hash"].as_str().unwrap();
    for path in [
        format!("./blocks?hash={hash}"),
        format!("./blocks?transactionId={id}"),
    ] {
        assert_eq!(client.get(&path).await.json(), decoded, "{path}");
    }
    let channel = client.get("/v1/channels/main").await.json();
    assert_eq!(channel["height"], 2);
    assert_eq!(channel["currentBlockHash"], decoded["hash"]);
    assert_eq!(channel["previousBlockHash"], decoded["previousHash"]);
}

#[tokio::test]
async fn blocks_come_in_pages_and_in_forms() {
    let client = Node::new().client();
    for _ in 0..3 {
        client.put("./state/ns/k", &[], "1").await;
    }
    let page = client.get("./blocks?from=1&limit=2").await.json();
    assert_eq!(page["blocks"].as_array().unwrap().len(), 2);
    let bookmark = page["bookmark"].as_str().unwrap();
    for from in ["", "from=1&"] {
        let path = format!("./blocks?{from}limit=5&bookmark={bookmark}");
        let page = client.get(&path).await.json();
        assert_eq!(page["blocks"][0]["number"], 3);
        assert!(page["bookmark"].is_null());
    }
    assert_eq!(
        client.get("./blocks?from=99").await.text(),
        r#"{"blocks":[],"bookmark":null}"#
    );

    for (path, status, code) in [
        ("./blocks/4", 404, "BLOCK_NOT_FOUND"),
        ("./blocks/first", 400, "INVALID_ARGUMENT"),
        ("./blocks?hash=00", 404, "BLOCK_NOT_FOUND"),
        ("./blocks?hash=x", 400, "INVALID_ARGUMENT"),
        ("./blocks?transactionId=x", 404, "TRANSACTION_NOT_FOUND"),
        ("./blocks?transactionId=x&from=1", 400, "INVALID_ARGUMENT"),
        ("./transactions/x", 404, "TRANSACTION_NOT_FOUND"),
        ("./transactions/x/envelope", 404, "TRANSACTION_NOT_FOUND"),
    ] {
        client.get(path).await.assert_problem(status, code);
    }
    let html = client.get_with("./blocks/0", "accept: text/html").await;
    html.assert_problem(406, "NOT_ACCEPTABLE");
    assert_eq!(html.header("vary"), Some("Accept"));
    // A missing resource has two forms too.
    for path in [
        "./blocks/99",
        "./blocks?hash=00",
        "./transactions/00/envelope",
    ] {
        let missing = client.get(path).await;
        missing.assert_status(404);
        assert_eq!(missing.header("vary"), Some("Accept"), "{path}");
    }
    // The first block of the tests holds no envelope; it can be read nevertheless.
    assert_eq!(
        client.get("./blocks/0").await.json()["transactions"][0]["txNumber"],
        0
    );
}

#[tokio::test]
async fn channels_are_listed_and_judged() {
    let client = Node::new().client();
    let list = client.get("/v1/channels").await;
    assert_eq!(list.text(), r#"{"channels":[{"name":"main","height":1}]}"#);
    for (body, status, code) in [
        (r#"{"name":"main"}"#, 409, "CHANNEL_EXISTS"),
        (r#"{"name":"Main"}"#, 400, "INVALID_NAME"),
        (r#"{"nme":"x"}"#, 400, "INVALID_ARGUMENT"),
        ("{", 400, "INVALID_JSON"),
    ] {
        let answer = client.post("/v1/channels", &[], body).await;
        answer.assert_problem(status, code);
    }
    client
        .get("/v1/channels/nowhere")
        .await
        .assert_problem(404, "CHANNEL_NOT_FOUND");
    client
        .get("/v1/channels/No")
        .await
        .assert_problem(400, "INVALID_NAME");
}

#[tokio::test]
async fn operators_get_the_shapes_of_fabric() {
    let node = Node::new();
    let client = node.client();
    let time = "1970-01-01T00:00:00Z";
    let well = format!(r#"{{"status":"OK","time":"{time}"}}"#);
    assert_eq!(client.get("/healthz").await.assert_status(200).text(), well);
    assert_eq!(client.get("/readyz").await.assert_status(200).text(), well);
    let version = client.get("/version").await;
    assert_eq!(version.text(), r#"{"CommitSHA":"abc","Version":"1.2.3"}"#);

    node.failed_checks.lock().push(FailedCheck {
        component: "channel main".into(),
        reason: "storage failed".into(),
    });
    let ill = client.get("/healthz").await;
    assert_eq!(
        ill.assert_status(503).text(),
        format!(
            r#"{{"status":"Service Unavailable","time":"{time}","failed_checks":[{{"component":"channel main","reason":"storage failed"}}]}}"#
        )
    );
    client.get("/readyz").await.assert_status(503);
}
