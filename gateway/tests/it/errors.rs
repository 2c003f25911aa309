//! Every error is a problem document, including errors of the framework.

use axum::body::Body;

use quire_gateway::{Cors, Limits};

use crate::kit::Node;

#[tokio::test]
async fn the_frameworks_own_errors_are_problems_too() {
    let client = Node::new().client();
    for (method, path, status, code) in [
        ("GET", "/", 404, "ROUTE_NOT_FOUND"),
        ("GET", "/v1/channels/", 404, "ROUTE_NOT_FOUND"),
        ("GET", "/v1/channels/main/nothing", 404, "ROUTE_NOT_FOUND"),
        ("POST", "./state/ns/k", 405, "METHOD_NOT_ALLOWED"),
        ("DELETE", "./transactions", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "./evaluate", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "./state/ns/%zz", 400, "INVALID_NAME"),
        ("GET", "./state/ns/%ff", 400, "INVALID_NAME"),
        ("GET", "./state/%ff/k", 400, "INVALID_NAME"),
        ("GET", "/v1/channels/%ff/state", 400, "INVALID_NAME"),
        ("PUT", "./state/ns/%f", 400, "INVALID_NAME"),
        ("GET", "./transactions/%ff", 400, "INVALID_NAME"),
        ("GET", "./state/ns/k?x=1", 400, "INVALID_ARGUMENT"),
    ] {
        let answer = client.send(method, path, &[], Body::empty()).await;
        answer.assert_problem(status, code);
        assert_eq!(
            answer.header("allow").is_some(),
            status == 405,
            "{answer:?}"
        );
    }
}

const PUT: &str = "PUT ./state/ns/k";

#[tokio::test]
async fn bodies_and_headers_are_of_their_kind() {
    let client = Node::new().client();
    let (json, text) = ("content-type: application/json", "content-type: text/plain");
    let argument = (400, "INVALID_ARGUMENT");
    let media = (415, "UNSUPPORTED_MEDIA_TYPE");
    for (route, headers, body, expected) in [
        (PUT, &[text][..], "1", media),
        (PUT, &[], "1", media),
        ("PATCH ./state/ns/k", &[json], "{}", media),
        ("POST ./transactions", &[], "{}", media),
        ("POST ./evaluate", &[text], "{}", media),
        ("DELETE ./state/ns/k", &[json], r#"{"a":1}"#, argument),
        (PUT, &[json], "", (400, "INVALID_JSON")),
        (PUT, &[json], r#"{"_id":1}"#, (400, "RESERVED_MEMBER")),
        (PUT, &[json, "prefer: wait=x"], "1", argument),
        (PUT, &[json, "if-match: 1.0"], "1", argument),
        (PUT, &[json, "idempotency-key: a b"], "1", argument),
    ] {
        let (method, path) = route.split_once(' ').unwrap();
        let answer = client.send(method, path, headers, body).await;
        answer.assert_problem(expected.0, expected.1);
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let client = Node::new().client();
    let json = "content-type: application/json";
    let promised = [json, "content-length: 9999999"];
    let answer = client.send("PUT", "./state/ns/k", &promised, "1").await;
    answer.assert_problem(413, "TOO_LARGE");
    let large = vec![b' '; (8 << 20) + 1];
    let answer = client.send("PUT", "./state/ns/k", &[json], large).await;
    answer.assert_problem(413, "TOO_LARGE");
    let value = format!("\"{}\"", "x".repeat(1 << 20));
    let answer = client.put("./state/ns/k", &[], &value).await;
    answer.assert_problem(413, "TOO_LARGE");
    let header = format!("x-filler: {}", "x".repeat(70_000));
    let answer = client.get_with("/healthz", &header).await;
    answer.assert_problem(431, "HEADERS_TOO_LARGE");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_408() {
    struct Never;
    impl axum::body::HttpBody for Never {
        type Data = bytes::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }
    let client = Node::new().client();
    let json = "content-type: application/json";
    let answer = client
        .send("PUT", "./state/ns/k", &[json], Body::new(Never))
        .await;
    answer.assert_problem(408, "REQUEST_TIMEOUT");
}

#[tokio::test]
async fn sane_request_ids_are_echoed() {
    let client = Node::new().client();
    let longest = "a".repeat(128);
    for id in ["abc-1", longest.as_str()] {
        let answer = client
            .get_with("/nowhere", &format!("x-request-id: {id}"))
            .await;
        assert_eq!(answer.header("x-request-id"), Some(id));
    }
    let mut seen = Vec::new();
    for id in ["a b", "", &"a".repeat(129)] {
        let answer = client
            .get_with("/version", &format!("x-request-id: {id}"))
            .await;
        let new = answer.header("x-request-id").unwrap().to_owned();
        assert_eq!(new.len(), 32);
        assert_ne!(new, id);
        seen.push(new);
    }
    seen.dedup();
    assert_eq!(seen.len(), 3);
}

#[tokio::test]
async fn strangers_are_refused_while_nobody_has_a_token() {
    let client = Node::new().client();
    for header in [
        "host: elsewhere.example",
        "origin: http://elsewhere.example",
        "forwarded: for=1.2.3.4",
    ] {
        client
            .get_with("/v1/channels", header)
            .await
            .assert_problem(403, "FORBIDDEN");
    }
}

#[tokio::test]
async fn a_key_called_events_is_not_an_event_stream_to_the_bound_on_requests() {
    let limits = Limits {
        requests: 0,
        ..Limits::default()
    };
    let client = Node::new().client_with(limits, Cors::default());
    for key in ["k", "events"] {
        let answer = client.put(&format!("./state/ns/{key}"), &[], "1").await;
        answer.assert_problem(503, "OVERLOADED");
    }
    let stream = client.get("./events?from=0&to=0").await;
    assert_eq!(stream.status, 200, "{stream:?}");
}
