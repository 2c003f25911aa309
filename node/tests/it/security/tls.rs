//! TLS, with the clients that people use: curl, and for what is no TLS a bare socket.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair,
};
use tempfile::TempDir;

use super::{create, make};
use crate::kit::exchange;
use crate::kit::{Node, run};

/// An authority in a folder, with what it signs.
struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(dir: &Path) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = named("test authority");
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(dir.join("ca.pem"), certificate.pem()).unwrap();
        Self {
            dir: dir.to_owned(),
            issuer: Issuer::new(params, key),
        }
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().to_owned()
    }

    /// Signs a certificate, and writes it and its key.
    fn sign(&self, name: &str, usage: ExtendedKeyUsagePurpose) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name = named(name);
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

/// `curl`, trusting the authority; status and body, or curl's own failure.
fn curl(authority: &Authority, node: &Node, path: &str, arguments: &[&str]) -> Output {
    Command::new("curl")
        .args([
            "-s",
            "-S",
            "-w",
            "\n%{http_code} %{http_version}",
            "--cacert",
        ])
        .arg(authority.path("ca.pem"))
        .args(arguments)
        .arg(format!("https://{}{path}", node.address()))
        .output()
        .unwrap()
}

fn status(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    text.lines().last().unwrap().to_owned()
}

/// curl's flags to show a certificate.
fn certificate_of(authority: &Authority, name: &str) -> [String; 4] {
    let files = [format!("{name}.pem"), format!("{name}.key")];
    let [cert, key] = files.map(|file| authority.path(&file));
    ["--cert".to_owned(), cert, "--key".to_owned(), key]
}

#[test]
fn tls_carries_tokens_and_client_certificates() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let authority = Authority::new(&dir.path().join("ca"));
    let stranger = Authority::new(&dir.path().join("stranger"));
    authority.sign("server", ExtendedKeyUsagePurpose::ServerAuth);
    for name in ["shop", "nobody"] {
        authority.sign(name, ExtendedKeyUsagePurpose::ClientAuth);
    }
    stranger.sign("shop", ExtendedKeyUsagePurpose::ClientAuth);
    let [cert, key] = ["server.pem", "server.key"].map(|name| authority.path(name));
    let client_ca = authority.path("ca.pem");
    let tls = [
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
        "--tls-client-ca",
        &client_ca,
    ];
    let node = Node::start_with(&data, &tls);
    let secret = create(&data, "--identity clerk --role reader");
    let nothing = create(
        &data,
        "--identity shop --role writer --channel main --client-certificate",
    );
    assert_eq!(nothing, "", "a certificate needs no secret");

    let path = "/v1/channels/main";
    let bearer = format!("Authorization: Bearer {secret}");
    assert_eq!(status(&curl(&authority, &node, path, &[])), "401 2");
    assert_eq!(
        status(&curl(&authority, &node, path, &["-H", &bearer])),
        "200 2"
    );
    let one = ["--http1.1", "-u", &format!("anybody:{secret}")];
    assert_eq!(status(&curl(&authority, &node, path, &one)), "200 1.1");

    let with = |who: &[String], path: &str, more: &[&str]| {
        let who = who.iter().map(String::as_str);
        let all: Vec<_> = who.chain(more.iter().copied()).collect();
        curl(&authority, &node, path, &all)
    };
    let shop = certificate_of(&authority, "shop");
    let put = [
        "-X",
        "PUT",
        "-d",
        "1",
        "-H",
        "Content-Type: application/json",
    ];
    let order = "/v1/channels/main/state/orders/1";
    assert_eq!(status(&with(&shop, order, &put)), "201 2");
    let blocks = with(&shop, "/v1/channels/main/blocks/1", &[]);
    assert!(String::from_utf8_lossy(&blocks.stdout).contains("\"shop\""));
    assert_eq!(status(&with(&shop, "/v1/channels/other", &[])), "403 2");
    // A token that is shown counts, and not the certificate.
    let both = [&put[..], &["-H", &bearer]].concat();
    assert_eq!(status(&with(&shop, order, &both)), "403 2");
    let nobody = certificate_of(&authority, "nobody");
    assert_eq!(status(&with(&nobody, path, &[])), "403 2");
    let forged = with(&certificate_of(&stranger, "shop"), path, &[]);
    assert!(!forged.status.success(), "{:?}", status(&forged));

    let id = super::token(&data, &["list"]);
    let id = id
        .lines()
        .find(|line| line.contains("client certificate"))
        .unwrap();
    super::token(&data, &["revoke", id.split('\t').next().unwrap()]);
    assert_eq!(status(&with(&shop, path, &[])), "403 2");
    assert!(node.stop().success());
}

#[test]
fn plain_http_on_the_tls_port_is_told_so_and_harms_nobody() {
    let dir = TempDir::new().unwrap();
    let authority = Authority::new(&dir.path().join("ca"));
    authority.sign("server", ExtendedKeyUsagePurpose::ServerAuth);
    let [cert, key] = ["server.pem", "server.key"].map(|name| authority.path(name));
    let node = Node::start_with(
        &dir.path().join("data"),
        &["--tls-cert", &cert, "--tls-key", &key],
    );
    let get = "GET /v1/channels HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_owned();
    let post = format!(
        "POST /v1/channels/main/transactions HTTP/1.1\r\nHost: 127.0.0.1\r\n\
         Content-Length: 40000\r\n\r\n{}",
        "x".repeat(40_000)
    );
    for request in [get, post] {
        let answer = exchange(node.address(), request.as_bytes());
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
        assert!(answer.contains("application/problem+json"), "{answer}");
        assert!(answer.contains("This port speaks HTTPS"), "{answer}");
    }
    // Nor does a handshake that never ends keep others waiting.
    let idle: Vec<_> = (0..50)
        .map(|_| std::net::TcpStream::connect(node.address()).unwrap())
        .collect();
    exchange(node.address(), b"\x16\x03\x01\xff\xffnonsense");
    assert_eq!(
        status(&curl(&authority, &node, "/v1/channels", &[])),
        "200 2"
    );
    drop(idle);
    assert!(node.stop().success());
}

#[test]
fn nothing_but_loopback_is_served_without_tokens_and_tls_unless_asked_for_by_name() {
    let data = TempDir::new().unwrap();
    let refused = |arguments: &[&str]| {
        let everywhere = ["run", "--listen", "0.0.0.0:0"];
        let run = run(&[&everywhere[..], arguments].concat(), data.path());
        assert_eq!(run.status.code(), Some(2), "{arguments:?}");
        String::from_utf8(run.stderr).unwrap()
    };
    let errors = refused(&[]);
    assert!(errors.contains("quire token create"), "{errors}");
    assert!(
        !data.path().join("channels").exists(),
        "it did not even begin"
    );
    make(data.path());
    create(data.path(), "--identity shop --role writer");
    let errors = refused(&[]);
    assert!(errors.contains("--insecure-plain-http"), "{errors}");
    // The operations take an admin's token, and are no less exposed.
    let operations = ["run", "--operations-listen", "0.0.0.0:0"];
    let run = run(&operations, data.path());
    assert_eq!(run.status.code(), Some(2), "{run:?}");
    let errors = String::from_utf8(run.stderr).unwrap();
    assert!(errors.contains("--insecure-plain-http"), "{errors}");
}
