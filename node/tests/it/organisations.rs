//! The life of a channel with three organisations, by the command line, killed after every step: what the
//! right majority signed is in force from its block on, and what it did not sign changes nothing.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::kit::{Node, Request, run};

const ENDORSEMENT: &str = "/Channel/Application/Endorsement";

/// An organisation with a data directory of its own, perhaps the channel's node.
struct Organisation {
    msp_id: &'static str,
    data: PathBuf,
}

impl Organisation {
    fn new(folder: &Path, msp_id: &'static str) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let data = folder.join(msp_id);
        let made = Self { msp_id, data };
        made.run(&["channel", "create", "main"]);
        made
    }

    /// A command that succeeds; what it printed.
    fn run(&self, arguments: &[&str]) -> String {
        let (code, told) = self.tries(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {told}");
        told
    }

    fn tries(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = run(
            &[arguments, &["--msp-id", self.msp_id]].concat(),
            &self.data,
        );
        let told = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&told).into_owned(),
        )
    }

    fn export(&self, folder: &Path) -> String {
        let file = folder.join(format!("{}.json", self.msp_id));
        let file = file.to_str().unwrap().to_owned();
        self.run(&["org", "export", &file]);
        file
    }

    fn start(&self) -> Node {
        let flags = ["--msp-id", self.msp_id, "--ca-listen", "127.0.0.1:0"];
        Node::start_with(&self.data, &flags)
    }
}

/// The node of the channel, and those who sign with it.
struct Network {
    first: Organisation,
    others: Vec<Organisation>,
    node: Option<Node>,
    folder: tempfile::TempDir,
}

impl Network {
    /// Changes the configuration by a command, signed by the first organisation and by these others; refused
    /// without each of them. The node is killed behind it.
    fn change(&mut self, arguments: &[&str], signers: &[usize]) {
        let update = self.folder.path().join("update.pb");
        let update = update.to_str().unwrap();
        let before = self.sequence();
        let arguments = [&["channel"], arguments, &["--channel", "main"]].concat();
        self.first
            .run(&[&arguments[..], &["--output", update]].concat());
        for signer in signers {
            let (code, told) = self.first.tries(&["channel", "submit", update]);
            assert_eq!(code, Some(2), "{told}");
            assert!(told.contains("the signatures do not suffice"), "{told}");
            assert_eq!(self.sequence(), before);
            self.others[*signer].run(&["channel", "sign", update]);
        }
        let told = self.first.run(&["channel", "submit", update]);
        assert!(told.contains("is in force from block"), "{told}");
        self.kill_and_start();
        assert_eq!(self.sequence(), before + 1);
    }

    fn kill_and_start(&mut self) {
        if let Some(node) = self.node.take() {
            node.kill();
        }
        self.node = Some(self.first.start());
    }

    fn node(&self) -> &Node {
        self.node.as_ref().unwrap()
    }

    fn config(&self) -> Value {
        self.node().client().json("/v1/channels/main/config")
    }

    fn sequence(&self) -> u64 {
        // A number of 64 bits is a string in protobuf's JSON.
        self.config()["sequence"].as_str().unwrap().parse().unwrap()
    }

    /// Puts a document; its status and code.
    fn put(&self, key: &str) -> (u16, String) {
        let request = Request {
            method: "PUT",
            path: format!("/v1/channels/main/state/orders/{key}"),
            headers: vec![("content-type", "application/json".to_owned())],
            body: json!({"n": 1}).to_string(),
        };
        let answer = self.node().client().send(&request).unwrap();
        let code = answer.json()["code"].as_str().unwrap().to_owned();
        (answer.status, code)
    }

    /// Another CA in the place of the second organisation's, which that one signs itself. Whom the old one
    /// made does not count from there on.
    fn renew_the_second(&mut self) {
        let place = self.folder.path().to_owned();
        let renewed = Organisation::new(&place.join("renewed"), "Org2MSP");
        let file = renewed.export(&place.join("renewed"));
        self.change(&["org", "update", &file], &[0]);
        let old = std::mem::replace(&mut self.others[0], renewed);
        let update = place.join("old.pb");
        let update = update.to_str().unwrap();
        let set = [
            "channel",
            "policy",
            "set",
            ENDORSEMENT,
            "ANY Endorsement",
            "--output",
            update,
        ];
        self.first.run(&set);
        old.run(&["channel", "sign", update]);
        let (code, told) = self.first.tries(&["channel", "submit", update]);
        assert_eq!(code, Some(2), "{told}");
        self.change(&["policy", "set", ENDORSEMENT, "ANY Endorsement"], &[0]);
    }
}

#[test]
fn three_organisations_change_a_channel_together_and_kills_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_owned();
    let first = Organisation::new(&place, "Org1MSP");
    let others = vec![
        Organisation::new(&place, "Org2MSP"),
        Organisation::new(&place, "Org3MSP"),
    ];
    let files: Vec<_> = others.iter().map(|other| other.export(&place)).collect();
    let mut network = Network {
        first,
        others,
        node: None,
        folder,
    };
    network.kill_and_start();

    network.change(&["policy", "set", ENDORSEMENT, "ANY Endorsement"], &[]);
    network.change(&["org", "add", &files[0]], &[]);
    // Two organisations: most of them are both.
    network.change(&["org", "add", &files[1]], &[0]);
    assert_eq!(network.put("1"), (201, "VALID".to_owned()));
    // Three: two of them.
    network.change(&["config", "set", "acl.peer/Propose", "Readers"], &[1]);
    // What belongs to the orderers, the ordering organisation signs alone.
    network.change(&["config", "set", "batch-size.max-messages", "7"], &[]);
    let orderer = &network.config()["channel_group"]["groups"]["Orderer"];
    assert_eq!(
        orderer["values"]["BatchSize"]["value"]["max_message_count"],
        7
    );

    network.change(
        &["policy", "set", ENDORSEMENT, "MAJORITY Endorsement"],
        &[0],
    );
    let refused = (409, "ENDORSEMENT_POLICY_FAILURE".to_owned());
    assert_eq!(network.put("2"), refused, "one endorsement of three");
    network.change(&["policy", "set", ENDORSEMENT, "OR('Org1MSP.peer')"], &[1]);
    assert_eq!(network.put("2"), (201, "VALID".to_owned()));
    network.change(&["org", "remove", "Org3MSP"], &[0]);

    network.renew_the_second();

    // Its own revocation list, which the first organisation signs alone where it submits, and where it
    // orders.
    let list = place.join("list.pem");
    std::fs::write(&list, network.first.run(&["ca", "crl"])).unwrap();
    network.change(&["org", "revoke", list.to_str().unwrap()], &[]);
    assert_eq!(network.put("4"), (201, "VALID".to_owned()));

    let node = network.node.take().unwrap();
    assert!(node.stop().success());
    // A replay from nothing gives the same state, the configuration with it.
    let rebuilt = run(&["rebuild"], &network.first.data);
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    network.node = Some(network.first.start());
    assert_eq!(network.sequence(), 11);
    assert_eq!(network.put("3"), (201, "VALID".to_owned()));
    assert!(network.node.take().unwrap().stop().success());
    let told = network
        .first
        .run(&["check", "--signatures", "--revalidate"]);
    assert!(
        told.contains("sound") && !told.contains("DAMAGED"),
        "{told}"
    );
}
