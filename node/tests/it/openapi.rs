//! The served description of the API: its examples run, and its routes are all there.

use serde_json::Value;
use tempfile::TempDir;

use super::kit::{Client, Node, Request};

/// Sends an operation as the document's examples say; none for streams without end.
fn send_example(
    client: &Client,
    path: &str,
    method: &'static str,
    operation: &Value,
) -> (u16, String) {
    let mut target = path.to_owned();
    let mut query = Vec::new();
    let parameters = operation["parameters"].as_array().unwrap();
    for parameter in parameters {
        let name = parameter["name"].as_str().unwrap();
        let example = parameter["example"].as_str();
        match (parameter["in"].as_str().unwrap(), example) {
            ("path", Some(example)) => target = target.replace(&format!("{{{name}}}"), example),
            ("query", Some(example)) if parameter["required"] == true => {
                query.push(format!("{name}={example}"));
            }
            _ => {}
        }
    }
    if path.ends_with("/events") {
        query.extend(["from=0".to_owned(), "to=0".to_owned()]);
    }
    if !query.is_empty() {
        target = format!("{target}?{}", query.join("&"));
    }
    let content = operation["requestBody"]["content"].as_object();
    let (headers, body) = match content.and_then(|content| content.iter().next()) {
        None => (Vec::new(), String::new()),
        Some((media, content)) => {
            let example = &content["example"];
            assert!(!example.is_null(), "{method} {path} has no example");
            let text = example
                .as_str()
                .map_or_else(|| example.to_string(), str::to_owned);
            (vec![("Content-Type", media.clone())], text)
        }
    };
    let request = Request {
        method,
        path: target,
        headers,
        body,
    };
    let answer = client.send(&request).unwrap();
    (answer.status, answer.text())
}

#[test]
fn every_example_of_the_document_runs_and_gives_a_status_that_it_names() {
    let (data, backups) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let flags = ["--backup-to", backups.path().to_str().unwrap()];
    let node = Node::start_with(data.path(), &flags);
    let client = node.client();
    let document = client.json("/openapi.json");
    assert_eq!(document["openapi"].as_str().unwrap().get(..3), Some("3.1"));
    let paths = document["paths"].as_object().unwrap();
    let mut sent = 0;
    // Writes first, so that there is something to read; the delete last.
    for method in ["put", "post", "patch", "get", "delete"] {
        for (path, item) in paths {
            let operation = &item[method];
            if operation.is_null() {
                continue;
            }
            let verb = match method {
                "post" => "POST",
                "put" => "PUT",
                "patch" => "PATCH",
                "get" => "GET",
                _ => "DELETE",
            };
            let (status, body) = send_example(&client, path, verb, operation);
            let named = &operation["responses"][status.to_string()];
            assert!(
                !named.is_null(),
                "{verb} {path}: {status} is not in the document"
            );
            // Made-up ids and keys are not there; all else is.
            let made_up = path.contains("{id}")
                || path.contains("/chaincodes")
                || path.ends_with("/transactions") && method == "get";
            // Nobody has signed the example's update.
            let is_unsigned = path.ends_with("/config") && status == 403;
            // Nobody was invited.
            let is_stranger = path == "/v1/join" && status == 401;
            assert!(
                status < 300 || made_up && status == 404 || is_unsigned || is_stranger,
                "{verb} {path}: {status} {body}"
            );
            sent += 1;
        }
    }
    let schemes = document["components"]["securitySchemes"]
        .as_object()
        .unwrap();
    let kinds: Vec<_> = schemes.values().map(|one| one["type"].as_str()).collect();
    assert!(kinds.contains(&Some("mutualTLS")), "{kinds:?}");
    for alternative in document["security"].as_array().unwrap() {
        let mut names = alternative.as_object().unwrap().keys();
        assert!(
            names.all(|name| schemes.contains_key(name)),
            "{alternative}"
        );
    }
    println!("{sent} examples");
    assert!(sent >= 20);
    let page = client.get("/docs", "text/html").text();
    assert!(page.contains("/openapi.json"));
    assert!(!page.contains("://"), "the page needs nobody else");
}
