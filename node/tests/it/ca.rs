//! The CA as an operator meets it: its first secret, its registry, what it has revoked. Its clients are in
//! `tests/fabric-ca-clients`.

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::json;

use crate::kit::{Client, Node, Request, check, run};

const LISTEN: [&str; 2] = ["--ca-listen", "127.0.0.1:0"];

/// The address of a node's CA.
fn authority(node: &Node) -> String {
    told(node, "CA ca.QuireMSP is listening on http://")
}

/// What follows a text in a line that the node prints, perhaps not yet.
fn told(node: &Node, before: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let log = node.log();
        let line = log.lines().find_map(|line| line.split_once(before));
        if let Some((_, rest)) = line {
            return rest.to_owned();
        }
        assert!(Instant::now() < deadline, "{log}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Enrolls, and answers with the status.
fn enroll(node: &Node, name: &str, secret: &str) -> u16 {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let request = params.serialize_request(&KeyPair::generate().unwrap());
    let body = json!({"certificate_request": request.unwrap().pem().unwrap()});
    let basic = STANDARD.encode(format!("{name}:{secret}"));
    let request = Request {
        method: "POST",
        path: "/api/v1/enroll".to_owned(),
        headers: vec![("authorization", format!("Basic {basic}"))],
        body: body.to_string(),
    };
    let client = Client::new(&authority(node));
    client.send(&request).unwrap().status
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Starts the node where it must refuse; what it said.
fn refused(data: &Path) -> String {
    let output = run(&["run", "--listen", "127.0.0.1:0"], data);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    stderr(&output)
}

#[test]
fn the_first_secret_is_shown_once_and_the_operator_may_give_another() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let node = Node::start_with(data, &LISTEN);
    let secret = told(&node, "secret of admin at the CA, shown this once: ");
    assert_eq!(enroll(&node, "admin", &secret), 201);
    assert_eq!(enroll(&node, "admin", "adminpw"), 401);
    node.kill();

    let node = Node::start_with(data, &LISTEN);
    assert_eq!(enroll(&node, "admin", &secret), 201);
    assert!(!node.log().contains("shown this once"));
    for _ in 0..10 {
        assert_eq!(enroll(&node, "admin", "guess"), 401);
    }
    assert_eq!(enroll(&node, "admin", &secret), 401, "locked");
    assert!(node.stop().success());

    let given = [&LISTEN[..], &["--ca-admin", "admin:adminpw"]].concat();
    let node = Node::start_with(data, &given);
    assert_eq!(enroll(&node, "admin", &secret), 401);
    assert_eq!(enroll(&node, "admin", "adminpw"), 201);
    assert!(node.stop().success());

    let config = run(&["config", "--ca-admin", "admin:adminpw"], data);
    let printed = String::from_utf8_lossy(&config.stdout).into_owned();
    assert!(printed.contains(r#"ca-admin = "admin:...""#), "{printed}");
    assert!(!printed.contains("adminpw"), "{printed}");
}

#[test]
fn a_registry_that_is_damaged_or_lost_is_named_and_not_made_anew() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let missing = run(&["ca", "crl"], data);
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");
    let node = Node::start_with(data, &LISTEN);
    authority(&node);
    let crl = run(&["ca", "crl"], data);
    assert!(
        crl.stdout.starts_with(b"-----BEGIN X509 CRL-----\n"),
        "{crl:?}"
    );
    assert!(node.stop().success());
    assert!(check(data).status.success());
    // Whatever a start found stands before a sound line.
    assert!(Node::start(data).stop().success());

    let path = data.join("ca/registry");
    let sound = std::fs::read(&path).unwrap();
    let mut damaged = sound.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let said = refused(data);
    assert!(said.contains("ca/registry"), "{said}");
    assert!(said.contains("from a copy"), "{said}");
    let checked = check(data);
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
    assert_eq!(std::fs::read(&path).unwrap(), damaged, "nothing is changed");

    std::fs::remove_file(&path).unwrap();
    let said = refused(data);
    assert!(said.contains("ca/registry"), "{said}");
    assert_eq!(check(data).status.code(), Some(1));
    std::fs::write(&path, &sound).unwrap();
    let node = Node::start_with(data, &LISTEN);
    authority(&node);
    assert!(node.stop().success());
}
