//! `quire backup` and `quire restore`: of a node under load, killed at any moment, on a schedule.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quire_disk::{Disk, OsDisk};
use quire_ledger::{Ledgers, Next, Ordered, Purpose, StoredBlocks};
use serde_json::Value;
use tempfile::TempDir;

use crate::kit::{Client, Node, Random, Request, check, quire, run};

const WRITERS: u64 = 8;
const KEYS: u64 = 40;

/// The values that a key had, each with the block that wrote it, in order.
type Written = BTreeMap<String, Vec<(u64, u64)>>;

fn succeeded(output: &Output, what: &str) -> String {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (said(&output.stdout), said(&output.stderr));
    assert!(
        output.status.success(),
        "{what}: {}\n{out}{err}",
        output.status
    );
    out
}

fn put(client: &Client, key: &str, value: u64) -> u64 {
    let request = Request {
        method: "PUT",
        path: format!("/v1/channels/main/state/docs/{key}"),
        headers: vec![("Content-Type", "application/json".to_owned())],
        body: format!("{{\"n\":{value}}}"),
    };
    let answer = client.send(&request).unwrap();
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
    let version = answer.header("etag").unwrap().trim_matches('"').to_owned();
    version.split('.').next().unwrap().parse().unwrap()
}

/// Writes keys of its own until told to stop.
fn writer(client: &Client, number: u64, stop: &AtomicBool) -> Written {
    let mut written = Written::new();
    let mut value = 0;
    while !stop.load(Ordering::SeqCst) {
        let key = format!("{number}-{}", value % KEYS);
        let block = put(client, &key, value);
        written.entry(key).or_default().push((block, value));
        value += 1;
    }
    written
}

/// Every key and value of a node.
fn state(client: &Client) -> BTreeMap<String, u64> {
    let mut rows = BTreeMap::new();
    let mut path = "/v1/channels/main/state/docs?limit=100".to_owned();
    loop {
        let page = client.json(&path);
        for row in page["rows"].as_array().unwrap() {
            let key = row["key"].as_str().unwrap().to_owned();
            rows.insert(key, row["value"]["n"].as_u64().unwrap());
        }
        let Some(bookmark) = page["bookmark"].as_str().filter(|next| !next.is_empty()) else {
            return rows;
        };
        path = format!("/v1/channels/main/state/docs?limit=100&bookmark={bookmark}");
    }
}

/// What keys had after the blocks below `height`.
fn expected(written: &Written, height: u64) -> BTreeMap<String, u64> {
    let last = |values: &Vec<(u64, u64)>| {
        let mut before = values.iter().rev();
        before
            .find(|(block, _)| *block < height)
            .map(|(_, value)| *value)
    };
    let all = written.iter();
    all.filter_map(|(key, values)| Some((key.clone(), last(values)?)))
        .collect()
}

fn backed_up(data: &Path, target: &Path) -> Value {
    let target = target.to_str().unwrap();
    let output = run(&["backup", target, "--json"], data);
    serde_json::from_str(&succeeded(&output, "backup")).unwrap()
}

/// Lets the ledger in `copy` commit the blocks that the one in `data` has beyond it, and compares every byte.
fn follows(copy: &Path, data: &Path, height: u64) {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let ledgers = Ledgers::open(Arc::clone(&disk), copy, Purpose::Use).unwrap();
    let (mut ledger, report) = ledgers.ledger("main", &mut |_| {}).unwrap();
    assert_eq!(report.height, height);
    let stored = StoredBlocks::open(&disk, data, "main").unwrap();
    let mut blocks = stored.from(height).unwrap();
    let mut followed = 0;
    while let Next::Block(original) = blocks.next().unwrap() {
        let mut block = quire_ledger::Block::clone(&original);
        // Verdicts and the commit hash are what the commit has to come to by itself.
        for slot in [2, 4] {
            block.metadata[slot] = Bytes::new();
        }
        ledger.commit(vec![Ordered::new(block, "main")]).unwrap();
        let number = original.number;
        let committed = ledger.reader().block(number).unwrap().unwrap();
        assert_eq!(
            committed.commit_hash(),
            original.commit_hash(),
            "block {number}"
        );
        assert_eq!(
            committed.to_message(),
            original.to_message(),
            "block {number}"
        );
        followed += 1;
    }
    assert!(followed > 0, "no block came after the backup");
}

#[test]
fn a_backup_under_load_is_the_node_as_it_was_at_a_height_and_goes_on_from_there() {
    let root = TempDir::new().unwrap();
    let at = |name: &str| root.path().join(name);
    let data = at("data");
    let node = Node::start(&data);
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            let (client, stop) = (node.client(), Arc::clone(&stop));
            std::thread::spawn(move || writer(&client, number, &stop))
        })
        .collect();
    let client = node.client();
    let grows = |by: u64| {
        let before = client.height();
        let deadline = Instant::now() + Duration::from_secs(60);
        while client.height() < before + by {
            assert!(Instant::now() < deadline, "no progress:\n{}", node.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    grows(30);
    let first = backed_up(&data, &at("folder"));
    grows(30);
    let folder = backed_up(&data, &at("folder"));
    let archive = backed_up(&data, &at("one.tar.zst"));
    let height = |made: &Value| made["channels"][0]["height"].as_u64().unwrap();
    assert!(height(&first) < height(&folder) && height(&folder) <= height(&archive));
    grows(30);
    stop.store(true, Ordering::SeqCst);
    let mut written = Written::new();
    for writer in writers {
        written.extend(writer.join().unwrap());
    }
    assert!(node.stop().success());
    for (made, name) in [(&folder, "folder"), (&archive, "one.tar.zst")] {
        let restored = at(&format!("restored-{name}"));
        let source = at(name);
        let output = run(&["restore", source.to_str().unwrap()], &restored);
        succeeded(&output, "restore");
        succeeded(&check(&restored), "check of what was restored");
        let node = Node::start(&restored);
        assert_eq!(node.client().height(), height(made));
        assert_eq!(state(&node.client()), expected(&written, height(made)));
        assert!(node.stop().success());
        follows(&restored, &data, height(made));
    }
    // The folder is a data directory itself, and then no backup any more.
    succeeded(&check(&at("folder")), "check of the backup");
    let node = Node::start(&at("folder"));
    assert_eq!(state(&node.client()), expected(&written, height(&folder)));
    assert!(node.stop().success());
    let refused = run(&["backup", at("folder").to_str().unwrap()], &data);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn a_flipped_bit_of_a_backup_is_found_by_check_and_by_restore() {
    let root = TempDir::new().unwrap();
    let at = |name: &str| root.path().join(name);
    let node = Node::start(&at("data"));
    for value in 0..5 {
        put(&node.client(), "key", value);
    }
    backed_up(&at("data"), &at("backup"));
    succeeded(&check(&at("backup")), "check");
    for file in [
        "channels/main/blockfile_000000",
        "id-store/main.json",
        "identities/client/msp/keystore/priv_sk",
        "backup.json",
    ] {
        let path = at("backup").join(file);
        let sound = std::fs::read(&path).unwrap();
        let mut flipped = sound.clone();
        let middle = sound.len() / 2;
        flipped[middle] ^= 1;
        std::fs::write(&path, flipped).unwrap();
        for (output, code) in [
            (check(&at("backup")), 1),
            (
                run(
                    &["restore", at("backup").to_str().unwrap()],
                    &at("restored"),
                ),
                2,
            ),
        ] {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert_eq!(output.status.code(), Some(code), "{file}: {said}");
            assert!(said.contains(path.to_str().unwrap()), "{said}");
        }
        std::fs::write(&path, sound).unwrap();
    }
    succeeded(&check(&at("backup")), "check");
    // No node begins anew where a restore was not finished.
    let half = at("half");
    std::fs::create_dir_all(half.join(".restore.new/channels")).unwrap();
    for command in ["run", "check"] {
        let refused = run(&[command], &half);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains("quire restore"), "{said}");
    }
    succeeded(
        &run(&["restore", at("backup").to_str().unwrap()], &half),
        "restore",
    );
    succeeded(&check(&half), "check");
}

/// Kills a command at a random moment; whether it had ended before.
fn killed(arguments: &[&str], data: &Path, after: Duration) -> bool {
    let mut child = quire(&[])
        .args(arguments)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    let ended = child.try_wait().unwrap().is_some();
    drop(child.kill());
    child.wait().unwrap();
    ended
}

#[test]
fn a_backup_or_restore_that_is_killed_is_done_by_the_next() {
    let mut random = Random::from_environment();
    let root = TempDir::new().unwrap();
    let at = |name: &str| root.path().join(name);
    let (data, backup) = (at("data"), at("backup"));
    let node = Node::start(&data);
    let mut writes = 0;
    let (mut kills, mut cut_short) = (0, 0);
    backed_up(&data, &backup);
    for round in 0..30 {
        for _ in 0..3 {
            put(&node.client(), &format!("{writes}"), writes);
            writes += 1;
        }
        let target = backup.to_str().unwrap();
        let most = Duration::from_micros(random.below(60_000));
        kills += u64::from(!killed(&["backup", target], &data, most));
        // Whatever came of it, there is a whole one.
        let restored = at(&format!("restored-{round}"));
        while !restored.join("id-store").exists() {
            let most = Duration::from_micros(random.below(60_000));
            cut_short += u64::from(!killed(&["restore", target], &restored, most));
            if random.below(3) == 0 {
                run(&["restore", target], &restored);
            }
        }
        succeeded(&check(&restored), "check");
    }
    assert!(kills > 3 && cut_short > 3, "{kills} and {cut_short} kills");
    let made = backed_up(&data, &backup);
    assert_eq!(made["channels"][0]["height"], node.client().height());
    let left: Vec<_> = std::fs::read_dir(root.path()).unwrap().collect();
    let names = left.into_iter().map(|entry| entry.unwrap().file_name());
    let hidden = names.filter(|name| name.to_string_lossy().starts_with('.'));
    assert_eq!(hidden.count(), 0);
}

/// A request of an administrator.
fn ask(client: &Client, method: &'static str) -> (u16, Value) {
    let request = Request {
        method,
        path: "/v1/backups".to_owned(),
        headers: Vec::new(),
        body: String::new(),
    };
    let answer = client.send(&request).unwrap();
    (answer.status, answer.json())
}

/// Asks until the backups are as they must be.
fn until(client: &Client, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let (status, told) = ask(client, "GET");
        assert_eq!(status, 200, "{told}");
        if holds(&told) {
            return told;
        }
        assert!(Instant::now() < deadline, "{what}: {told}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn names(told: &Value) -> Vec<String> {
    let names = told["backups"].as_array().unwrap().iter();
    names
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_node_backs_itself_up_when_it_is_due_and_when_it_is_asked() {
    let root = TempDir::new().unwrap();
    let at = |name: &str| root.path().join(name);
    let (data, to) = (at("data"), at("backups"));
    let place = to.to_str().unwrap();
    let flags = [
        "--backup-to",
        place,
        "--backup-every",
        "1",
        "--backup-keep",
        "2",
    ];
    let node = Node::start_with(&data, &flags);
    let first = until(&node.client(), "a first", |told| !names(told).is_empty());
    let oldest = names(&first).remove(0);
    put(&node.client(), "key", 7);
    let told = until(&node.client(), "others", |told| {
        names(told).len() == 2 && !names(told).contains(&oldest)
    });
    assert_eq!(told["keep"], 2);
    let metrics = node.client().get("/metrics", "text/plain").text();
    assert!(
        metrics.contains("quire_backup_interval_seconds 1"),
        "{metrics}"
    );
    assert!(metrics.contains("quire_backup_age_seconds "), "{metrics}");
    assert!(node.stop().success());

    let node = Node::start_with(&data, &["--backup-to", place]);
    let before = names(&ask(&node.client(), "GET").1);
    assert_eq!(ask(&node.client(), "POST").0, 202);
    let newest = |told: &Value| names(told).pop() > before.last().cloned();
    let told = until(&node.client(), "one that was asked for", newest);
    assert!(node.stop().success());
    let newest = to.join(names(&told).pop().unwrap());
    let restored = at("restored");
    succeeded(
        &run(&["restore", newest.to_str().unwrap()], &restored),
        "restore",
    );
    let node = Node::start(&restored);
    assert_eq!(state(&node.client())["key"], 7);
    assert_eq!(ask(&node.client(), "POST").0, 404);
}

#[test]
fn a_backup_that_cannot_be_made_is_told_and_made_when_it_can() {
    let root = TempDir::new().unwrap();
    let (data, to) = (root.path().join("data"), root.path().join("backups"));
    std::fs::write(&to, "in the way").unwrap();
    let place = to.to_str().unwrap();
    let node = Node::start_with(&data, &["--backup-to", place, "--backup-every", "1"]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !node.log().contains("not backed up") {
        assert!(Instant::now() < deadline, "{}", node.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::remove_file(&to).unwrap();
    until(&node.client(), "one", |told| {
        !names(told).is_empty() && told["failure"].is_null()
    });
}

#[test]
fn a_backup_without_identities_wants_them_before_a_start() {
    let root = TempDir::new().unwrap();
    let at = |name: &str| root.path().join(name);
    let (data, backup, restored) = (at("data"), at("backup"), at("restored"));
    let node = Node::start(&data);
    put(&node.client(), "key", 1);
    let target = backup.to_str().unwrap();
    succeeded(
        &run(&["backup", target, "--without-identities"], &data),
        "backup",
    );
    for folder in ["organization", "identities", "tokens", "ca"] {
        assert!(!backup.join(folder).exists(), "{folder}");
    }
    succeeded(&run(&["restore", target], &restored), "restore");
    assert!(
        !run(&["run", "--listen", "127.0.0.1:0"], &restored)
            .status
            .success()
    );
    for folder in ["organization", "identities"] {
        let copied = std::process::Command::new("cp")
            .arg("-r")
            .args([data.join(folder), restored.join(folder)])
            .status();
        assert!(copied.unwrap().success());
    }
    let again = Node::start(&restored);
    assert_eq!(state(&again.client())["key"], 1);
}

#[test]
fn a_channel_that_has_lost_its_record_is_told_of_and_its_blocks_are_copied() {
    let root = TempDir::new().unwrap();
    let (data, backup) = (root.path().join("data"), root.path().join("backup"));
    let node = Node::start(&data);
    put(&node.client(), "key", 1);
    drop(node);
    std::fs::remove_file(data.join("id-store/main.json")).unwrap();
    let output = run(&["backup", backup.to_str().unwrap()], &data);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("not whole: ") && told.contains("main"),
        "{told}"
    );
    assert!(backup.join("channels/main/blockfile_000000").exists());
    std::fs::remove_dir_all(data.join("identities/orderer")).unwrap();
    let output = run(&["backup", backup.to_str().unwrap()], &data);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("identities/orderer is missing"), "{told}");
}

#[test]
fn a_link_as_target_stays_and_a_mount_point_is_refused() {
    let root = TempDir::new().unwrap();
    let at = |name: &str| root.path().join(name);
    let data = at("data");
    put(&Node::start(&data).client(), "key", 1);
    std::fs::create_dir(at("disk")).unwrap();
    std::os::unix::fs::symlink(at("disk"), at("link")).unwrap();
    for _ in 0..2 {
        succeeded(
            &run(&["backup", at("link").to_str().unwrap()], &data),
            "backup",
        );
    }
    assert!(at("link").is_symlink());
    assert!(at("disk/backup.json").exists());
    let output = run(&["backup", "/proc"], &data);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(told.contains("is mounted at /proc"), "{told}");
}

#[test]
fn an_archive_replaces_an_archive_and_nothing_else() {
    let root = TempDir::new().unwrap();
    let (data, target) = (root.path().join("data"), root.path().join("one.tar.zst"));
    put(&Node::start(&data).client(), "key", 1);
    let back_up = || run(&["backup", target.to_str().unwrap()], &data);
    std::fs::write(&target, "a letter").unwrap();
    assert!(!back_up().status.success());
    assert_eq!(std::fs::read(&target).unwrap(), b"a letter");
    std::fs::remove_file(&target).unwrap();
    std::fs::create_dir(&target).unwrap();
    assert!(!back_up().status.success());
    std::fs::remove_dir(&target).unwrap();
    succeeded(&back_up(), "a first");
    succeeded(&back_up(), "a second");
}
