//! What an operator does and sees: commands on a running node, a damaged block, a full disk.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

use quire_testkit::conformance;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::kit::{Client, Node, Request, check, run};

fn put(key: &str, filling: usize) -> Request {
    Request {
        method: "PUT",
        path: format!("/v1/channels/main/state/orders/{key}"),
        headers: vec![
            ("Content-Type", "application/json".into()),
            ("Idempotency-Key", format!("key-{key}")),
        ],
        body: json!({"filling": "x".repeat(filling)}).to_string(),
    }
}

fn get(path: &str) -> Request {
    Request {
        method: "GET",
        path: path.to_owned(),
        headers: Vec::new(),
        body: String::new(),
    }
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs a command that must end with this code; what it printed.
fn expect(code: i32, arguments: &[&str], data: &Path) -> String {
    let output = run(arguments, data);
    let printed = text(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {printed}");
    printed
}

/// Flips a bit in the middle of a block's record in the first block file.
fn damage(blockfile: &Path, number: usize) {
    let mut bytes = fs::read(blockfile).unwrap();
    let mut start = 0;
    for block in 0.. {
        let mut rest = &bytes[start..];
        let length = prost::encoding::decode_varint(&mut rest).unwrap();
        let end = bytes.len() - rest.len() + usize::try_from(length).unwrap();
        if block == number {
            bytes[usize::midpoint(start, end)] ^= 1;
            break;
        }
        start = end;
    }
    fs::write(blockfile, bytes).unwrap();
}

#[test]
fn commands_act_on_a_running_node_through_its_socket() {
    let data = TempDir::new().unwrap();
    let data = data.path();
    for round in 0..2 {
        let node = Node::start(data);
        let socket = data.join("admin.sock");
        let mode = fs::metadata(&socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let client = node.client();

        let name = format!("second-{round}");
        let printed = expect(0, &["channel", "create", &name], data);
        assert!(printed.contains(&format!("{name} created")), "{printed}");
        let channel = format!("/v1/channels/{name}");
        assert_eq!(
            client.json(&channel)["height"],
            1,
            "it takes effect at once"
        );
        let printed = expect(2, &["channel", "create", &name], data);
        assert!(printed.contains("exists"), "{printed}");
        let printed = expect(2, &["channel", "create", "No Name"], data);
        assert!(!printed.contains("panicked"), "{printed}");
        let printed = expect(0, &["channel", "list"], data);
        assert!(printed.contains("main\tActive\twritable"), "{printed}");

        let name = format!("imported-{round}");
        let from = conformance::block_files("fabric-ledgers/sample-prod/blockfile_000000");
        let arguments = [
            "channel",
            "import",
            "--channel",
            &name,
            "--blockfiles",
            from.path().to_str().unwrap(),
        ];
        let printed = expect(0, &arguments, data);
        assert!(printed.contains("8 blocks"), "{printed}");
        assert_eq!(client.json(&format!("/v1/channels/{name}"))["height"], 8);
        expect(2, &arguments, data);
        let arguments = ["check", "--signatures", "--revalidate", "--json"];
        let reports: Value = serde_json::from_str(&expect(0, &arguments, data)).unwrap();
        let main = reports
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["subject"] == "main");
        assert_eq!(main.unwrap()["verdicts"], main.unwrap()["transactions"]);
        // What nobody may do to files in use.
        for arguments in [
            &["rebuild"][..],
            &["truncate-tail", "--channel", "main", "--from-block", "1"],
            &["repair", "--channel", "main", "--from", "/"],
        ] {
            let printed = expect(2, arguments, data);
            assert!(printed.contains("in use"), "{printed}");
        }
        // A killed node leaves its socket behind, a stopped one does not.
        if round == 0 {
            node.kill();
            assert!(socket.exists());
        } else {
            assert!(node.stop().success());
            assert!(!socket.exists());
        }
        assert!(check(data).status.success());
        expect(0, &["channel", "list"], data);
    }
}

#[test]
fn a_socket_works_in_a_directory_with_a_long_name() {
    let data = TempDir::new().unwrap();
    let data = data.path().join("long".repeat(40));
    let node = Node::start(&data);
    expect(0, &["channel", "create", "second"], &data);
    assert!(node.stop().success());
}

/// Tells threads to stop, also when a test fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_check_of_a_node_that_is_written_to_finds_nothing() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    let stop = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        // However this ends, the writers do too.
        let stopping = StopOnDrop(&stop);
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (client, stop) = (node.client(), &stop);
                scope.spawn(move || {
                    let mut count = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let answer = client
                            .send(&put(&format!("{writer}-{count}"), 100))
                            .unwrap();
                        assert_eq!(answer.status, 201, "{}", answer.text());
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let mut heights = Vec::new();
        for _ in 0..8 {
            let printed = expect(0, &["check", "--revalidate", "--json"], data.path());
            let reports: Value = serde_json::from_str(&printed).unwrap();
            assert_eq!(reports[0]["findings"], json!([]));
            assert_eq!(reports[0]["notes"], json!([]));
            heights.push(reports[0]["blocks"].as_u64().unwrap());
        }
        drop(stopping);
        assert!(
            heights.is_sorted() && heights[0] < heights[7],
            "{heights:?}"
        );
        let counts = writers.into_iter().map(|writer| writer.join().unwrap());
        counts.sum::<u64>()
    });
    println!("{written} writes during 8 checks");
    assert!(node.stop().success());
    assert!(check(data.path()).status.success());
}

#[test]
fn a_damaged_old_block_turns_health_red_and_every_other_is_served() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    for key in 1..=8 {
        assert_eq!(
            node.client()
                .send(&put(&key.to_string(), 10))
                .unwrap()
                .status,
            201
        );
    }
    assert!(node.stop().success());
    let channel = data.path().join("channels/main");
    let blockfile = channel.join("blockfile_000000");
    let backup = TempDir::new().unwrap();
    fs::copy(&blockfile, backup.path().join("blockfile_000000")).unwrap();
    // Block 0 is the one with the configuration, which the node needs to start.
    for number in [5, 0] {
        damage(&blockfile, number);
        let mut node = Node::start(data.path());
        let client = node.client();
        for other in 0..9 {
            let answer = client
                .send(&get(&format!("/v1/channels/main/blocks/{other}")))
                .unwrap();
            if other == number {
                let problem = answer.json();
                assert_eq!(answer.status, 500, "{problem}");
                assert_eq!(problem["code"], "BLOCK_CORRUPT");
                assert_eq!(problem["blockNumber"], number);
            } else {
                assert_eq!(answer.status, 200, "{}", answer.text());
            }
        }
        let health = client.send(&get("/healthz")).unwrap();
        assert_eq!(health.status, 503);
        let reason = health.json()["failed_checks"][0]["reason"].to_string();
        assert!(reason.contains(&format!("block {number}")), "{reason}");
        let next = "quire repair --channel main --from COPY";
        assert!(reason.contains(next), "{reason}");
        // Writes work, so traffic goes on.
        assert_eq!(client.send(&get("/readyz")).unwrap().status, 200);
        let written = client.send(&put(&format!("after-{number}"), 10)).unwrap();
        assert_eq!(written.status, 201, "{}", written.text());
        let told = "a block is damaged; all others are served";
        assert_eq!(node.log().matches(told).count(), 1, "{}", node.log());
        assert!(node.is_running());
        assert!(node.stop().success());

        let printed = expect(1, &["check", "--channel", "main"], data.path());
        assert!(printed.contains(&format!("block {number}, ")), "{printed}");
        let next = "next: `quire repair --from COPY --channel main --data ";
        assert!(printed.contains(next), "{printed}");
        // Nor is any other block called damaged where there is no index to tell where it is.
        let bare = backup.path().join(format!("without-derived-{number}"));
        copy_without_derived(data.path(), &bare);
        let printed = expect(1, &["check", "--channel", "main"], &bare);
        assert!(printed.contains("DAMAGED, 1 finding\n"), "{printed}");
        assert!(!printed.contains("damaged or lost"), "{printed}");
        let copy = backup.path().to_str().unwrap();
        let arguments = ["repair", "--channel", "main", "--from", copy];
        let printed = expect(0, &arguments, data.path());
        assert!(
            printed.contains(&format!("block {number}: replaced")),
            "{printed}"
        );
        expect(0, &["check"], data.path());
    }
    damage(&blockfile, 6);
    accept_the_loss(data.path());
}

/// Copies a data directory as a backup does.
fn copy_without_derived(data: &Path, copy: &Path) {
    let mut copying = Command::new("cp");
    copying.arg("-r").arg(data).arg(copy);
    assert!(copying.status().unwrap().success());
    fs::remove_dir_all(copy.join("derived")).unwrap();
}

/// Cuts a channel of eleven blocks where the sixth is damaged, and goes on.
fn accept_the_loss(data: &Path) {
    let lose = |from| ["truncate-tail", "--channel", "main", "--from-block", from];
    for wrong in ["5", "7"] {
        let printed = expect(2, &lose(wrong), data);
        assert!(printed.contains("blocks 6 to 10"), "{printed}");
    }
    let printed = expect(0, &lose("6"), data);
    assert!(printed.contains("lost blocks 6 to 10"), "{printed}");
    expect(0, &["rebuild", "--history"], data);
    let node = Node::start(data);
    assert_eq!(node.client().height(), 6);
    assert!(node.stop().success());
    expect(0, &["check"], data);
}

/// A place for a data directory that fills up: a small tmpfs where the test may mount one, otherwise
/// any directory, with files that may not grow.
struct Small {
    dir: TempDir,
    mounted: bool,
}

const LIMIT_FILES: &str = "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\"";

impl Small {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
            .arg(dir.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        println!(
            "on {}",
            if mounted {
                "a tmpfs"
            } else {
                "files that may not grow"
            }
        );
        Self { dir, mounted }
    }

    fn start(&self, data: &Path) -> Node {
        let under: &[&str] = if self.mounted {
            &[]
        } else {
            &["bash", "-c", LIMIT_FILES]
        };
        let mut node = Node::spawn_under(under, data);
        assert!(node.comes_up(), "{}", node.log());
        node
    }

    fn make_space(&self) {
        if self.mounted {
            let mut mount = Command::new("mount");
            mount.args(["-o", "remount,size=200m"]).arg(self.dir.path());
            assert!(mount.status().unwrap().success());
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        if self.mounted {
            drop(Command::new("umount").arg(self.dir.path()).output());
        }
    }
}

/// Writes until one is refused; how many were acknowledged.
fn fill(client: &Client) -> u64 {
    for key in 0..200 {
        let answer = client.send(&put(&key.to_string(), 400_000)).unwrap();
        match answer.status {
            201 => {}
            504 | 503 => return key,
            other => panic!("{other} {}", answer.text()),
        }
    }
    panic!("it never filled up");
}

#[test]
fn a_full_disk_stops_writes_only_and_nothing_is_lost_once_there_is_space() {
    let small = Small::new();
    let data = small.dir.path().join("data");
    let node = small.start(&data);
    let client = node.client();
    let acknowledged = fill(&client);
    assert!(acknowledged > 2, "{acknowledged}");
    for _ in 0..3 {
        let refused = client.send(&put("another", 10)).unwrap();
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert_eq!(refused.json()["code"], "STORAGE_FAILED");
        assert!(refused.header("retry-after").is_some());
    }
    let health = client.send(&get("/healthz")).unwrap();
    assert_eq!(health.status, 503);
    let failed = &health.json()["failed_checks"][0];
    assert_eq!(failed["component"], "channel main");
    println!("{failed}");
    let are_there = |client: &Client| {
        for key in 0..acknowledged {
            let path = format!("/v1/channels/main/state/orders/{key}");
            let answer = client.send(&get(&path)).unwrap();
            assert_eq!(answer.status, 200, "{key}: {}", answer.text());
        }
    };
    are_there(&client);
    node.kill();
    small.make_space();

    let node = Node::start(&data);
    let client = node.client();
    are_there(&client);
    assert_eq!(client.get("/healthz", "application/json").status, 200);
    // The one whose outcome nobody knew, and one more.
    for key in [acknowledged.to_string(), "another".to_owned()] {
        let answer = client
            .send(&put(&key, if key == "another" { 10 } else { 400_000 }))
            .unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    assert!(node.stop().success());
    assert!(check(&data).status.success());
    println!("{acknowledged} acknowledged before it was full");
}
