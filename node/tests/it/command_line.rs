//! Commands that are pointed at the wrong place: they make nothing, and say what would be right.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::kit::{Node, quire, run};

/// Every command that reads, or acts on what must be there.
const COMMANDS: &[&[&str]] = &[
    &["check"],
    &["check", "--channel", "main", "--json"],
    &["blocks"],
    &["blocks", "--channel", "other", "--json"],
    &["channel", "list"],
    &["channel", "fetch", "newest", "-"],
    &["channel", "fetch", "config", "-", "--channel", "other"],
    &["token", "create", "--identity", "shop", "--role", "writer"],
    &[
        "token",
        "create",
        "--identity",
        "a",
        "--role",
        "admin",
        "--client-certificate",
    ],
    &["token", "list"],
    &["token", "rotate", "abc"],
    &["token", "revoke", "abc"],
    &["rebuild"],
    &["rebuild", "--index", "--channel", "main"],
    &["repair", "--channel", "main", "--from", "/"],
    &["truncate-tail", "--channel", "main", "--dry-run"],
    &["truncate-tail", "--channel", "main", "--from-block", "1"],
    &["migrate"],
    &["migrate", "--dry-run"],
];

/// Everything below a folder: kind, mode and content of each.
fn tree(root: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mut content = Vec::new();
        if metadata.is_dir() {
            if let Ok(entries) = fs::read_dir(&path) {
                left.extend(entries.map(|entry| entry.unwrap().path()));
            }
        } else {
            content = fs::read(&path).unwrap_or_default();
        }
        found.insert(path, (metadata.mode(), content));
    }
    found
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command that must end with 2, print nothing on standard output, leave `root` as it is, and
/// say all of `expected`.
#[track_caller]
fn refuses(output: &Output, command: &[&str], expected: &[&str]) {
    let told = errors(output);
    assert_eq!(output.status.code(), Some(2), "{command:?}: {told}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{command:?}");
    assert!(!told.contains("panicked"), "{command:?}: {told}");
    for expected in expected {
        assert!(
            told.contains(expected),
            "{command:?} lacks {expected:?}: {told}"
        );
    }
}

#[test]
fn a_command_at_the_wrong_place_makes_nothing_and_says_what_would_be_right() {
    let root = TempDir::new().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::create_dir(at("empty")).unwrap();
    fs::write(at("file"), "x").unwrap();
    fs::create_dir(at("home")).unwrap();
    for name in [".profile", "letters", "photo.jpg", "taxes"] {
        fs::write(at("home").join(name), "x").unwrap();
    }
    let missing = at("nothing");
    let below_file = at("file").join("below");
    let deep = at("a/b/c");
    let makes = |path: &Path| format!("quire run --data {}", path.display());
    let rows: &[(&Path, &[&str])] = &[
        (
            &missing,
            &["there is no data directory at", &makes(&missing)],
        ),
        (&deep, &["there is no data directory at", &makes(&deep)]),
        (&at("empty"), &["is an empty folder", &makes(&at("empty"))]),
        (&at("file"), &["is a file", "quire run --data DIR"]),
        (&below_file, &["cannot be looked into"]),
        (
            &at("home"),
            &[
                "is not a data directory",
                ".profile",
                "quire run --data DIR",
            ],
        ),
    ];
    let before = tree(root.path());
    for (path, expected) in rows {
        for command in COMMANDS {
            let output = run(command, path);
            if command[0] == "check" {
                refuses(&output, command, &["no ledger here"]);
            }
            let path = path.display().to_string();
            refuses(&output, command, &[*expected, &[&path]].concat());
            assert_eq!(tree(root.path()), before, "{command:?} {path}");
        }
    }
}

#[test]
fn a_data_directory_that_is_near_is_named() {
    let root = TempDir::new().unwrap();
    let data = root.path().join("ledger");
    let node = Node::start(&data);
    // A typo, the folder that it is in, and a folder inside.
    let places = [
        root.path().join("leger"),
        root.path().to_owned(),
        data.join("channels"),
    ];
    let one = format!("{} is one", data.display());
    for place in &places {
        for command in COMMANDS {
            let before: Vec<_> = tree(root.path()).into_keys().collect();
            refuses(&run(command, place), command, &[&one]);
            let after: Vec<_> = tree(root.path()).into_keys().collect();
            assert_eq!(after, before, "{command:?} {}", place.display());
        }
    }
    // The real one is as open as before: nobody has made a token.
    assert_eq!(node.client().height(), 1);
    assert!(node.stop().success());
}

/// The uid of this process.
fn own_uid() -> u32 {
    fs::metadata("/proc/self").unwrap().uid()
}

/// The binary as a user who is not this one; as this one where we may not become another.
pub(crate) fn as_another(folder: &Path) -> (Command, bool) {
    if own_uid() != 0 {
        return (quire(&[]), false);
    }
    // Where the other user finds it.
    let binary = folder.join("quire");
    if !binary.exists() {
        // By another process: one of ours that is begun meanwhile would hold the file open for writing for a
        // moment, and nobody can run it then.
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_quire"))
            .arg(&binary)
            .status();
        assert!(copied.unwrap().success());
    }
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let mut command = Command::new("setpriv");
    command.args(nobody).arg(binary).env_clear();
    (command, true)
}

#[test]
fn somebody_elses_data_directory_is_refused_with_its_owner() {
    let root = TempDir::new().unwrap();
    fs::set_permissions(root.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let data = root.path().join("data");
    let node = Node::start(&data);
    fs::set_permissions(&data, PermissionsExt::from_mode(0o0)).unwrap();
    let owner = format!("user with id {}", own_uid());
    for command in COMMANDS {
        let (mut other, _) = as_another(root.path());
        let output = other
            .args(*command)
            .arg("--data")
            .arg(&data)
            .output()
            .unwrap();
        refuses(&output, command, &["data cannot be looked into", &owner]);
    }
    fs::set_permissions(&data, PermissionsExt::from_mode(0o755)).unwrap();
    let (mut other, is_another) = as_another(root.path());
    if is_another {
        let command = ["token", "create", "--identity", "shop", "--role", "writer"];
        let output = other
            .args(command)
            .arg("--data")
            .arg(&data)
            .output()
            .unwrap();
        refuses(&output, &command, &["Permission denied"]);
    }
    assert!(node.stop().success());
}

#[test]
fn what_a_stopped_node_and_a_copy_of_it_have_is_read_without_a_trace() {
    let root = TempDir::new().unwrap();
    let data = root.path().join("data");
    assert!(Node::start(&data).stop().success());
    let readers: &[&[&str]] = &[
        &["blocks"],
        &["blocks", "--json"],
        &["channel", "list"],
        &["channel", "fetch", "newest", "-"],
        &["token", "list"],
        &["migrate", "--dry-run"],
        &["config"],
    ];
    for is_copy in [false, true] {
        if is_copy {
            // A check makes neither.
            for name in ["derived", "lock"] {
                let path = data.join(name);
                fs::remove_dir_all(&path)
                    .or_else(|_| fs::remove_file(&path))
                    .unwrap();
            }
            let before = tree(root.path());
            assert!(run(&["check"], &data).status.success());
            assert!(tree(root.path()) == before, "check left a trace");
        }
        let before = tree(root.path());
        for command in readers {
            let output = run(command, &data);
            assert!(output.status.success(), "{command:?}: {}", errors(&output));
            assert!(tree(root.path()) == before, "{command:?} left a trace");
        }
    }
    let output = run(&["token", "list"], &data);
    assert!(
        errors(&output).contains("has no tokens"),
        "{}",
        errors(&output)
    );
}

#[test]
fn settings_of_a_node_that_is_to_come_are_printed_and_nothing_is_made() {
    let root = TempDir::new().unwrap();
    let data = root.path().join("data");
    let output = run(&["config"], &data);
    assert!(output.status.success(), "{}", errors(&output));
    fs::write(root.path().join("file"), "x").unwrap();
    let before = tree(root.path());
    for command in ["config", "run"] {
        let output = run(&[command], &root.path().join("file"));
        assert_eq!(output.status.code(), Some(2));
        let told = errors(&output);
        assert!(
            told.contains("file is a file, and not a data directory"),
            "{told}"
        );
        // What `config` says of a node is what the node does.
        let listen = ["--listen", "0.0.0.0:0"];
        let output = run(&[&[command], &listen[..]].concat(), &data);
        assert_eq!(output.status.code(), Some(2));
        let told = errors(&output);
        assert!(told.contains("nobody has to prove who they are"), "{told}");
        let output = run(&[command, "--log-spec", "loud"], &data);
        assert_eq!(output.status.code(), Some(2));
        let told = errors(&output);
        assert!(told.contains("--log-spec: \"loud\" is no level"), "{told}");
    }
    assert_eq!(tree(root.path()), before);
    let made = root.path().join("made");
    assert!(run(&["channel", "create", "main"], &made).status.success());
    let mut refused = Vec::new();
    for command in ["config", "run"] {
        let output = run(&[command, "--msp-id", "OtherMSP"], &made);
        assert_eq!(output.status.code(), Some(2));
        refused.push(errors(&output));
    }
    assert!(
        refused[0].contains("MSP id of the first start"),
        "{refused:?}"
    );
    assert_eq!(refused[0], refused[1]);
}

#[test]
fn a_data_directory_can_be_made_without_a_node_and_says_so() {
    let root = TempDir::new().unwrap();
    let data = root.path().join("data");
    for (name, is_new) in [("main", true), ("orders", false)] {
        let output = run(&["channel", "create", name], &data);
        let told = errors(&output);
        assert!(output.status.success(), "{told}");
        assert_eq!(told.contains("made a data directory at"), is_new, "{told}");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(printed, format!("channel {name} created\n"));
    }
    let output = run(&["channel", "create", "main"], &data);
    assert_eq!(output.status.code(), Some(2));
    // Then it has an organisation, and what others need to be let in.
    let token = ["token", "create", "--identity", "shop", "--role", "writer"];
    assert!(run(&token, &data).status.success());
    let listed = run(&["channel", "list"], &data).stdout;
    let expected = "main\tActive\twritable\norders\tActive\twritable\n";
    assert_eq!(String::from_utf8(listed).unwrap(), expected);

    // A folder of something else is no place for one.
    let other = root.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("letter"), "x").unwrap();
    let before = tree(root.path());
    let from = data.join("channels/main");
    let import = [
        "channel",
        "import",
        "--channel",
        "b",
        "--blockfiles",
        from.to_str().unwrap(),
    ];
    for command in [&["channel", "create", "b"][..], &import] {
        refuses(&run(command, &other), command, &["is not a data directory"]);
    }
    assert_eq!(tree(root.path()), before);
}

#[test]
fn an_organisation_is_made_by_no_token() {
    let root = TempDir::new().unwrap();
    let made = root.path().join("made");
    assert!(run(&["channel", "create", "main"], &made).status.success());
    // A data directory with an imported channel alone has none yet.
    let data = root.path().join("data");
    let from = made.join("channels/main");
    let import = [
        "channel",
        "import",
        "--channel",
        "old",
        "--blockfiles",
        from.to_str().unwrap(),
    ];
    let output = run(&import, &data);
    assert!(output.status.success(), "{}", errors(&output));
    let token = ["token", "create", "--identity", "shop", "--role", "writer"];
    let before = tree(&data);
    refuses(
        &run(&token, &data),
        &token,
        &["has no organisation", "quire run --data"],
    );
    assert_eq!(tree(&data), before);
    // One of another organisation says how to name it.
    let wrong = [&token[..], &["--msp-id", "OtherMSP"]].concat();
    refuses(&run(&wrong, &made), &wrong, &["--msp-id QuireMSP"]);
}

#[test]
fn a_folder_without_blocks_is_not_called_sound() {
    let root = TempDir::new().unwrap();
    let data = root.path().join("data");
    assert!(run(&["channel", "create", "main"], &data).status.success());
    let at = |name: &str| root.path().join(name);
    fs::create_dir(at("empty")).unwrap();
    fs::write(at("file"), "x").unwrap();
    fs::create_dir(at("hollow")).unwrap();
    fs::write(at("hollow/blockfile_000000"), "").unwrap();
    fs::create_dir(at("others")).unwrap();
    for name in ["blockfile_1", "blockfile_", "blockfile_000000.bak"] {
        fs::write(at("others").join(name), "x").unwrap();
    }
    let rows: [(PathBuf, &str); 6] = [
        (at("nothing"), "there is no folder"),
        (at("file"), "is not a folder"),
        (at("empty"), "holds no block files"),
        (at("others"), "holds no block files"),
        (at("hollow"), "hold no block"),
        // One too high: it says where there are some.
        (data.join("channels"), "There are some in"),
    ];
    let before = tree(root.path());
    for (folder, expected) in &rows {
        let path = folder.to_str().unwrap();
        let check = quire(&[])
            .args(["check", "--blockfiles", path])
            .output()
            .unwrap();
        refuses(&check, &["check"], &[expected, path]);
        if path.ends_with("hollow") {
            continue;
        }
        let import = ["channel", "import", "--channel", "b", "--blockfiles", path];
        refuses(&run(&import, &at("new")), &import, &[expected, path]);
        let repair = ["repair", "--channel", "main", "--from", path];
        refuses(&run(&repair, &data), &repair, &[expected, path]);
    }
    fs::remove_dir_all(data.join("derived")).unwrap();
    let mut before = before;
    before.retain(|path, _| !path.starts_with(data.join("derived")));
    assert_eq!(tree(root.path()), before);
}

#[test]
fn a_data_directory_without_a_channel_has_no_ledger_to_check() {
    let root = TempDir::new().unwrap();
    let data = root.path().join("data");
    for folder in ["id-store", "channels"] {
        fs::create_dir_all(data.join(folder)).unwrap();
    }
    for command in [
        &["check"][..],
        &["check", "--json"],
        &["rebuild"],
        &["migrate"],
    ] {
        refuses(
            &run(command, &data),
            command,
            &["no ledger here", "has no channel", "quire run --data"],
        );
    }
    let listed = run(&["channel", "list"], &data);
    assert!(listed.status.success());
    assert!(errors(&listed).contains("there are no channels"));
}

/// Asks at an address, and gives the status line.
fn status(address: &str, host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_name_is_listened_on_at_all_its_addresses() {
    for flags in [
        &["--listen", "localhost:0"][..],
        &[
            "--listen",
            "127.0.0.1:0",
            "--operations-listen",
            "localhost:0",
        ],
    ] {
        let data = TempDir::new().unwrap();
        let mut child = quire(&[])
            .args(["run", "--data"])
            .arg(data.path())
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut addresses = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some((_, rest)) = line.split_once("http://") {
                addresses.push(rest.split('/').next().unwrap().to_owned());
            }
            // Whoever reads no further does not end the node.
            if line.contains("channels ") {
                break;
            }
        }
        assert!(addresses.len() >= 2, "{addresses:?}");
        for address in &addresses {
            let port = address.rsplit(':').next().unwrap();
            for host in [address.clone(), format!("localhost:{port}")] {
                // The operations may have a door of their own.
                let answers = ["/healthz", "/v1/channels"].map(|path| status(address, &host, path));
                assert!(answers.contains(&"HTTP/1.1 200 OK".to_owned()), "{address}");
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_value_that_cannot_be_is_refused_with_one_that_can() {
    let root = TempDir::new().unwrap();
    let data = root.path().join("data");
    for (flag, value, expected) in [
        ("--listen", ":7080", "127.0.0.1:7080 is this machine alone"),
        ("--listen", "7080", "127.0.0.1:7080"),
        ("--listen", "localhost", "localhost:7080"),
        ("--listen", "::1", "[::1]:7080"),
        ("--listen", "http://127.0.0.1:7080", "no URL"),
        ("--listen", "nobody.invalid:7080", "the name is not known"),
        ("--operations-listen", "127.0.0.1:99999", "from 0 to 65535"),
        (
            "--head-timeout",
            "10s",
            "seconds is meant, from 1 to 86400, as 10",
        ),
        ("--grace", "-1", "seconds is meant, from 0 to 86400, as 10"),
        ("--max-value-bytes", "1MiB", "as 1048576 for a mebibyte"),
        ("--max-connections", "many", "from 1 to 1000000, as 1000"),
        ("--rate-limit", "0", "requests is meant, from 1 to"),
        (
            "--cors-origin",
            "shop.example",
            "such as https://shop.example",
        ),
        ("--state", "couch", "possible values: fjall, couchdb"),
        ("--couchdb-url", "couch", "http://HOST:PORT"),
        ("--log-spec", "loud", "there are error, warn, info"),
        ("--msp-id", "my msp", "a-z A-Z 0-9"),
        ("--lisen", "127.0.0.1:0", "--listen"),
    ] {
        let flag = format!("{flag}={value}");
        let couchdb = if value == "couch" && flag.starts_with("--couchdb") {
            &["--state", "couchdb"][..]
        } else {
            &[]
        };
        let command = [&["run", &flag], couchdb].concat();
        refuses(&run(&command, &data), &command, &[expected]);
        assert!(!data.exists(), "{flag} made something");
    }
    for (command, expected) in [
        (
            &["token", "create", "--identity", "a", "--role", "owner"][..],
            "reader, writer, admin",
        ),
        (
            &["channel", "fetch", "latest"],
            "oldest, newest, config, or a number",
        ),
        (&["blocks", "--from", "one"], "the number of a block"),
        (&["blocs"], "blocks"),
    ] {
        refuses(&run(command, &data), command, &[expected]);
    }
}

#[test]
fn settings_that_are_none_are_told_with_those_that_are_meant() {
    let root = TempDir::new().unwrap();
    let file = root.path().join("quire.toml");
    for (text, expected) in [
        ("lisen = \"127.0.0.1:0\"", "Is listen meant?"),
        ("colour = 1", "There are data, msp-id,"),
        ("listen = 1.5", "listen = \"text\""),
        ("listen", "A line is NAME = VALUE"),
    ] {
        fs::write(&file, text).unwrap();
        let command = ["config", "--config", file.to_str().unwrap()];
        let output = run(&command, &root.path().join("data"));
        refuses(&output, &command, &[expected, "quire.toml"]);
    }
    for (name, expected) in [
        ("QUIRE_LISTN", "is QUIRE_LISTEN meant?"),
        ("QUIRE_COLOUR", "QUIRE_COLOUR: it changes nothing"),
        // A Kubernetes service of our name.
        ("QUIRE_PORT_7080_TCP", ""),
        ("QUIRE_SERVICE_HOST", ""),
        ("QUIRE_COUCHDB_PASSWORD", ""),
    ] {
        let output = quire(&[]).arg("config").env(name, "1").output().unwrap();
        let told = errors(&output);
        assert!(output.status.success(), "{told}");
        assert_eq!(told.is_empty(), expected.is_empty(), "{told}");
        assert!(told.contains(expected), "{told}");
    }
}
