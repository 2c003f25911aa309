//! Nodes of one channel: some order it, and others have their orderers there.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::joining::{Crypto, genesis_at, succeeded, words};
use crate::kit::{Answer, Client, Node, Request, run};

/// Longer than anything here takes.
pub(super) const LONGEST: Duration = Duration::from_secs(60);
pub(super) const CHANNEL: &str = "ours";

/// What is known of the nodes of a channel: their organisations, and where they are.
pub(super) struct Network {
    pub(super) crypto: Crypto,
    /// The addresses of the orderers by gRPC.
    pub(super) orderers: Vec<String>,
    pub(super) block: PathBuf,
}

/// An address where nobody listens.
pub(super) fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

impl Network {
    /// `Org2MSP` orders, at so many addresses; `Org1MSP` submits and endorses.
    pub(super) fn new(orderers: usize) -> Self {
        let orderers = (0..orderers).map(|_| free_address()).collect();
        Self::at(Crypto::new(), orderers)
    }

    pub(super) fn at(crypto: Crypto, orderers: Vec<String>) -> Self {
        let (one, two) = (
            crypto.org("org1").join("msp"),
            crypto.org("org2").join("msp"),
        );
        let (app, order) = (("Org1MSP", &*one), ("Org2MSP", &*two));
        let named: Vec<&str> = orderers.iter().map(String::as_str).collect();
        let block = genesis_at(crypto.0.path(), CHANNEL, app, order, &named);
        Self {
            crypto,
            orderers,
            block,
        }
    }

    pub(super) fn data(&self, name: &str) -> PathBuf {
        self.crypto.0.path().join(name)
    }

    /// The flags of a node of an organisation.
    pub(super) fn flags(&self, org: usize, peer: usize) -> Vec<String> {
        let name = format!("org{org}");
        let peer = self.crypto.msp(&name, &format!("peer{peer}"));
        let user = self.crypto.msp(&name, "User1");
        let id = format!("Org{org}MSP");
        let flags = ["--msp-id", &id, "--msp", &peer, "--client-msp", &user];
        flags.map(str::to_owned).into()
    }

    fn join(&self, name: &str, flags: &[String], further: &[&str]) {
        let block = self.block.to_str().unwrap();
        let join = [
            &["channel", "join", "--block", block],
            &words(flags)[..],
            further,
        ]
        .concat();
        succeeded(&run(&join, &self.data(name)));
    }

    /// Starts the node that orders, at the first address.
    pub(super) fn orderer(&self, further: &[&str]) -> Node {
        self.orderer_at(&self.orderers[0], further)
    }

    pub(super) fn orderer_at(&self, address: &str, further: &[&str]) -> Node {
        let flags = self.flags(2, 0);
        if !self.data("orderer").exists() {
            self.join("orderer", &flags, &[]);
        }
        let listen = ["--grpc-listen", address];
        let flags = [&words(&flags)[..], &listen, further].concat();
        Node::start_with(&self.data("orderer"), &flags)
    }

    /// Starts a node whose orderers are elsewhere.
    pub(super) fn peer(&self, name: &str, further: &[&str]) -> Node {
        let flags = self.flags(1, 0);
        if !self.data(name).exists() {
            self.join(name, &flags, &["--ordering", "remote"]);
        }
        let remote = ["--ordering", "remote", "--grpc-listen", "none"];
        let flags = [&words(&flags)[..], &remote, further].concat();
        Node::start_with(&self.data(name), &flags)
    }

    /// The same in plain.
    pub(super) fn plain_peer(&self, name: &str) -> Node {
        self.peer(name, &["--insecure-plain-orderers"])
    }

    /// `quire check` with everything it can find out.
    pub(super) fn check(&self, name: &str, org: usize) {
        let id = format!("Org{org}MSP");
        let check = ["check", "--signatures", "--revalidate", "--msp-id", &id];
        succeeded(&run(&check, &self.data(name)));
    }
}

/// Asks until the answer is as it is wanted.
pub(super) fn until<T>(what: &str, node: &Node, mut ask: impl FnMut() -> Option<T>) -> T {
    let last = Instant::now() + LONGEST;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < last, "{what}:\n{}", node.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The answer, whatever its status is.
pub(super) fn ask(client: &Client, path: &str) -> Answer {
    client.send(&Request::get(path.to_owned())).unwrap()
}

pub(super) fn height(client: &Client) -> u64 {
    let info = client.json(&format!("/v1/channels/{CHANNEL}"));
    info["height"].as_u64().unwrap()
}

pub(super) fn block(client: &Client, number: u64) -> Value {
    client.json(&format!("/v1/channels/{CHANNEL}/blocks/{number}"))
}

/// A write with an idempotency key.
pub(super) fn write(client: &Client, key: &str) -> Answer {
    let request = Request {
        method: "PUT",
        path: format!("/v1/channels/{CHANNEL}/state/orders/{key}"),
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("idempotency-key", format!("write-{key}")),
        ],
        body: r#"{"n":1}"#.to_owned(),
    };
    client.send(&request).unwrap()
}

/// The same without a look at the node's log.
pub(super) fn written_at(client: &Client, key: &str) {
    let last = Instant::now() + LONGEST;
    loop {
        let answer = write(client, key);
        if answer.status < 300 {
            assert_eq!(answer.json()["code"], "VALID", "{}", answer.text());
            return;
        }
        assert!(Instant::now() < last, "{key}: {}", answer.text());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Writes until it is written.
pub(super) fn written(node: &Node, key: &str) -> Value {
    let client = node.client();
    let answer = until(key, node, || {
        Some(write(&client, key)).filter(|answer| answer.status < 300)
    });
    assert_eq!(answer.json()["code"], "VALID", "{}", answer.text());
    answer.json()
}
