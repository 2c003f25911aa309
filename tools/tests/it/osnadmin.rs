//! `osnadmin`, against an endpoint that keeps what it was asked.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::kit::{Run, configtxgen, cryptogen, now, osnadmin};

/// A request: its first line, the line of its type, and its body.
type Asked = (String, String, Vec<u8>);

/// Answers one request.
fn answer(stream: &mut (impl Read + Write), status: &str, body: &str) -> Asked {
    let mut lines = BufReader::new(&mut *stream);
    let (mut first, mut kind, mut length) = (String::new(), String::new(), 0);
    lines.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let lower = line.trim().to_ascii_lowercase();
        if lower.is_empty() {
            break;
        }
        if let Some(number) = lower.strip_prefix("content-length: ") {
            length = number.parse().unwrap();
        }
        if lower.starts_with("content-type: ") {
            line.trim().clone_into(&mut kind);
        }
    }
    let mut asked = vec![0; length];
    lines.read_exact(&mut asked).unwrap();
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    stream.flush().unwrap();
    (first.trim().to_owned(), kind, asked)
}

/// An endpoint without TLS that answers once.
fn plain(status: &'static str, body: &'static str) -> (String, JoinHandle<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        answer(&mut stream, status, body)
    });
    (address, thread)
}

fn on(address: &str, arguments: &[&str]) -> Run {
    osnadmin(&[arguments, &["-o", address]].concat(), now())
}

#[test]
fn status_and_body_are_printed_as_fabrics_tool_prints_them() {
    let (address, thread) = plain(
        "200 OK",
        r#"{"systemChannel":null,"channels":[{"name":"one"}]}"#,
    );
    let run = on(&address, &["channel", "list"]).done();
    let expected = "Status: 200\n{\n\t\"systemChannel\": null,\n\t\"channels\": [\n\t\t{\n\t\t\t\"name\": \"one\"\n\t\t}\n\t]\n}\n";
    assert_eq!(run.text(), expected);
    assert_eq!(
        thread.join().unwrap().0,
        "GET /participation/v1/channels HTTP/1.1"
    );

    let (address, thread) = plain("404 Not Found", r#"{"error":"no"}"#);
    let run = on(
        &address,
        &["channel", "list", "--channelID", "one", "--no-status"],
    )
    .done();
    assert_eq!(run.text(), "{\n\t\"error\": \"no\"\n}\n");
    assert_eq!(
        thread.join().unwrap().0,
        "GET /participation/v1/channels/one HTTP/1.1"
    );

    let (address, thread) = plain("204 No Content", "");
    let run = on(&address, &["channel", "remove", "-c", "one"]).done();
    assert_eq!(run.text(), "Status: 204\n\n");
    assert_eq!(
        thread.join().unwrap().0,
        "DELETE /participation/v1/channels/one HTTP/1.1"
    );
}

/// A first block of the channel `one`, in a folder.
fn block(folder: &TempDir) -> String {
    fs::create_dir(folder.path().join("msp")).unwrap();
    fs::write(
        folder.path().join("configtx.yaml"),
        include_str!("configtx.yaml"),
    )
    .unwrap();
    let block = folder.path().join("one.block").to_str().unwrap().to_owned();
    let configuration = folder.path().to_str().unwrap();
    let arguments = [
        "-configPath",
        configuration,
        "-profile",
        "SampleInsecureSolo",
        "-channelID",
        "one",
    ];
    configtxgen(&[&arguments[..], &["-outputBlock", &block]].concat(), &[]).done();
    block
}

#[test]
fn a_block_is_sent_as_a_form_and_only_for_its_own_channel() {
    let folder = tempfile::tempdir().unwrap();
    let block = block(&folder);
    let (address, thread) = plain("201 Created", r#"{"name":"one"}"#);
    on(
        &address,
        &[
            "channel",
            "join",
            "--channelID",
            "one",
            "--config-block",
            &block,
        ],
    )
    .done();
    let (first, kind, body) = thread.join().unwrap();
    assert_eq!(first, "POST /participation/v1/channels HTTP/1.1");
    let (_, boundary) = kind.split_once("boundary=").unwrap();
    let start = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"config-block\"; filename=\"config.block\"\r\n"
    );
    assert!(body.starts_with(start.as_bytes()));
    let content = fs::read(&block).unwrap();
    assert!(body.windows(content.len()).any(|window| window == content));

    let other = on(&address, &["channel", "join", "-c", "two", "-b", &block]);
    assert_eq!(other.status, 1);
    let expected = "specified --channelID two does not match channel ID one";
    assert!(other.errors.contains(expected), "{}", other.errors);
}

#[test]
fn a_block_that_is_fetched_goes_to_its_file_unless_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("newest.block");
    let arguments = [
        "channel",
        "fetch",
        "-c",
        "one",
        "-b",
        "newest",
        "-f",
        file.to_str().unwrap(),
    ];
    let (address, thread) = plain("404 Not Found", r#"{"error":"no"}"#);
    assert!(on(&address, &arguments).done().text().contains("\"no\""));
    assert!(!file.exists());
    drop(thread.join());
    let (address, thread) = plain("200 OK", "block");
    assert_eq!(on(&address, &arguments).done().text(), "Status: 200\n");
    assert_eq!(fs::read(&file).unwrap(), b"block");
    let asked = thread.join().unwrap().0;
    assert_eq!(
        asked,
        "GET /participation/v1/channels/one/blocks/newest HTTP/1.1"
    );
}

/// An endpoint with mutual TLS, of the network that `cryptogen` made, which answers once.
fn mutual(network: &Path) -> (String, JoinHandle<bool>) {
    let orderer = network.join("ordererOrganizations/example.com/orderers/orderer.example.com/tls");
    let pem = |file: &str| fs::read(orderer.join(file)).unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&pem("ca.crt")).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(&pem("server.crt")).unwrap()],
            PrivateKeyDer::from_pem_slice(&pem("server.key")).unwrap(),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let mut nothing = [0; 0];
        // The handshake, which a client may end.
        if stream.read(&mut nothing).is_err() || stream.conn.peer_certificates().is_none() {
            return false;
        }
        answer(&mut stream, "200 OK", "{}");
        true
    });
    (format!("localhost:{port}"), thread)
}

#[test]
fn both_ends_of_tls_show_certificates_that_are_judged_as_of_the_shifted_time() {
    let folder = tempfile::tempdir().unwrap();
    let network = folder.path().join("crypto");
    let description = folder.path().join("network.yaml");
    let orderer =
        "OrdererOrgs: [{Domain: example.com, Specs: [{Hostname: orderer, SANS: [localhost]}]}]";
    fs::write(&description, orderer).unwrap();
    let (output, config) = (network.to_str().unwrap(), description.to_str().unwrap());
    cryptogen(&["generate", "--output", output, "--config", config]).done();
    let admin = network.join("ordererOrganizations/example.com/users/Admin@example.com/tls");
    let file = |name: &str| admin.join(name).to_str().unwrap().to_owned();
    let (authority, certificate, key) = (file("ca.crt"), file("client.crt"), file("client.key"));
    let tls = [
        "--ca-file",
        &authority,
        "--client-cert",
        &certificate,
        "--client-key",
        &key,
    ];

    let asked = |arguments: &[&str], now: SystemTime| {
        let (address, thread) = mutual(&network);
        let all = [arguments, &["--orderer-address", &address], &tls].concat();
        (osnadmin(&all, now), thread.join().unwrap())
    };
    // The endpoint judges by its own clock, which is within the ten years of these certificates.
    let (run, answered) = asked(&["channel", "list"], now());
    assert!(answered);
    assert_eq!(run.done().text(), "Status: 200\n{}\n");
    let late = now() + Duration::from_secs(11 * 366 * 24 * 60 * 60);
    let (run, answered) = asked(&["channel", "list"], late);
    assert!(!answered);
    assert!(run.errors.contains("expired"), "{}", run.errors);
    let file = folder.path().join("block");
    let fetch = [
        "channel",
        "fetch",
        "-c",
        "one",
        "-b",
        "0",
        "-f",
        file.to_str().unwrap(),
    ];
    let (run, answered) = asked(&[&fetch[..], &["-t", "96624h"]].concat(), late);
    assert!(answered);
    run.done();
}

#[test]
fn what_is_missing_is_named() {
    let cases: [(&[&str], &str); 4] = [
        (&["channel", "list"], "--orderer-address is needed"),
        (
            &["channel", "list", "-o", "x:1", "--ca-file", "/nowhere"],
            "/nowhere",
        ),
        (
            &["channel", "join", "-o", "x:1", "-c", "one"],
            "--config-block",
        ),
        (
            &[
                "channel", "fetch", "-o", "x:1", "-c", "one", "-b", "last", "-f", "f",
            ],
            "neither newest",
        ),
    ];
    for (arguments, reason) in cases {
        let run = osnadmin(arguments, now());
        assert_eq!(run.status, 1, "{arguments:?}");
        assert!(run.errors.contains(reason), "{arguments:?}: {}", run.errors);
    }
}
