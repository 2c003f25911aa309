//! `configtxlator`.

use std::fs;

use quire_testkit::conformance::read as recorded;

use crate::kit::configtxlator;

const DECODE: [&str; 3] = ["proto_decode", "--type", "common.Config"];

#[test]
fn messages_go_through_streams_and_through_files() {
    let bytes = recorded("rules/configtx/bases/with_org3.pb");
    let shown = configtxlator(&DECODE, &bytes).done();
    let back = configtxlator(&["proto_encode", "--type=common.Config"], &shown.output).done();
    assert_eq!(back.output, bytes);

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("config.pb"), &bytes).unwrap();
    let (input, output) = (path("config.pb"), path("config.json"));
    let files = ["--input", &input, "--output", &output];
    let run = configtxlator(&[&DECODE[..], &files].concat(), b"").done();
    assert!(run.output.is_empty());
    assert_eq!(fs::read(output).unwrap(), shown.output);
}

#[test]
fn what_is_wrong_is_told_and_no_file_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("config.json");
    fs::write(&output, "before").unwrap();
    let file = ["--output", output.to_str().unwrap()];
    let run = configtxlator(&[&DECODE[..], &file].concat(), b"\xff");
    assert_eq!(run.status, 1);
    assert!(
        run.errors.starts_with("configtxlator: error: "),
        "{}",
        run.errors
    );
    assert_eq!(fs::read_to_string(output).unwrap(), "before");

    let run = configtxlator(&["proto_decode", "--type", "common.Colour"], b"");
    assert!(run.errors.contains("\"common.Colour\""), "{}", run.errors);
    assert_eq!(configtxlator(&["proto_decode"], b"").status, 1);
    assert_eq!(configtxlator(&["proto_decode", "--help"], b"").status, 0);
}

#[test]
fn the_version_is_told_as_fabrics_tools_tell_theirs() {
    let run = configtxlator(&["version"], b"").done();
    assert!(
        run.text().starts_with("configtxlator:\n Version: "),
        "{}",
        run.text()
    );
}
