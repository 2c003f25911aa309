//! `configtxlator start`: its routes.

use axum::body::{Body, to_bytes};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, ORIGIN,
};
use axum::http::request::Builder;
use axum::http::{HeaderMap, Request, StatusCode};
use quire_testkit::conformance::read as recorded;
use quire_tools::configtxlator::router;
use tower::ServiceExt as _;

use crate::kit::configtxlator;

/// The answer of a server for pages of these origins.
fn ask(
    origins: &[&str],
    request: Builder,
    body: impl Into<Body>,
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    let request = request.body(body.into()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let response = router(origins).oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (head.status, head.headers, body.to_vec())
    })
}

#[test]
fn messages_are_converted_over_http_as_by_the_command() {
    let bytes = recorded("rules/configtx/bases/genesis.pb");
    let command = configtxlator(&["proto_decode", "--type", "common.Config"], &bytes).done();
    let decode = Request::post("/protolator/decode/common.Config");
    let (status, headers, shown) = ask(&[], decode, bytes.clone());
    assert_eq!(
        (status, &headers[CONTENT_TYPE]),
        (StatusCode::OK, &"application/json".parse().unwrap())
    );
    assert_eq!(shown, command.output);
    let encode = Request::post("/protolator/encode/common.Config");
    let (status, headers, back) = ask(&[], encode, shown);
    assert_eq!(
        (status, &headers[CONTENT_TYPE]),
        (StatusCode::OK, &"application/octet-stream".parse().unwrap())
    );
    assert_eq!(back, bytes);
}

#[test]
fn an_update_is_computed_from_a_form_as_by_the_command() {
    let original = recorded("rules/configtx/bases/genesis.pb");
    let updated = recorded("rules/configtx/bases/with_org3.pb");
    let mut form = Vec::new();
    for (name, content) in [
        ("original", &original),
        ("updated", &updated),
        ("channel", &b"mine".to_vec()),
    ] {
        let file = if name == "channel" {
            ""
        } else {
            "; filename=\"f\""
        };
        let head = format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(content);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(b"--B--\r\n");
    let compute = || {
        let request = Request::post("/configtxlator/compute/update-from-configs");
        request.header(CONTENT_TYPE, "multipart/form-data; boundary=B")
    };
    let (status, _, update) = ask(&[], compute(), form.clone());
    assert_eq!(status, StatusCode::OK);

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("original"), original).unwrap();
    std::fs::write(path("updated"), updated).unwrap();
    let (original, updated) = (path("original"), path("updated"));
    let command = [
        "compute_update",
        "--channel_id",
        "mine",
        "--original",
        &original,
        "--updated",
        &updated,
    ];
    assert_eq!(configtxlator(&command, b"").done().output, update);

    let without = String::from_utf8_lossy(&form).replace("\"updated\"", "\"other\"");
    let (status, _, told) = ask(&[], compute(), without);
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(told.starts_with(b"Error with field 'updated'"));
}

#[test]
fn what_cannot_be_converted_is_refused() {
    let unknown = Request::post("/protolator/decode/common.Colour");
    assert_eq!(ask(&[], unknown, "").0, StatusCode::NOT_FOUND);
    let garbage = Request::post("/protolator/decode/common.Block");
    assert_eq!(ask(&[], garbage, "Garbage").0, StatusCode::BAD_REQUEST);
    let garbage = Request::post("/protolator/encode/common.Block");
    assert_eq!(ask(&[], garbage, "Garbage").0, StatusCode::BAD_REQUEST);
    let read = Request::get("/protolator/decode/common.Block");
    assert_eq!(ask(&[], read, "").0, StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn only_pages_of_origins_that_are_named_may_call() {
    let ask_before = |origins: &[&str], origin: &str| {
        let request = Request::options("/protolator/decode/common.Block");
        let request = request
            .header(ORIGIN, origin)
            .header(ACCESS_CONTROL_REQUEST_METHOD, "POST");
        let (status, headers, _) = ask(origins, request, "");
        let allowed = headers.get(ACCESS_CONTROL_ALLOW_ORIGIN);
        (
            status,
            allowed.map(|origin| origin.to_str().unwrap().to_owned()),
        )
    };
    let mine = "http://mine";
    assert_eq!(
        ask_before(&[mine], mine),
        (StatusCode::OK, Some(mine.to_owned()))
    );
    assert_eq!(
        ask_before(&["*"], mine),
        (StatusCode::OK, Some("*".to_owned()))
    );
    assert_eq!(
        ask_before(&[mine], "http://other"),
        (StatusCode::METHOD_NOT_ALLOWED, None)
    );
    assert_eq!(ask_before(&[], mine).1, None);
    let call = Request::post("/protolator/decode/common.Block").header(ORIGIN, mine);
    let (status, headers, _) = ask(&[mine], call, "");
    assert_eq!(
        (
            status,
            headers[ACCESS_CONTROL_ALLOW_ORIGIN].to_str().unwrap()
        ),
        (StatusCode::OK, mine)
    );
}
