//! Identities that leave a node and come to another one, by the command line.

use std::fs;
use std::path::Path;

use crate::kit::{Node, run};

/// A command; whether it succeeded, and what it printed.
fn tries(arguments: &[&str], data: &Path) -> (bool, String) {
    let output = run(arguments, data);
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    (output.status.success(), told)
}

fn done(arguments: &[&str], data: &Path) -> String {
    let (succeeded, told) = tries(arguments, data);
    assert!(succeeded, "{arguments:?}: {told}");
    told
}

fn refused(arguments: &[&str], data: &Path) -> String {
    let (succeeded, told) = tries(arguments, data);
    assert!(!succeeded, "{arguments:?}: {told}");
    told
}

#[test]
fn sealed_identities_are_for_nobodys_eyes_and_come_back_as_they_were() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let at = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("passphrase"), "correct horse\n").unwrap();
    fs::write(at("short"), "short").unwrap();
    done(&["channel", "create", "main"], &data);
    let token = ["token", "create", "--role", "writer", "--identity", "shop"];
    done(&token, &data);
    let (file, passphrase) = (at("callers.pem"), at("passphrase"));
    let sealing = [
        "identity",
        "export",
        &file,
        "--passphrase-file",
        &passphrase,
    ];
    let told = done(&sealing, &data);
    assert!(
        told.contains("2 sealed in") && told.contains("client, shop"),
        "{told}"
    );
    let sealed = fs::read_to_string(&file).unwrap();
    assert!(!sealed.contains("PRIVATE") && !sealed.contains("CERTIFICATE"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    // What was lost at the node comes back, with the node stopped or running.
    let lost = data.join("identities/shop");
    let before = fs::read(lost.join("msp/signcerts/cert.pem")).unwrap();
    let taking = [
        "identity",
        "import",
        &file,
        "--passphrase-file",
        &passphrase,
    ];
    for is_running in [false, true] {
        fs::remove_dir_all(&lost).unwrap();
        let node = is_running.then(|| Node::start(&data));
        let told = done(&taking, &data);
        assert!(told.contains("1 imported: shop"), "{told}");
        assert!(told.contains("1 were there already: client"), "{told}");
        let after = fs::read(lost.join("msp/signcerts/cert.pem")).unwrap();
        assert_eq!(before, after);
        if let Some(node) = node {
            assert!(node.stop().success());
        }
    }
    assert!(String::from_utf8_lossy(&crate::kit::check(&data).stdout).contains("sound"));
}

#[test]
fn what_is_no_sealed_file_or_somebody_elses_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let at = |name: &str| root.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("passphrase"), "correct horse").unwrap();
    fs::write(at("short"), "short").unwrap();
    done(&["channel", "create", "main"], &data);
    let token = ["token", "create", "--role", "writer", "--identity", "shop"];
    done(&token, &data);
    let (file, passphrase) = (at("callers.pem"), at("passphrase"));
    let sealing = [
        "identity",
        "export",
        &file,
        "shop",
        "--passphrase-file",
        &passphrase,
    ];
    done(&sealing, &data);
    let sealed = fs::read_to_string(&file).unwrap();
    let taking = [
        "identity",
        "import",
        &file,
        "--passphrase-file",
        &passphrase,
    ];
    let told = refused(&["identity", "export", &file, "node"], &data);
    assert!(told.contains("this node's own"), "{told}");
    let short = at("short");
    let told = refused(
        &["identity", "export", &file, "--passphrase-file", &short],
        &data,
    );
    assert!(told.contains("at least 10 characters"), "{told}");
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        sealed,
        "it was not written over"
    );
    let told = refused(
        &[
            "identity",
            "import",
            &passphrase,
            "--passphrase-file",
            &passphrase,
        ],
        &data,
    );
    assert!(told.contains("no file of sealed identities"), "{told}");
    let stranger = root.path().join("stranger");
    done(&["channel", "create", "main"], &stranger);
    let told = refused(&taking, &stranger);
    assert!(told.contains("none of this node's organisation"), "{told}");
    assert!(!stranger.join("identities/shop").exists());
}

#[test]
fn a_node_that_was_not_invited_is_not_made() {
    let root = tempfile::tempdir().unwrap();
    let (data, other) = (root.path().join("data"), root.path().join("other"));
    let node = Node::start(&data);
    let told = refused(&["org", "invite", "node2"], &data);
    assert!(told.contains("orders its channels by itself"), "{told}");
    let url = format!("http://{}", node.address());
    let told = refused(&["join", &url, "--token", "quire_join_none"], &other);
    assert!(told.contains("401 UNAUTHENTICATED"), "{told}");
    assert!(told.contains("quire org invite"), "{told}");
    for (arguments, expected) in [
        (["join", "http://192.0.2.1:1", "--token", "x"], "in plain"),
        (["join", "https://192.0.2.1:1", "--token", "x"], "--ca-file"),
        (
            ["join", "127.0.0.1:1", "--token", "x"],
            "no address of a node",
        ),
    ] {
        let told = refused(&arguments, &other);
        assert!(told.contains(expected), "{told}");
    }
    // What was begun keeps another organisation from being made there.
    let told = refused(&["channel", "create", "main"], &other);
    assert!(told.contains("holds joining"), "{told}");
    assert!(!other.join("organization").exists());
}
