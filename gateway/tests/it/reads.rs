//! Reads of state and history.

use crate::kit::Node;

#[tokio::test]
async fn a_value_comes_back_byte_for_byte_with_its_tag() {
    let client = Node::new().client();
    let text = " {\"b\": 1.10, \"a\": 123456789012345678901234567890}\n";
    let written = client.put("./state/ns/a%2Fb+c", &[], text).await;
    written.assert_status(201);
    let value = client.get("./state/ns/a%2Fb+c").await;
    value.assert_status(200);
    assert_eq!(value.text(), text);
    assert_eq!(value.header("etag"), Some("\"1.0\""));
    assert_eq!(value.header("content-type"), Some("application/json"));
    assert_eq!(value.header("quire-height"), Some("2"));
    assert_eq!(value.header("cache-control"), Some("no-cache"));
    let id = written.json()["transactionId"].as_str().unwrap().to_owned();
    assert_eq!(value.header("quire-transaction-id"), Some(id.as_str()));

    let head = client.send("HEAD", "./state/ns/a%2Fb+c", &[], "").await;
    head.assert_status(200);
    assert_eq!(head.headers["etag"], value.headers["etag"]);
    assert_eq!(
        head.header("content-length"),
        Some(text.len().to_string().as_str())
    );
    assert!(head.body.is_empty());

    for tag in ["\"1.0\"", "W/\"1.0\"", "\"0.0\", \"1.0\"", "*"] {
        let cached = client
            .get_with("./state/ns/a%2Fb+c", &format!("if-none-match: {tag}"))
            .await;
        cached.assert_status(304);
        assert!(cached.body.is_empty());
        assert_eq!(cached.header("etag"), Some("\"1.0\""));
    }
    let changed = client
        .get_with("./state/ns/a%2Fb+c", "if-none-match: \"0.0\"")
        .await;
    changed.assert_status(200);
}

#[tokio::test]
async fn reads_take_names_that_writes_refuse() {
    let client = Node::new().client();
    for path in [
        "./state/~/k",
        "./state/_lifecycle/k",
        "./state/ns/%00a",
        "./state/ns/_x",
    ] {
        let answer = client.get(path).await;
        answer.assert_problem(404, "KEY_NOT_FOUND");
        assert_eq!(answer.header("quire-height"), Some("1"), "{path}");
        client
            .put(path, &[], "1")
            .await
            .assert_problem(400, "INVALID_NAME");
    }
    client
        .get("./state/ns/")
        .await
        .assert_problem(400, "INVALID_NAME");
    assert_eq!(
        client.get("./state/~").await.text(),
        r#"{"rows":[],"bookmark":null}"#
    );
}

#[tokio::test]
async fn pages_follow_each_other_to_the_end() {
    let client = Node::new().client();
    for key in ["a", "b", "b%00x", "c", "d"] {
        client
            .put(&format!("./state/ns/{key}"), &[], "{\"n\": 1.0}")
            .await
            .assert_status(201);
    }
    client
        .put("./state/other/z", &[], "1")
        .await
        .assert_status(201);

    let mut keys = Vec::new();
    let mut path = "./state/ns?limit=2&end=d".to_owned();
    loop {
        let page = client.get(&path).await;
        page.assert_status(200);
        let page = page.json();
        let rows = page["rows"].as_array().unwrap();
        keys.extend(
            rows.iter()
                .map(|row| row["key"].as_str().unwrap().to_owned()),
        );
        let Some(bookmark) = page["bookmark"].as_str() else {
            break;
        };
        path = format!("./state/ns?limit=2&end=d&bookmark={bookmark}");
    }
    assert_eq!(keys, ["a", "b", "b\0x", "c"]);
    let page = client.get("./state/ns?start=c").await;
    assert_eq!(
        page.text(),
        r#"{"rows":[{"key":"c","version":"4.0","value":{"n": 1.0}},{"key":"d","version":"5.0","value":{"n": 1.0}}],"bookmark":null}"#
    );
    let nothing = client.get("./state/ns?start=d&end=a").await;
    assert_eq!(nothing.text(), r#"{"rows":[],"bookmark":null}"#);
    let namespaces = client.get("./state").await;
    assert_eq!(
        namespaces.text(),
        r#"{"namespaces":[{"name":"ns","keys":5,"exact":true},{"name":"other","keys":1,"exact":true}]}"#
    );
    for query in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "limt=5",
        "bookmark=x",
        "limit=1&limit=2",
    ] {
        let answer = client.get(&format!("./state/ns?{query}")).await;
        answer.assert_problem(400, "INVALID_ARGUMENT");
    }
}

#[tokio::test]
async fn history_tells_every_value_in_both_orders() {
    let client = Node::new().client();
    let key = "./state/ns/k";
    for value in ["1", "{\"a\": 2}"] {
        client.put(key, &[], value).await;
    }
    client.delete(key, &[]).await.assert_status(200);
    client.put(key, &[], "null").await.assert_status(201);

    let newest = client.get("./history/ns/k").await;
    newest.assert_status(200);
    assert_eq!(newest.header("quire-height"), Some("5"));
    let entries = newest.json()["entries"].clone();
    let blocks: Vec<_> = entries
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["blockNumber"].clone())
        .collect();
    assert_eq!(blocks, [4, 3, 2, 1]);
    assert_eq!(entries[1]["isDelete"], true);
    assert!(entries[1]["value"].is_null());
    assert_eq!(entries[0]["isDelete"], false);
    assert_eq!(entries[3]["timestamp"], "2027-01-15T08:00:00Z");
    for entry in entries.as_array().unwrap() {
        assert_eq!(entry["creator"], "client");
        assert_eq!(entry["creatorMspId"], "TestOrg");
    }
    assert!(newest.text().contains(r#""value":{"a": 2}"#));

    let mut blocks = Vec::new();
    let mut path = "./history/ns/k?order=asc&limit=3".to_owned();
    loop {
        let page = client.get(&path).await.json();
        let entries = page["entries"].as_array().unwrap();
        blocks.extend(
            entries
                .iter()
                .map(|entry| entry["blockNumber"].as_u64().unwrap()),
        );
        let Some(bookmark) = page["bookmark"].as_str() else {
            break;
        };
        path = format!("./history/ns/k?order=asc&limit=3&bookmark={bookmark}");
    }
    assert_eq!(blocks, [1, 2, 3, 4]);
    let answer = client.get("./history/ns/k?order=up").await;
    answer.assert_problem(400, "INVALID_ARGUMENT");
    let never = client.get("./history/ns/never").await;
    assert_eq!(never.text(), r#"{"entries":[],"bookmark":null}"#);
}
