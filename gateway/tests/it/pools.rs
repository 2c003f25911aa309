//! Threads of pools: callers who ask for much, or have stopped asking, do not hinder the rest of the node.

use std::time::Duration;

use quire_gateway::{Cors, Limits, PoolSizes};
use tokio::time::{sleep, timeout};

use crate::kit::{Client, Node};

/// Longer than this would be for ever.
const FOR_EVER: Duration = Duration::from_secs(60);
const IN_FLIGHT: &str = "quire_gateway_requests_in_flight";
const BUSY: &str = "quire_pool_busy{pool=\"queries\"}";
const WAITING: &str = "quire_pool_waiting{pool=\"queries\"}";

/// The value of a metric. The request that asks is in flight itself.
async fn metric(client: &Client, name: &str) -> i64 {
    let metrics = client.get("/metrics").await;
    let mut lines = metrics.assert_status(200).text().lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap().parse().unwrap()
}

async fn until(client: &Client, name: &str, value: i64) {
    let comes = async {
        while metric(client, name).await != value {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let come = timeout(FOR_EVER, comes).await;
    come.unwrap_or_else(|_| panic!("{name} is never {value}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_whose_callers_hang_up_have_few_threads_and_are_counted_until_they_end() {
    let node = Node::new();
    let limits = Limits {
        requests: 200,
        pools: PoolSizes {
            work: 2,
            queries: 2,
            changes: 1,
            health: 1,
        },
        ..Limits::default()
    };
    let client = node.client_with(limits, Cors::default());
    client
        .put("./state/orders/1", &[], "1")
        .await
        .assert_status(201);

    node.orderer.hold_evaluations();
    let find = r#"{"chaincode":"orders","function":"find","args":[{"selector":{}}]}"#;
    let asked = (0..60).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.post("./evaluate", &[], find).await })
    });
    let asked: Vec<_> = asked.collect();
    until(&client, BUSY, 2).await;
    until(&client, WAITING, 58).await;
    assert_eq!(metric(&client, IN_FLIGHT).await, 61);
    for asked in asked {
        asked.abort();
    }
    until(&client, WAITING, 0).await;
    // The two that were begun go on, and are answered.
    until(&client, IN_FLIGHT, 3).await;
    assert_eq!(metric(&client, BUSY).await, 2);

    // Nobody else waits for them.
    let others = async {
        client
            .put("./state/orders/2", &[], "2")
            .await
            .assert_status(201);
        client.get("./state/orders/2").await.assert_status(200);
        client.get("./history/orders/1").await.assert_status(200);
        client.get("/healthz").await.assert_status(200);
    };
    timeout(FOR_EVER, others).await.expect("answers");
    let time = ["prefer: wait=1"];
    let refused = client.post("./evaluate", &time, find).await;
    refused.assert_problem(503, "OVERLOADED");
    assert_eq!(refused.header("retry-after"), Some("1"));

    node.orderer.release_evaluations();
    until(&client, IN_FLIGHT, 1).await;
    assert_eq!(metric(&client, BUSY).await, 0);
    client
        .post("./evaluate", &[], find)
        .await
        .assert_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_the_places_are_for_other_requests_than_queries() {
    let node = Node::new();
    let limits = Limits {
        requests: 10,
        pools: PoolSizes::of_processors(1),
        ..Limits::default()
    };
    let client = node.client_with(limits, Cors::default());
    node.orderer.hold_evaluations();
    let find = r#"{"chaincode":"orders","function":"find","args":[{"selector":{}}]}"#;
    let asked = (0..5).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.post("./evaluate", &[], find).await })
    });
    let asked: Vec<_> = asked.collect();
    until(&client, WAITING, 4).await;
    let refused = client.post("./evaluate", &[], find).await;
    refused.assert_problem(503, "OVERLOADED");
    client
        .put("./state/orders/1", &[], "1")
        .await
        .assert_status(201);
    node.orderer.release_evaluations();
    for asked in asked {
        timeout(FOR_EVER, asked)
            .await
            .unwrap()
            .unwrap()
            .assert_status(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_answered_from_the_record_though_all_threads_for_queries_are_taken() {
    let node = Node::new();
    let limits = Limits {
        pools: PoolSizes::of_processors(1),
        ..Limits::default()
    };
    let client = node.client_with(limits, Cors::default());
    let find = r#"{"chaincode":"orders","function":"find","args":[{"selector":{}}]}"#;
    let key = ["idempotency-key: k"];
    let first = client.post("./transactions", &key, find).await;
    first.assert_status(201);

    node.orderer.hold_evaluations();
    let asked = {
        let client = client.clone();
        tokio::spawn(async move { client.post("./evaluate", &[], find).await })
    };
    until(&client, BUSY, 1).await;
    let again = client.post("./transactions", &key, find).await;
    node.orderer.release_evaluations();
    asked.await.unwrap().assert_status(200);
    again.assert_status(201);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.json(), first.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_whose_chaincode_waits_for_somebody_else_take_no_thread_of_any_pool() {
    const CALLS: usize = 100;
    let node = Node::new();
    let limits = Limits {
        pools: PoolSizes {
            work: 1,
            queries: 1,
            changes: 1,
            health: 1,
        },
        ..Limits::default()
    };
    let client = node.client_with(limits, Cors::default());
    let asked = (0..CALLS).map(|n| {
        let client = client.clone();
        let put = format!(r#"{{"chaincode":"slow","function":"put","args":["{n}",{n}]}}"#);
        tokio::spawn(async move {
            let to = if n % 2 == 0 {
                "./transactions"
            } else {
                "./evaluate"
            };
            client.post(to, &[], &put).await
        })
    });
    let asked: Vec<_> = asked.collect();
    until(&client, IN_FLIGHT, 101).await;
    // All of them wait, and nobody else waits for them.
    let others = async {
        let find = r#"{"chaincode":"orders","function":"find","args":[{"selector":{}}]}"#;
        client
            .post("./evaluate", &[], find)
            .await
            .assert_status(200);
        client
            .put("./state/orders/1", &[], "1")
            .await
            .assert_status(201);
    };
    timeout(FOR_EVER, others).await.expect("answers");
    assert_eq!(metric(&client, BUSY).await, 0);
    assert_eq!(metric(&client, IN_FLIGHT).await, 101);
    // The single query thread is enough for their scans.
    node.orderer.answer_slow_calls();
    for (n, asked) in asked.into_iter().enumerate() {
        let answer = timeout(FOR_EVER, asked).await.unwrap().unwrap();
        answer.assert_status(if n % 2 == 0 { 201 } else { 200 });
    }
    let written = client.get("./state/slow/98").await;
    assert_eq!(written.assert_status(200).text(), "98");
    let never_ordered = client.get("./state/slow/99").await;
    never_ordered.assert_problem(404, "KEY_NOT_FOUND");
}
