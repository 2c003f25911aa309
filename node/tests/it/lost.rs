//! Files that cannot be rebuilt, lost: the node says which, and makes nothing in their place.
//!
//! Guards against the start that once deleted the blocks of a channel whose record was gone, and the
//! one that made a lost identity anew, so that a retried key named another transaction.

use std::path::Path;

use crate::kit::{Node, Request, check, run};

fn written(data: &Path) -> Node {
    let node = Node::start(data);
    let put = Request {
        method: "PUT",
        path: "/v1/channels/main/state/orders/1".to_owned(),
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("idempotency-key", "one".to_owned()),
        ],
        body: "{}".to_owned(),
    };
    assert_eq!(node.client().send(&put).unwrap().status, 201);
    node
}

/// Starts the node where it must refuse; what it said.
fn refused(data: &Path) -> String {
    let output = run(&["run", "--listen", "127.0.0.1:0"], data);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn away(path: &Path) -> std::path::PathBuf {
    path.with_extension("away")
}

#[expect(clippy::disallowed_methods, reason = "a test plays the accident")]
fn move_file(from: &Path, to: &Path) {
    std::fs::rename(from, to).unwrap();
}

#[test]
fn a_lost_record_of_a_channel_costs_no_block() {
    let data = tempfile::tempdir().unwrap();
    assert!(written(data.path()).stop().success());
    let record = data.path().join("id-store/main.json");
    let blocks = data.path().join("channels/main/blockfile_000000");
    let before = std::fs::read(&blocks).unwrap();
    move_file(&record, &away(&record));
    for _ in 0..2 {
        let said = refused(data.path());
        assert!(said.contains("channels/main"), "{said}");
        assert_eq!(std::fs::read(&blocks).unwrap(), before);
    }
    move_file(&away(&record), &record);
    let node = Node::start(data.path());
    assert_eq!(node.client().height(), 2);
    assert!(node.stop().success());
    assert!(check(data.path()).status.success());
}

/// `quire join` may be killed while it removes the keys that were made for it, when all else is done.
#[test]
fn what_a_crash_left_half_made_beside_an_organisation_that_is_whole_is_gone_after_a_start() {
    let data = tempfile::tempdir().unwrap();
    assert!(written(data.path()).stop().success());
    let half = [
        ".joining.new/node",
        ".organization.new/ca/ca-key.pem",
        "identities/.shop.new/msp/key",
    ];
    for file in half.map(|half| data.path().join(half)) {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "a key").unwrap();
    }
    let node = written(data.path());
    for file in half.map(|half| data.path().join(half)) {
        assert!(!file.exists(), "{}", file.display());
    }
    assert!(node.stop().success());
    assert!(check(data.path()).status.success());
}

#[test]
fn what_a_newer_release_wrote_is_told_and_left_alone() {
    let data = tempfile::tempdir().unwrap();
    assert!(written(data.path()).stop().success());
    let record = data.path().join("id-store/main.json");
    let ours = std::fs::read_to_string(&record).unwrap();
    let theirs = ours.replace("\"version\": 1,", "\"version\": 2,\n  \"more\": [],");
    std::fs::write(&record, &theirs).unwrap();
    let said = refused(data.path());
    assert!(said.contains("main.json has version 2"), "{said}");
    assert!(said.contains("A newer release of Quire wrote it"), "{said}");
    assert!(!said.contains("damaged"), "{said}");
    assert_eq!(std::fs::read_to_string(&record).unwrap(), theirs);
    std::fs::write(&record, ours).unwrap();
    assert!(written(data.path()).stop().success());
}

#[test]
fn a_lost_identity_is_not_made_anew() {
    let data = tempfile::tempdir().unwrap();
    assert!(written(data.path()).stop().success());
    for lost in ["identities/client", "identities/node", "organization"] {
        let lost = data.path().join(lost);
        move_file(&lost, &away(&lost));
        let said = refused(data.path());
        assert!(said.contains(lost.to_str().unwrap()), "{said}");
        move_file(&away(&lost), &lost);
    }
    // The same key is the same transaction: nothing is ordered again.
    let node = written(data.path());
    assert_eq!(node.client().height(), 2);
    assert!(node.stop().success());
}
