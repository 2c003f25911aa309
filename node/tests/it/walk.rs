//! The README's walk, run as a reader would: its `sh` blocks by bash with the real curl, what they
//! print against the `text` block below each. `...` in the README stands for what differs from run
//! to run, and lines may be left out.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::kit::Node;

const SECTION: &str = "## A walk";
const PRINTED_ADDRESS: &str = "127.0.0.1:7080";

/// A command and what the README says it prints.
struct Step {
    command: String,
    output: Vec<String>,
}

#[test]
fn the_walk_in_the_readme_works_as_printed() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let steps = steps(&readme);
    assert!(steps.len() >= 8, "found {} steps", steps.len());

    let data = TempDir::new().unwrap();
    let node = Node::start(data.path());
    for step in steps {
        let command = step.command.replace(PRINTED_ADDRESS, node.address());
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &command])
            .current_dir(data.path())
            .stdin(Stdio::null())
            .output()
            .expect("bash runs");
        let printed =
            String::from_utf8_lossy(&output.stdout).replace(node.address(), PRINTED_ADDRESS);
        assert!(
            output.status.success(),
            "{command}\n{printed}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let mut lines = printed.lines().map(|line| line.trim_end_matches('\r'));
        for expected in &step.output {
            assert!(
                lines.any(|line| matches(expected, line)),
                "{}\nprinted\n{printed}\nwhere the README says\n{expected}",
                step.command
            );
        }
    }
}

/// The `sh` blocks of the section, each with the `text` block that follows it.
fn steps(readme: &str) -> Vec<Step> {
    let (_, section) = readme.split_once(SECTION).expect("the README has a walk");
    let section = section.split("\n## ").next().unwrap();
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = section.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<String> = lines
            .by_ref()
            .take_while(|line| *line != "```")
            .map(str::to_owned)
            .collect();
        match language {
            "sh" => steps.push(Step {
                command: block.join("\n"),
                output: Vec::new(),
            }),
            "text" => steps.last_mut().expect("output follows a command").output = block,
            other => panic!("a block of {other:?} in the walk"),
        }
    }
    steps
}

/// Whether `line` is `pattern`, in which `...` stands for anything.
fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("...");
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap()) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

#[test]
fn three_dots_stand_for_anything() {
    for (pattern, line, expected) in [
        ("etag: \"1.0\"", "etag: \"1.0\"", true),
        ("etag: \"1.0\"", "etag: \"1.01\"", false),
        ("{\"id\":\"...\",\"n\":1}", "{\"id\":\"ab\",\"n\":1}", true),
        ("{\"id\":\"...\",\"n\":1}", "{\"id\":\"ab\",\"n\":2}", false),
        ("a...b...c", "a1b2c", true),
        ("a...b...c", "a1c2b", false),
        ("...", "", true),
    ] {
        assert_eq!(matches(pattern, line), expected, "{pattern} against {line}");
    }
}
