//! A data directory as a whole: whatever happens to any file of it, a check says so where a start would
//! refuse it, or would go on without what was there; and where a check finds nothing, the node serves.
//!
//! Guards against a check that is proud of what it looked at and silent about what it did not.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::{Client, Node, Request, run};

const MIGRATION: &str =
    r#"{"namespace":"orders","index":{"fields":["total"]},"ddoc":"t","name":"t"}"#;
/// Blocks of both channels.
const HEIGHT: u64 = 4;

fn request(method: &'static str, path: &str, token: &str, body: &str) -> Request {
    let mut headers = vec![("Content-Type", "application/json".to_owned())];
    if !token.is_empty() {
        headers.push(("Authorization", format!("Bearer {token}")));
    }
    Request {
        method,
        path: path.to_owned(),
        headers,
        body: body.to_owned(),
    }
}

fn copy(from: &Path, to: &Path) {
    // Holes stay holes: the engine's journal is mostly one.
    let copied = std::process::Command::new("cp")
        .args(["-r", "--sparse=always"])
        .args([from, to])
        .output()
        .unwrap();
    assert!(copied.status.success(), "{copied:?}");
}

/// Every file below a folder, by its path in it, sorted.
fn files(root: &Path, dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(root, &path));
        } else {
            files.push(path.strip_prefix(root).unwrap().to_owned());
        }
    }
    files.sort();
    files
}

/// A directory that was used: two channels, documents, an index that was asked for and one that came as a
/// file, a token.
struct Used {
    dir: TempDir,
    token: String,
}

impl Used {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let data = dir.path().join("data");
        fs::create_dir_all(data.join("migrations")).unwrap();
        fs::write(data.join("migrations/0001-orders.json"), MIGRATION).unwrap();
        let node = Node::start(&data);
        let client = node.client();
        let made = client.send(&request("POST", "/v1/channels", "", r#"{"name":"second"}"#));
        assert_eq!(made.unwrap().status, 201);
        for channel in ["main", "second"] {
            for key in 1..HEIGHT {
                let path = format!("/v1/channels/{channel}/state/orders/{key}");
                let put = request("PUT", &path, "", r#"{"total":1,"owner":"a"}"#);
                assert_eq!(client.send(&put).unwrap().status, 201);
            }
            let path = format!("/v1/channels/{channel}/state/orders/_index");
            let index = r#"{"index":{"fields":["owner"]},"ddoc":"o","name":"o"}"#;
            let made = client.send(&request("POST", &path, "", index)).unwrap();
            assert_eq!(made.status, 200, "{}", made.text());
        }
        assert!(node.stop().success());
        let made = run(
            &["token", "create", "--identity", "shop", "--role", "admin"],
            &data,
        );
        assert!(made.status.success(), "{made:?}");
        let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        Self { dir, token }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn copy(&self) -> TempDir {
        let dir = TempDir::new().unwrap();
        copy(&self.data(), &dir.path().join("data"));
        dir
    }

    /// Whether all is served that was there, and to nobody else: what is missing otherwise.
    fn lacks(&self, client: &Client) -> Result<(), String> {
        let get = |path: &str, token: &str| client.send(&request("GET", path, token, "")).unwrap();
        let open = get("/v1/channels/main", "");
        if open.status != 401 {
            return Err(format!("open to everybody: {}", open.status));
        }
        for channel in ["main", "second"] {
            let at = format!("/v1/channels/{channel}");
            let found = get(&at, &self.token);
            if found.status != 200 || found.json()["height"] != HEIGHT {
                return Err(format!("{channel}: {}", found.text()));
            }
            let indexes = get(&format!("{at}/state/orders/_index"), &self.token);
            if indexes.json()["total_rows"] != 3 {
                return Err(format!("indexes of {channel}: {}", indexes.text()));
            }
            let document = get(&format!("{at}/state/orders/1"), &self.token);
            if document.status != 200 {
                return Err(format!("document of {channel}: {}", document.text()));
            }
        }
        let put = request("PUT", "/v1/channels/main/state/orders/9", &self.token, "{}");
        let put = client.send(&put).unwrap();
        if put.status != 201 {
            return Err(format!("a write: {}", put.text()));
        }
        Ok(())
    }

    /// What a start of this directory lacks; it is stopped again.
    fn start(&self, data: &Path) -> Result<(), String> {
        let mut node = Node::spawn(data);
        if !node.comes_up() {
            return Err(format!("it does not start: {}", node.log_after_stop()));
        }
        let lacks = self.lacks(&node.client());
        assert!(node.stop().success());
        lacks
    }
}

/// Ends with 0 or 1, or nobody could look; what was printed.
fn check(data: &Path, context: &str) -> (bool, String) {
    let output = run(&["check"], data);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let code = output.status.code().unwrap();
    assert!(code < 2, "{context}: {code}: {text}");
    // A check that says nothing says nothing.
    assert!(!text.is_empty(), "{context}");
    let json = run(&["check", "--json"], data);
    assert_eq!(json.status.code(), Some(code), "{context}");
    let reports: Value = serde_json::from_slice(&json.stdout).unwrap();
    let findings = reports.as_array().unwrap().iter();
    let findings = findings.filter(|one| one["findings"] != json!([]));
    assert_eq!(findings.count() > 0, code == 1, "{context}: {reports}");
    (code == 0, text)
}

#[derive(Clone, Copy, Debug)]
enum Accident {
    Removed,
    Emptied,
    Garbage,
    Flipped,
    Folder,
}

impl Accident {
    const ALL: [Self; 5] = [
        Self::Removed,
        Self::Emptied,
        Self::Garbage,
        Self::Flipped,
        Self::Folder,
    ];

    fn happens_to(self, path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        match self {
            Self::Removed => {}
            Self::Emptied => fs::write(path, []).unwrap(),
            Self::Garbage => fs::write(path, b"not what was written\0\xff").unwrap(),
            Self::Flipped => {
                let middle = bytes.len() / 2;
                if let Some(byte) = bytes.get_mut(middle) {
                    *byte ^= 0x80;
                }
                fs::write(path, bytes).unwrap();
            }
            Self::Folder => fs::create_dir(path).unwrap(),
        }
    }
}

/// One accident to one file: check and start agree. Whether the check found something.
fn agree(used: &Used, file: &Path, accident: Accident, has_derived: bool) -> bool {
    let context = format!("{} {accident:?}, derived {has_derived}", file.display());
    let dir = used.copy();
    let data = dir.path().join("data");
    if !has_derived {
        fs::remove_dir_all(data.join("derived")).unwrap();
    }
    accident.happens_to(&data.join(file));
    let (sound, text) = check(&data, &context);
    let started = used.start(&data);
    match &started {
        Ok(()) => {}
        Err(lacks) => {
            assert!(!sound, "{context}: {lacks}: {text}");
            let name = file.to_str().unwrap();
            assert!(text.contains(name), "{context}: {lacks}: {text}");
            assert!(text.contains("what to do: "), "{context}: {text}");
        }
    }
    if sound {
        started.unwrap_or_else(|lacks| panic!("{context}: {lacks}: {text}"));
    }
    !sound
}

fn all_agree(used: &Used, cases: Vec<(PathBuf, Accident, bool)>) {
    let (all, found) = (cases.len(), Mutex::new(0));
    let cases = Mutex::new(cases);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let Some((file, accident, derived)) = cases.lock().unwrap().pop() else {
                        return;
                    };
                    if agree(used, &file, accident, derived) {
                        *found.lock().unwrap() += 1;
                    }
                }
            });
        }
    });
    println!("{all} accidents, {} found", found.into_inner().unwrap());
}

#[test]
fn a_check_and_a_start_agree_whatever_happens_to_any_file() {
    let used = Used::new();
    let (sound, text) = check(&used.data(), "before");
    assert!(sound, "{text}");
    let mut cases = Vec::new();
    let all = files(&used.data(), &used.data());
    assert!(all.len() > 25, "{all:?}");
    for (n, file) in all.into_iter().enumerate() {
        if file.starts_with("derived") {
            // Its own test asks more of it: damage_in_the_engines_files_is_healed_or_told.
            let accident = [Accident::Removed, Accident::Garbage][n % 2];
            cases.push((file, accident, true));
            continue;
        }
        for accident in Accident::ALL {
            cases.push((file.clone(), accident, true));
            if file.starts_with("channels") && !matches!(accident, Accident::Flipped) {
                // Without what was derived nothing tells of lost definitions of indexes, nor whether a
                // damaged last batch was acknowledged.
                let is_lost =
                    file.ends_with("indexes.json") && matches!(accident, Accident::Removed);
                if !is_lost {
                    cases.push((file.clone(), accident, false));
                }
            }
        }
    }
    all_agree(&used, cases);
}

#[expect(clippy::disallowed_methods, reason = "a test plays the accident")]
fn move_away(path: &Path, to: &Path) {
    fs::rename(path, to).unwrap();
}

#[test]
fn folders_that_are_lost_are_refused_and_told_and_nothing_is_made_in_their_place() {
    let used = Used::new();
    for lost in [
        &["id-store"][..],
        &["channels"],
        &["channels/second"],
        &["id-store", "channels"],
        &["id-store/second.json", "channels/second"],
        &["organization"],
        &["identities"],
        &["organization", "identities"],
        &["identities/client"],
        &["tokens"],
    ] {
        let dir = used.copy();
        let data = dir.path().join("data");
        for (n, path) in lost.iter().enumerate() {
            move_away(&data.join(path), &dir.path().join(format!("lost-{n}")));
        }
        let context = format!("{lost:?}");
        let (sound, text) = check(&data, &context);
        assert!(!sound, "{context}: {text}");
        assert!(text.contains("what to do: "), "{context}: {text}");
        let lacks = used.start(&data).unwrap_err();
        let name = |path: &&'static str| path.trim_end_matches(".json").rsplit('/').next();
        let names: Vec<&str> = lost.iter().filter_map(name).collect();
        // Both say what: by its path, or by the channel's name.
        let is_told =
            |text: &str| text.contains("main") || names.iter().any(|name| text.contains(name));
        assert!(
            is_told(&text) && is_told(&lacks),
            "{context}: {text} {lacks}"
        );
        for (n, path) in lost.iter().enumerate() {
            let place = data.join(path);
            // The folders of all channels and all identities are made by any start.
            if place.exists() {
                assert!(files(&place, &place).is_empty(), "{context}");
                fs::remove_dir_all(&place).unwrap();
            }
            move_away(&dir.path().join(format!("lost-{n}")), &place);
        }
        used.start(&data)
            .unwrap_or_else(|lacks| panic!("{context}: {lacks}"));
    }
}

#[test]
fn what_lies_where_channels_are_is_told_by_name() {
    let used = Used::new();
    let dir = used.copy();
    let data = dir.path().join("data");
    copy(&data.join("channels/main"), &data.join("channels/stray"));
    let (sound, text) = check(&data, "a folder without a record");
    assert!(!sound && text.contains("channels/stray"), "{text}");
    assert!(used.start(&data).unwrap_err().contains("channels/stray"));
    fs::remove_dir_all(data.join("channels/stray")).unwrap();
    fs::write(data.join("channels/note"), "").unwrap();
    let (sound, text) = check(&data, "a file");
    assert!(!sound && text.contains("channels/note"), "{text}");
    assert!(used.start(&data).unwrap_err().contains("channels/note"));
    fs::remove_file(data.join("channels/note")).unwrap();
    fs::write(data.join("migrations/notes.txt"), "").unwrap();
    let (sound, text) = check(&data, "a file beside files of indexes");
    assert!(!sound && text.contains("migrations/notes.txt"), "{text}");
    assert!(used.start(&data).is_err());
    fs::remove_file(data.join("migrations/notes.txt")).unwrap();
    let changed = MIGRATION.replace("total", "sum");
    fs::write(data.join("migrations/0001-orders.json"), changed).unwrap();
    let (sound, text) = check(&data, "a file of indexes that was changed");
    assert!(!sound && text.contains("0001-orders.json"), "{text}");
    assert!(used.start(&data).is_err());
}

#[test]
fn a_check_through_the_socket_of_a_running_node_finds_the_same() {
    let used = Used::new();
    for (file, accident) in [
        ("id-store/second.json", Accident::Removed),
        ("id-store/second.json", Accident::Garbage),
        ("channels/second/indexes.json", Accident::Garbage),
        ("channels/second/blockfile_000000", Accident::Flipped),
        ("organization/ca/priv_sk", Accident::Emptied),
        ("identities/shop/msp/signcerts/cert.pem", Accident::Flipped),
        ("identities/node/msp/keystore/priv_sk", Accident::Removed),
        ("tokens/tokens.json", Accident::Removed),
    ] {
        let context = format!("{file} {accident:?}");
        let dir = used.copy();
        let data = dir.path().join("data");
        let node = Node::start(&data);
        let (sound, text) = check(&data, &context);
        assert!(sound, "{context}: {text}");
        accident.happens_to(&data.join(file));
        let (sound, text) = check(&data, &context);
        assert!(!sound && text.contains(file), "{context}: {text}");
        assert!(node.stop().success());
    }
}

#[test]
fn lost_tokens_open_nothing_and_new_ones_can_be_made() {
    let used = Used::new();
    let data = used.data();
    fs::remove_file(data.join("tokens/tokens.json")).unwrap();
    let lacks = used.start(&data).unwrap_err();
    assert!(lacks.contains("tokens/tokens.json"), "{lacks}");
    assert!(lacks.contains("quire token create"), "{lacks}");
    fs::remove_dir(data.join("tokens")).unwrap();
    let lacks = used.start(&data).unwrap_err();
    assert!(lacks.contains("shop"), "{lacks}");
    let made = run(
        &["token", "create", "--identity", "shop", "--role", "admin"],
        &data,
    );
    assert!(made.status.success(), "{made:?}");
    let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let used = Used {
        dir: used.dir,
        token,
    };
    used.start(&data).unwrap();
}
