//! One failing system call at a time, in the real binary: strace makes the Nth call of a kind fail
//! while a client writes. Whatever the node does then, after a restart everything that it had
//! acknowledged is there, and `quire check` finds nothing.
//!
//! Guards against an error that is swallowed between the file system and the acknowledgement.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::kit::{Client, Node, Request, check};

/// Writes of the client, unless the node gives up before.
const WRITES: u64 = 24;
/// So small that a few blocks fill a file, and files are made during the run.
const SEGMENT_BYTES: u64 = 20_000;

/// What fails.
struct Fault {
    /// The data directory at the beginning.
    start: Start,
    call: &'static str,
    error: &'static str,
    /// The call that fails, counted by thread.
    nth: &'static [u64],
    /// Only calls on these, below the data directory; all of them where there is none.
    paths: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// There is no data directory.
    Nothing,
    /// A node was stopped.
    Stopped,
    /// A node was killed in the middle of a write.
    Torn,
}

const BLOCK_FILES: &[&str] = &[
    "channels/main/blockfile_000000",
    "channels/main/blockfile_000001",
    "channels/main/blockfile_000002",
    "channels/main/blockfile_000003",
    "channels/main/blockfile_000004",
];
const ENGINE: &[&str] = &["derived/0.jnl", "derived/1.jnl", "derived/2.jnl"];

const fn fault(
    start: Start,
    call: &'static str,
    error: &'static str,
    nth: &'static [u64],
    paths: &'static [&'static str],
) -> Fault {
    Fault {
        start,
        call,
        error,
        nth,
        paths,
    }
}

const FAULTS: &[Fault] = &[
    fault(
        Start::Stopped,
        "pwrite64",
        "ENOSPC",
        &[1, 2, 6],
        BLOCK_FILES,
    ),
    fault(Start::Stopped, "pwrite64", "EIO", &[3, 11], BLOCK_FILES),
    fault(
        Start::Stopped,
        "fdatasync",
        "EIO",
        &[1, 2, 3, 7, 12],
        BLOCK_FILES,
    ),
    fault(Start::Stopped, "fsync", "EIO", &[1, 2, 3, 4], &[]),
    fault(Start::Stopped, "openat", "EIO", &[1, 2, 3], BLOCK_FILES),
    fault(Start::Stopped, "openat", "ENOSPC", &[1], BLOCK_FILES),
    fault(Start::Stopped, "openat", "EMFILE", &[1], ENGINE),
    fault(Start::Stopped, "write", "ENOSPC", &[1, 2, 9], ENGINE),
    fault(Start::Stopped, "write", "EIO", &[4], ENGINE),
    fault(Start::Torn, "ftruncate", "EIO", &[1, 2], BLOCK_FILES),
    fault(Start::Torn, "fdatasync", "EIO", &[1, 2], BLOCK_FILES),
    fault(Start::Nothing, "rename", "EIO", &[1, 2, 3, 4, 5], &[]),
    fault(Start::Nothing, "fsync", "EIO", &[1, 5, 12, 20], &[]),
    fault(Start::Nothing, "fdatasync", "ENOSPC", &[1, 2, 3], &[]),
    fault(Start::Nothing, "pwrite64", "ENOSPC", &[1, 2], &[]),
    fault(Start::Nothing, "ftruncate", "EIO", &[1, 2], &[]),
];

#[test]
fn no_failing_system_call_loses_an_acknowledged_transaction() {
    let strace = Command::new("strace").arg("-V").output();
    assert!(
        strace.is_ok(),
        "this test needs strace: apt-get install strace"
    );
    let stopped = template();
    let (mut runs, mut hits, mut acknowledged) = (0, 0, 0);
    for fault in FAULTS {
        for nth in fault.nth {
            let outcome = run(fault, *nth, stopped.path());
            println!(
                "{:?} {} {} {nth}: {} hits, {} acknowledged, {}",
                fault.start,
                fault.call,
                fault.error,
                outcome.hits,
                outcome.acknowledged,
                if outcome.came_up {
                    "came up"
                } else {
                    "did not start"
                }
            );
            runs += 1;
            hits += u64::from(outcome.hits > 0);
            acknowledged += outcome.acknowledged;
        }
    }
    println!(
        "{runs} runs, {hits} hit by a fault, {acknowledged} transactions acknowledged in them"
    );
    assert!(hits * 10 >= runs * 7, "most faults must hit something");
    for call in [
        "pwrite64",
        "write",
        "fdatasync",
        "fsync",
        "openat",
        "rename",
        "ftruncate",
    ] {
        assert!(FAULTS.iter().any(|fault| fault.call == call));
    }
}

struct Outcome {
    came_up: bool,
    hits: usize,
    acknowledged: u64,
}

/// A data directory with a few blocks in small files.
fn template() -> TempDir {
    let data = TempDir::new().unwrap();
    assert!(Node::start(data.path()).stop().success());
    let record = data.path().join("id-store/main.json");
    let text = fs::read_to_string(&record).unwrap();
    let small = text.replace("67108864", &SEGMENT_BYTES.to_string());
    assert_ne!(text, small);
    fs::write(&record, small).unwrap();
    let node = Node::start(data.path());
    for position in 0..2 {
        let answer = node.client().send(&write("before", position)).unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    assert!(node.stop().success());
    data
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn run(fault: &Fault, nth: u64, template: &Path) -> Outcome {
    let scratch = TempDir::new().unwrap();
    // strace compares paths as they are.
    let data = scratch.path().canonicalize().unwrap().join("data");
    if fault.start != Start::Nothing {
        copy(template, &data);
    }
    if fault.start == Start::Torn {
        let file = data.join(BLOCK_FILES[0]);
        let mut bytes = fs::read(&file).unwrap();
        bytes.extend([7; 333]);
        fs::write(file, bytes).unwrap();
    }
    let log = scratch.path().join("strace");
    let (came_up, answered) = write_under(fault, nth, &data, &log);
    let hits = fs::read_to_string(&log).unwrap();
    let hits = hits.matches("(INJECTED)").count();

    let node = Node::start(&data);
    let client = node.client();
    for (request, body) in &answered {
        let again = client.send(request).unwrap();
        assert_eq!(
            again.header("idempotency-replayed"),
            Some("true"),
            "{}",
            again.text()
        );
        assert_eq!(without_request_id(again.json()), *body);
        let path = request.path.clone();
        assert_eq!(client.get(&path, "application/json").text(), request.body);
    }
    let answer = client.send(&write("after", 0)).unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    let health = client.get("/healthz", "application/json");
    assert_eq!(health.json()["status"], "OK");
    assert!(node.stop().success());
    let verdict = check(&data);
    assert!(
        verdict.status.success(),
        "{} {nth}: `quire check` said\n{}{}",
        fault.call,
        String::from_utf8_lossy(&verdict.stdout),
        String::from_utf8_lossy(&verdict.stderr)
    );
    let acknowledged = answered.len() as u64;
    if fault.paths == BLOCK_FILES && came_up && hits > 0 {
        // strace cannot lose the pages of a sync that it fails: what counts is who was told.
        assert!(acknowledged < WRITES, "{} {nth} was swallowed", fault.call);
    }
    Outcome {
        came_up,
        hits,
        acknowledged,
    }
}

/// Runs a node with the fault, writes until it gives up, and kills it. What was acknowledged.
fn write_under(fault: &Fault, nth: u64, data: &Path, log: &Path) -> (bool, Vec<(Request, Value)>) {
    let inject = format!("inject={}:error={}:when={nth}", fault.call, fault.error);
    let trace = format!("trace={}", fault.call);
    let mut command: Vec<String> = ["strace", "-f", "-qq", "-e", &trace, "-e", &inject, "-o"]
        .map(str::to_owned)
        .to_vec();
    command.push(log.display().to_string());
    for path in fault.paths {
        let path: PathBuf = data.join(path);
        command.extend(["-P".to_owned(), path.display().to_string()]);
    }
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let mut node = Node::spawn_under(&command, data);
    let came_up = node.comes_up();
    let mut answered = Vec::new();
    if came_up {
        let client = node.client();
        let mut refusals = 0;
        for position in 0..WRITES {
            let request = write("during", position);
            if attempt(&client, request, &mut answered) {
                continue;
            }
            refusals += 1;
            if refusals == 3 {
                break;
            }
        }
        if refusals > 0 {
            // It knows that it is not well, and says so; reads go on.
            assert_eq!(
                client.send(&get("/healthz")).unwrap().status,
                503,
                "{}",
                node.log()
            );
            let info = client.send(&get("/v1/channels/main")).unwrap();
            assert_eq!(info.status, 200, "{}", info.text());
        }
    }
    node.kill_under();
    (came_up, answered)
}

/// Whether the write was acknowledged.
fn attempt(client: &Client, request: Request, answered: &mut Vec<(Request, Value)>) -> bool {
    let answer = client.send(&request).unwrap();
    match answer.status {
        200 | 201 => {
            answered.push((request, without_request_id(answer.json())));
            true
        }
        503 => {
            assert!(answer.header("retry-after").is_some());
            let code = &answer.json()["code"];
            assert_eq!(code, "STORAGE_FAILED", "{}", answer.text());
            false
        }
        504 => false,
        _ => panic!("{} {}", answer.status, answer.text()),
    }
}

fn without_request_id(mut body: Value) -> Value {
    body.as_object_mut().unwrap().remove("requestId");
    body
}

fn write(phase: &str, position: u64) -> Request {
    Request {
        method: "PUT",
        path: format!("/v1/channels/main/state/faults/{phase}-{position}"),
        headers: vec![
            ("Content-Type", "application/json".into()),
            ("Idempotency-Key", format!("{phase}-{position}")),
        ],
        body: json!({"position": position, "filling": "x".repeat(500)}).to_string(),
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
