//! Who gets in, and what a stranger can do: credentials on a running node, TLS, and requests made to
//! harm.

mod browser;
mod chaincodes;
mod everywhere;
mod hostile;
mod streams;
mod tls;
mod tokens;

use std::path::Path;
use std::process::Output;

use super::kit::{Answer, Client, Request, run};

/// `quire token ARGUMENTS --data DATA`.
fn token_command(data: &Path, arguments: &[&str]) -> Output {
    let arguments: Vec<_> = ["token"].iter().chain(arguments).copied().collect();
    run(&arguments, data)
}

/// The same, which must succeed; what it prints.
fn token(data: &Path, arguments: &[&str]) -> String {
    let output = token_command(data, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "token {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Makes a token; the arguments are separated by white space.
fn create(data: &Path, arguments: &str) -> String {
    let arguments: Vec<_> = ["create"]
        .into_iter()
        .chain(arguments.split_whitespace())
        .collect();
    token(data, &arguments)
}

/// Makes a data directory without a start: a node that others are to reach needs a token before it.
fn make(data: &Path) {
    let output = run(&["channel", "create", "main"], data);
    assert!(output.status.success(), "{output:?}");
}

/// The id inside of a token.
fn id(token: &str) -> &str {
    token.split('_').nth(1).unwrap()
}

/// Sends a request that shows a token, or none.
fn send(client: &Client, route: &str, token: &str, body: &str) -> Answer {
    send_with(client, route, token, &[], body)
}

fn send_with(
    client: &Client,
    route: &str,
    token: &str,
    more: &[(&'static str, &str)],
    body: &str,
) -> Answer {
    let (method, path) = route.split_once(' ').unwrap();
    let method = ["GET", "PUT", "POST", "PATCH", "DELETE"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap();
    let mut headers: Vec<_> = more
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    if !body.is_empty() {
        headers.push(("Content-Type", "application/json".to_owned()));
    }
    if !token.is_empty() {
        headers.push(("Authorization", format!("Bearer {token}")));
    }
    let request = Request {
        method,
        path: path.to_owned(),
        headers,
        body: body.to_owned(),
    };
    client.send(&request).unwrap()
}

/// Status and code of a problem document.
fn problem(answer: &Answer) -> (u16, String) {
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{}: {}",
        answer.status,
        answer.text()
    );
    let code = answer.json()["code"].as_str().unwrap().to_owned();
    (answer.status, code)
}

fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(
        problem(answer),
        (status, code.to_owned()),
        "{}",
        answer.text()
    );
}
