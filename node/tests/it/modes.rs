//! A data directory is its owner's alone, whatever the umask, and whatever became of it since.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::command_line::as_another;
use super::kit::{Client, Node, Request, run};

/// Starts the binary under another umask.
const UNDER: &str = "umask \"$0\"; exec \"$@\"";

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// Everything in a folder and itself, links not followed.
fn all(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        // The embedded engine removes files whenever it likes.
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten();
            left.extend(entries.map(|entry| entry.unwrap().path()));
        }
        found.push(path);
    }
    found
}

/// What in a data directory has another mode than it should.
fn wrong(data: &Path) -> Vec<(PathBuf, u32)> {
    let looked = all(data).into_iter().filter_map(|path| {
        let metadata = fs::symlink_metadata(&path).ok()?;
        let wanted = if metadata.is_dir() { 0o700 } else { 0o600 };
        let mode = metadata.mode() & 0o7777;
        (mode != wanted).then_some((path, mode))
    });
    looked.collect()
}

fn send(client: &Client, method: &'static str, path: &str, body: &str) -> u16 {
    let request = Request {
        method,
        path: path.to_owned(),
        headers: vec![("Content-Type", "application/json".to_owned())],
        body: body.to_owned(),
    };
    client.send(&request).unwrap().status
}

#[test]
fn what_is_made_is_its_owners_alone_whatever_the_umask() {
    for umask in ["000", "777"] {
        let root = TempDir::new().unwrap();
        let data = root.path().join("data");
        let under = ["sh", "-c", UNDER, umask];
        let node = Node::start_under(&under, &data);
        let client = node.client();
        for key in 0..20 {
            let path = format!("/v1/channels/main/state/orders/{key}");
            assert_eq!(send(&client, "PUT", &path, "{\"n\": 1}"), 201);
        }
        let index = r#"{"index":{"fields":["n"]},"ddoc":"by-n","name":"by-n"}"#;
        let path = "/v1/channels/main/state/orders/_index";
        assert_eq!(send(&client, "POST", path, index), 200);
        assert_eq!(
            send(&client, "POST", "/v1/channels", r#"{"name":"other"}"#),
            201
        );
        assert!(data.join("admin.sock").exists());
        assert_eq!(wrong(&data), [], "umask {umask}, running");
        let token = ["token", "create", "--identity", "shop", "--role", "writer"];
        assert!(run(&token, &data).status.success());
        assert_eq!(wrong(&data), [], "umask {umask}, with a token");
        assert!(node.stop().success());
        fs::remove_dir_all(data.join("derived")).unwrap();
        assert!(Node::start_under(&under, &data).stop().success());
        assert_eq!(wrong(&data), [], "umask {umask}, started again");
        let files = all(&data);
        for part in [
            "blockfile_000000",
            "indexes.json",
            "tokens.json",
            "main.json",
        ] {
            assert!(files.iter().any(|path| path.ends_with(part)), "{part}");
        }
        assert!(
            files
                .iter()
                .any(|path| path.starts_with(data.join("derived")))
        );
    }
}

#[test]
fn what_is_open_to_others_is_closed_at_a_start_and_the_log_says_so() {
    let root = TempDir::new().unwrap();
    let data = root.path().join("data");
    assert!(Node::start(&data).stop().success());
    let migrations = data.join("migrations");
    fs::create_dir(&migrations).unwrap();
    for path in all(&data) {
        set(&path, if path.is_dir() { 0o755 } else { 0o644 });
    }
    for command in ["config", "check", "blocks"] {
        assert!(run(&[command], &data).status.success(), "{command}");
    }
    assert_eq!(mode(&data), 0o755, "only a start changes modes");
    let log = Node::start(&data).log_after_stop();
    assert_eq!(
        wrong(&data),
        [(migrations, 0o755)],
        "that is the operator's"
    );
    let told = "was open to other users of this machine, and is not any more";
    assert!(log.contains(told), "{log}");
    assert!(log.contains(&format!("path={}", data.display())), "{log}");
    assert!(log.contains("before=\"0755\" now=\"0700\""), "{log}");
    let log = Node::start(&data).log_after_stop();
    assert!(!log.contains("open to other users"), "{log}");
}

#[test]
fn a_start_is_refused_where_it_cannot_close_what_is_open_and_config_says_the_same() {
    let root = TempDir::new().unwrap();
    set(root.path(), 0o755);
    let data = root.path().join("data");
    assert!(Node::start(&data).stop().success());
    for path in all(&data) {
        set(&path, if path.is_dir() { 0o755 } else { 0o644 });
    }
    let home = root.path().join("home");
    fs::create_dir(&home).unwrap();
    set(&home, 0o755);
    fs::write(home.join("letter"), "x").unwrap();
    for command in ["config", "run"] {
        let refused = run(&[command, "--listen", "127.0.0.1:0"], &home);
        let told = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{told}");
        assert!(told.contains("it holds letter"), "{told}");
        assert!(told.contains("home/quire"), "{told}");
    }
    assert_eq!(mode(&home), 0o755);
    let (_, is_another) = as_another(root.path());
    // Where tests have no rights to become another user, the decision is tested beside its code.
    if is_another {
        for command in ["config", "run"] {
            let (mut other, _) = as_another(root.path());
            let refused = other
                .args([command, "--listen", "127.0.0.1:0", "--data"])
                .arg(&data)
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&refused.stderr);
            assert_eq!(refused.status.code(), Some(2), "{told}");
            assert!(told.contains("belongs to the user with id 0"), "{told}");
            assert!(told.contains("chown -R"), "{told}");
        }
        assert_eq!(mode(&data), 0o755);
    }
}
