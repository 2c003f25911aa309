//! Fabric's tools in the binary.

use std::os::unix::fs::symlink;
use std::process::Command;

#[test]
fn a_tool_runs_by_its_verb_and_by_a_link_of_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let quire = env!("CARGO_BIN_EXE_quire");
    for tool in ["configtxgen", "configtxlator", "cryptogen", "osnadmin"] {
        let link = folder.path().join(tool);
        symlink(quire, &link).unwrap();
        let by_verb = Command::new(quire).args([tool, "--help"]).output().unwrap();
        let by_link = Command::new(&link).arg("--help").output().unwrap();
        assert!(
            by_verb.status.success() && by_link.status.success(),
            "{tool}"
        );
        assert_eq!(by_verb.stdout, by_link.stdout, "{tool}");
        let help = String::from_utf8(by_link.stdout).unwrap();
        assert!(help.contains(&format!("Usage: {tool}")), "{help}");
    }
}

#[test]
fn flags_of_a_tool_are_its_own_and_nothing_is_made_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let description = folder.path().join("crypto-config.yaml");
    std::fs::write(&description, "PeerOrgs: [{Domain: org1.example.com}]").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_quire"));
    command.current_dir(folder.path());
    command.args(["cryptogen", "generate", "--config", "crypto-config.yaml"]);
    let run = command.output().unwrap();
    assert!(run.status.success(), "{run:?}");
    assert_eq!(run.stdout, b"org1.example.com\n");
    let made = std::fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<_> = made.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["crypto-config", "crypto-config.yaml"]);
}
