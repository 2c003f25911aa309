//! `quire blocks`, `channel fetch` and `migrate`: what files say, of a node that runs, of one that was
//! stopped or killed, and of a copy.

use std::fs;
use std::path::Path;
use std::process::Output;

use quire_wire::Message as _;
use quire_wire::common::Block;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::{Client, Node, Request, quire, run};

fn put(client: &Client, key: u32) {
    let request = Request {
        method: "PUT",
        path: format!("/v1/channels/main/state/orders/{key}"),
        headers: vec![("Content-Type", "application/json".into())],
        body: format!("{{\"n\": {key}}}"),
    };
    let answer = client.send(&request).unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What a command prints that must succeed.
#[track_caller]
fn printed(arguments: &[&str], data: &Path) -> Vec<u8> {
    let output = run(arguments, data);
    let errors = text(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    output.stdout
}

#[track_caller]
fn refused(arguments: &[&str], data: &Path, code: i32, expected: &str) -> Output {
    let output = run(arguments, data);
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    assert!(errors.contains(expected), "{arguments:?}: {errors}");
    output
}

/// Blocks as the API gives them.
fn of_the_api(client: &Client, blocks: u32) -> (Vec<Value>, Vec<Vec<u8>>) {
    let path = |number| format!("/v1/channels/main/blocks/{number}");
    let decoded = (0..blocks).map(|number| client.json(&path(number)));
    let bytes = (0..blocks).map(|number| {
        let answer = client.get(&path(number), "application/x-protobuf");
        assert_eq!(answer.status, 200);
        answer.body
    });
    (decoded.collect(), bytes.collect())
}

/// Compares all that can be listed and fetched with what the API gave.
fn compare(data: &Path, decoded: &[Value], bytes: &[Vec<u8>]) {
    let lines = |arguments: &[&str]| -> Vec<Value> {
        let printed = text(&printed(arguments, data));
        printed
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    assert_eq!(lines(&["blocks", "--json"]), decoded);
    assert_eq!(
        lines(&["blocks", "--json", "--from", "1", "--to", "2"]),
        decoded[1..=2]
    );
    let last = (decoded.len() - 1).to_string();
    assert_eq!(
        lines(&["blocks", "--json", "--from", &last, "--to", "999"]).len(),
        1
    );

    let listed = text(&printed(&["blocks"], data));
    let (blocks, transactions): (Vec<_>, Vec<_>) =
        listed.lines().partition(|line| !line.starts_with('\t'));
    assert_eq!(
        (blocks.len(), transactions.len()),
        (decoded.len(), decoded.len())
    );
    for (block, expected) in blocks.iter().zip(decoded) {
        let columns: Vec<_> = block.split('\t').collect();
        let previous = expected["previousHash"].as_str().unwrap();
        let time = &expected["transactions"][0]["timestamp"];
        assert_eq!(columns[0], expected["number"].to_string());
        assert_eq!(columns[1], time.as_str().unwrap());
        assert_eq!(columns[2], expected["hash"]);
        assert_eq!(columns[3], if previous.is_empty() { "-" } else { previous });
        assert_eq!(columns[4], "1 transaction");
    }
    for (transaction, expected) in transactions.iter().zip(decoded) {
        let expected = &expected["transactions"][0];
        let [id, code, kind] =
            ["transactionId", "code", "type"].map(|name| expected[name].as_str().unwrap());
        assert_eq!(*transaction, format!("\t0\t{id}\t{code}\t{kind}"));
    }

    for (number, expected) in bytes.iter().enumerate() {
        let number = number.to_string();
        assert!(printed(&["channel", "fetch", &number, "-"], data) == *expected);
    }
    let fetch = |wanted| printed(&["channel", "fetch", wanted, "-"], data);
    assert!(fetch("oldest") == bytes[0]);
    assert!(fetch("config") == bytes[0]);
    assert!(fetch("newest") == *bytes.last().unwrap());

    let height = bytes.len().to_string();
    let none = format!("has no block {height}: it has {height}");
    refused(&["blocks", "--from", &height], data, 2, &none);
    refused(&["channel", "fetch", &height, "-"], data, 2, &none);
    refused(
        &["blocks", "--from", "2", "--to", "1"],
        data,
        2,
        "--to 1 lies before --from 2",
    );
    refused(
        &["blocks", "--channel", "other"],
        data,
        2,
        "there is no channel other",
    );
    refused(&["blocks", "--channel", "../main"], data, 2, "bad channel");
}

#[test]
fn blocks_are_listed_and_fetched_as_the_api_gives_them_whether_a_node_runs_or_not() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    for key in 0..3 {
        put(&node.client(), key);
    }
    let (decoded, bytes) = of_the_api(&node.client(), 4);
    compare(data.path(), &decoded, &bytes);
    assert!(node.stop().success());
    compare(data.path(), &decoded, &bytes);
    let node = Node::start(data.path());
    node.kill();
    compare(data.path(), &decoded, &bytes);
    // What a backup need not have.
    fs::remove_dir_all(data.path().join("derived")).unwrap();
    fs::remove_file(data.path().join("lock")).unwrap();
    fs::remove_file(data.path().join("admin.sock")).unwrap();
    compare(data.path(), &decoded, &bytes);
}

#[test]
fn a_fetched_block_lands_in_a_file_named_as_fabric_names_it() {
    let data = TempDir::new().unwrap();
    printed(&["channel", "create", "main"], data.path());
    let here = TempDir::new().unwrap();
    let fetch = |arguments: &[&str]| {
        let mut command = quire(&[]);
        command
            .current_dir(here.path())
            .args(["channel", "fetch"])
            .args(arguments);
        command.arg("--data").arg(data.path()).output().unwrap()
    };
    for (arguments, file) in [
        (&["oldest"][..], "main_oldest.block"),
        (&["newest"], "main_newest.block"),
        (&["config", "--channel", "main"], "main_config.block"),
        (&["0"], "main_0.block"),
        (&["0", "mine.pb"], "mine.pb"),
    ] {
        let output = fetch(arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains(file));
        let block = Block::decode(fs::read(here.path().join(file)).unwrap().as_slice()).unwrap();
        assert_eq!(block.header.unwrap().number, 0);
        assert_eq!(block.data.unwrap().data.len(), 1);
    }
    let output = fetch(&["0", "nowhere/a.block"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("nowhere/a.block cannot be written"));
}

#[test]
fn what_is_no_block_ends_the_list_and_is_told() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    for key in 0..3 {
        put(&node.client(), key);
    }
    assert!(node.stop().success());
    let file = data.path().join("channels/main/blockfile_000000");
    let sound = fs::read(&file).unwrap();
    fs::write(&file, &sound[..sound.len() - 7]).unwrap();
    let output = refused(&["blocks"], data.path(), 1, "blockfile_000000");
    assert_eq!(
        text(&output.stdout).lines().count(),
        2 * 3,
        "the blocks before it"
    );
    refused(
        &["blocks", "--from", "3"],
        data.path(),
        1,
        "blockfile_000000",
    );
    refused(
        &["channel", "fetch", "newest", "-"],
        data.path(),
        1,
        "quire check",
    );
    printed(&["blocks", "--to", "2"], data.path());
    printed(&["channel", "fetch", "2", "-"], data.path());

    // A file that is missing between others.
    fs::write(&file, &sound).unwrap();
    let later = data.path().join("channels/main/blockfile_000002");
    fs::write(later, "x").unwrap();
    let output = refused(&["blocks"], data.path(), 1, "blockfile_000001");
    assert_eq!(text(&output.stdout).lines().count(), 2 * 4);
}

#[test]
fn whoever_reads_only_the_first_lines_is_no_error() {
    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    for key in 0..40 {
        put(&node.client(), key);
    }
    assert!(node.stop().success());
    let binary = env!("CARGO_BIN_EXE_quire");
    let script = format!(
        "set -o pipefail; '{binary}' blocks --json --data '{}' | head -c 10",
        data.path().display()
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &script])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
}

fn definition(name: &str, field: &str) -> String {
    json!({"namespace": "orders", "index": {"fields": [field]}, "ddoc": name, "name": name})
        .to_string()
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one directory, and what is done to it in turn"
)]
fn migrate_does_what_a_start_would_do_and_says_so() {
    let root = TempDir::new().unwrap();
    let (by_command, by_start) = (root.path().join("command"), root.path().join("start"));
    let files = root.path().join("files");
    fs::create_dir(&files).unwrap();
    let flags = ["--migrations", files.to_str().unwrap()];
    for data in [&by_command, &by_start] {
        for channel in ["main", "second"] {
            printed(&["channel", "create", channel], data);
        }
    }
    let migrate = |more: &[&str]| {
        let all = [&["migrate"], &flags[..], more].concat();
        text(&printed(&all, &by_command))
    };
    // Without their numbers: a file that is begun without the engine begins behind all of its.
    let stored = |data: &Path, channel: &str| {
        let file = format!("channels/{channel}/indexes.json");
        let text = fs::read_to_string(data.join(file)).unwrap_or_default();
        let numbers = ["\"number\": ", "\"next\": "];
        let kept = text.lines().filter(|line| {
            !numbers
                .iter()
                .any(|name| line.trim_start().starts_with(name) && line.len() < 40)
        });
        kept.collect::<String>()
    };
    assert_eq!(migrate(&[]), "nothing to migrate\n");
    fs::write(
        files.join("0001-total.json"),
        definition("by-total", "total"),
    )
    .unwrap();
    let both = format!(
        "[{},{}]",
        definition("by-total", "sum"),
        definition("by-due", "due")
    );
    fs::write(files.join("0002-due.json"), both).unwrap();
    let told = migrate(&["--dry-run"]);
    for channel in ["main", "second"] {
        assert!(
            told.contains(&format!(
                "channel {channel}: 0001-total.json would be applied: 1 index\n"
            )),
            "{told}"
        );
        assert!(
            told.contains(&format!(
                "channel {channel}: 0002-due.json would be applied: 2 indexes\n"
            )),
            "{told}"
        );
        assert_eq!(stored(&by_command, channel), "");
    }
    let told = migrate(&[]);
    assert_eq!(told.matches("was applied").count(), 4, "{told}");
    assert_eq!(migrate(&[]), "nothing to migrate\n");
    // A start has nothing left to do, and finds what it would have done itself.
    let node = Node::start_with(&by_command, &flags);
    assert!(!node.log().contains("0001-total.json"), "{}", node.log());
    let listed = node.client().json("/v1/channels/main/state/orders/_index");
    assert_eq!(listed["indexes"].as_array().unwrap().len(), 3, "{listed}");
    assert!(node.stop().success());
    assert!(Node::start_with(&by_start, &flags).stop().success());
    for channel in ["main", "second"] {
        assert_eq!(stored(&by_command, channel), stored(&by_start, channel));
    }

    // A file that was changed, and one that is no more.
    fs::write(files.join("0002-due.json"), definition("by-due", "due")).unwrap();
    let changed = [&["migrate"], &flags[..]].concat();
    refused(&changed, &by_command, 2, "0002-due.json was changed");
    fs::remove_file(files.join("0002-due.json")).unwrap();
    assert!(migrate(&[]).contains("0002-due.json was applied once, and is there no more"));
    refused(
        &["migrate", "--migrations", "/nowhere"],
        &by_command,
        2,
        "/nowhere",
    );
}

#[test]
fn migrate_rewrites_a_file_of_an_older_form() {
    let data = TempDir::new().unwrap();
    printed(&["channel", "create", "main"], data.path());
    let forms = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../migrations/formats/0001-indexes-with-migrations");
    let file = data.path().join("channels/main/indexes.json");
    fs::copy(forms.join("before.json"), &file).unwrap();
    let before = fs::read_to_string(&file).unwrap();
    let told = text(&printed(&["migrate", "--dry-run"], data.path()));
    assert_eq!(
        told,
        "channel main: indexes.json of form 1 would be written in form 2\n"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    let told = text(&printed(&["migrate"], data.path()));
    assert_eq!(
        told,
        "channel main: indexes.json of form 1 was written in form 2\n"
    );
    let after = fs::read_to_string(forms.join("after.json")).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), after.trim_end());
    assert_eq!(
        text(&printed(&["migrate"], data.path())),
        "nothing to migrate\n"
    );
}

#[test]
fn migrate_gives_a_running_node_its_files_at_once_and_channels_that_come_later_too() {
    let root = TempDir::new().unwrap();
    let data = root.path().join("data");
    let node = Node::start(&data);
    put(&node.client(), 1);
    let names = |channel: &str| -> Vec<String> {
        let listed = node
            .client()
            .json(&format!("/v1/channels/{channel}/state/orders/_index"));
        let listed = listed["indexes"].as_array().unwrap().clone();
        listed
            .iter()
            .map(|index| index["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let migrate = || text(&printed(&["migrate"], &data));
    assert!(migrate().starts_with("there are no files of query indexes"));
    fs::create_dir(data.join("migrations")).unwrap();
    assert_eq!(migrate(), "nothing to migrate\n");
    fs::write(data.join("migrations/0001-a.json"), definition("by-n", "n")).unwrap();
    assert_eq!(
        migrate(),
        "channel main: 0001-a.json was applied: 1 index\n"
    );
    assert_eq!(names("main"), ["_all_docs", "by-n"]);
    printed(&["channel", "create", "second"], &data);
    assert_eq!(names("second"), ["_all_docs", "by-n"]);
    assert_eq!(migrate(), "nothing to migrate\n");
    fs::write(data.join("migrations/0001-a.json"), definition("by-m", "m")).unwrap();
    refused(&["migrate"], &data, 2, "0001-a.json was changed");
    fs::write(data.join("migrations/0001-a.json"), "{").unwrap();
    refused(&["migrate"], &data, 2, "0001-a.json");
    assert!(node.stop().success());
}
