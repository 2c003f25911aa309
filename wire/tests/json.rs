//! Compares messages as JSON with what Fabric's own tools printed.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is a failed test"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use quire_testkit::conformance::{read as recorded, read_lines};
use quire_wire::json::{Cause, Error, MAX_DEPTH, message_type, print, read, unknown_fields};
use serde_json::{Value, json};

fn printed(name: &str, bytes: &[u8]) -> Result<Value, Error> {
    let text = print(message_type(name).unwrap(), Bytes::copy_from_slice(bytes))?;
    Ok(serde_json::from_str(&text).unwrap())
}

fn encoded(name: &str, json: &Value) -> Result<Vec<u8>, Error> {
    read(message_type(name).unwrap(), json.to_string().as_bytes())
}

/// The JSON after it was turned into bytes and shown again.
fn there_and_back(name: &str, json: &Value) -> Value {
    let bytes = encoded(name, json).unwrap_or_else(|error| panic!("{name}: {error}"));
    printed(name, &bytes).unwrap()
}

fn base64(text: &Value) -> Vec<u8> {
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}

const BASES: [&str; 16] = [
    "genesis",
    "mod_absolute",
    "mod_absolute_app",
    "mod_absolute_missing",
    "mod_absolute_no_channel",
    "mod_absolute_wrong_root",
    "mod_empty",
    "mod_group_abs",
    "mod_group_rel",
    "mod_missing",
    "mod_nested",
    "mod_root_empty",
    "mod_writers",
    "sequence7",
    "with_anchors",
    "with_org3",
];

#[test]
fn configurations_are_shown_as_fabric_shows_them_and_read_back() {
    for base in BASES {
        let bytes = recorded(&format!("rules/configtx/bases/{base}.pb"));
        let expected = recorded(&format!("rules/configtx/bases/{base}.json"));
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        assert_eq!(
            printed("common.Config", &bytes).unwrap(),
            expected,
            "{base}"
        );
        // Fabric wrote these bytes with sorted maps, as we do.
        assert_eq!(
            encoded("common.Config", &expected).unwrap(),
            bytes,
            "{base}"
        );
    }
}

#[test]
fn a_block_of_configuration_is_shown_letter_for_letter_as_fabric_shows_it() {
    let bytes = recorded("rules/configtx/genesis_mychannel.block");
    let expected = String::from_utf8(recorded("rules/configtx/genesis_mychannel.json")).unwrap();
    let block = message_type("common.Block").unwrap();
    let text = print(block, bytes.into()).unwrap();
    assert_eq!(text, expected);
    let expected = serde_json::from_str(&expected).unwrap();
    assert_eq!(there_and_back("common.Block", &expected), expected);
}

/// Fabric showed these before it wrote them; a written message leaves out a value that has only
/// defaults.
#[test]
fn updates_of_configurations_are_read_to_what_fabric_made_of_them() {
    let mut compared = 0;
    for case in read_lines("rules/configtx/updates.jsonl") {
        let expected = &case["config_update_json"];
        let envelope = printed("common.Envelope", &base64(&case["envelope_b64"]));
        let (true, Ok(envelope)) = (expected.is_object(), envelope) else {
            continue;
        };
        let update = &envelope["payload"]["data"]["config_update"];
        assert_eq!(
            &there_and_back("common.ConfigUpdate", expected),
            update,
            "{}",
            case["case"]
        );
        compared += 1;
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn genesis_blocks_of_every_sample_profile_are_shown_and_read_back() {
    for case in read_lines("rules/configtx/sample_profiles.jsonl") {
        let bytes = base64(&case["block_b64"]);
        let shown = printed("common.Block", &bytes).unwrap();
        assert_eq!(shown, case["json"], "{}", case["case"]);
        assert_eq!(
            there_and_back("common.Block", &shown),
            shown,
            "{}",
            case["case"]
        );
    }
}

#[test]
fn what_nobody_knows_is_refused_with_its_place() {
    let unknown = json!({"channel_group": {"values": {"Colour": {"value": {}}}}});
    let error = encoded("common.Config", &unknown).unwrap_err();
    assert!(matches!(error.cause(), Cause::Unknown(_)), "{error}");
    assert!(
        error.to_string().contains("channel_group.values.Colour"),
        "{error}"
    );
    let no_field = json!({"header": {"colour": 1}});
    let error = encoded("common.Block", &no_field).unwrap_err();
    assert!(
        matches!(error.cause(), Cause::NoSuchField { .. }),
        "{error}"
    );
    let no_number = json!({"header": {"number": "many"}});
    let error = encoded("common.Block", &no_number).unwrap_err();
    assert_eq!(
        error.to_string(),
        "header.number: expected a whole number from 0 to 18446744073709551615, found \"many\""
    );
    assert!(message_type("common.Colour").is_none());
}

#[test]
fn names_numbers_and_base64_are_read_in_every_form_that_protobuf_allows() {
    let forms = [
        json!({"version": 1, "rule": {"signedBy": 3}}),
        json!({"version": "1", "rule": {"signed_by": 3.0}}),
        json!({"version": 1e0, "rule": {"signed_by": "3"}, "identities": null}),
    ];
    for form in forms {
        let bytes = encoded("common.SignaturePolicyEnvelope", &form).unwrap();
        assert_eq!(bytes, [0x08, 1, 0x12, 2, 0x08, 3], "{form}");
    }
    for form in ["+/8=", "-_8", "+/8", "-_8="] {
        let bytes = encoded("common.BlockHeader", &json!({"data_hash": form})).unwrap();
        assert_eq!(bytes, [0x1a, 2, 0xfb, 0xff], "{form}");
    }
    for rule in [json!("MAJORITY"), json!(2), json!("2")] {
        let read = encoded("common.ImplicitMetaPolicy", &json!({"rule": rule}));
        match rule.as_str() {
            Some("2") => assert!(read.is_err()),
            _ => assert_eq!(read.unwrap(), [0x10, 2]),
        }
    }
    let both = json!({"signed_by": 1, "n_out_of": {}});
    assert!(encoded("common.SignaturePolicy", &both).is_err());
}

#[test]
fn a_choice_is_not_looked_into_as_fabric_does_not() {
    let policy = json!({
        "static_collection_config": {
            "name": "c",
            "member_orgs_policy": {"signature_policy": {"identities": [{"principal": "CgA="}]}},
        }
    });
    let shown = there_and_back("protos.CollectionConfig", &policy);
    let policy = &shown["static_collection_config"]["member_orgs_policy"]["signature_policy"];
    assert_eq!(policy["identities"][0]["principal"], "CgA=");
    // Elsewhere the same principal is shown as a message.
    let policy = json!({"identities": [{"principal": {"msp_identifier": "A", "role": "PEER"}}]});
    let shown = there_and_back("common.SignaturePolicyEnvelope", &policy);
    assert_eq!(shown["identities"][0]["principal"]["role"], "PEER");
}

#[test]
fn times_have_as_many_digits_as_they_need() {
    for time in [
        "2024-02-29T23:59:59Z",
        "2024-02-29T23:59:59.500Z",
        "1969-12-31T23:59:59.000001Z",
        "9999-12-31T23:59:59.999999999Z",
    ] {
        let header = json!({"timestamp": time});
        let shown = there_and_back("common.ChannelHeader", &header);
        assert_eq!(shown["timestamp"], time);
    }
    let late = [0x1a, 7, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    assert!(printed("common.ChannelHeader", &late).is_err());
}

#[test]
fn bytes_that_are_no_message_are_refused_and_foreign_fields_passed_over() {
    for garbage in [&b"\xff"[..], b"\x0a\x05x", b"\x0a\x02\x0a\x09", b"\x0f"] {
        let error = printed("common.Block", garbage).unwrap_err();
        assert!(matches!(error.cause(), Cause::NoMessage { .. }), "{error}");
    }
    // The bytes have a field 15, and a header's number as a text.
    let shown = printed("common.Block", b"\x7a\x01x\x0a\x03\x0a\x01x").unwrap();
    assert_eq!(shown["header"]["number"], "0");
    // A type of consensus that is not UTF-8.
    let error = printed("orderer.ConsensusType", b"\x0a\x01\xff").unwrap_err();
    assert!(matches!(error.cause(), Cause::NoMessage { .. }), "{error}");
}

#[test]
fn depth_is_bounded_both_ways() {
    let mut rule = json!({"signed_by": 0});
    let mut bytes = vec![0x08, 0];
    for _ in 0..MAX_DEPTH {
        rule = json!({"n_out_of": {"rules": [rule]}});
        bytes = delimited(0x12, &delimited(0x12, &bytes));
    }
    let error = encoded("common.SignaturePolicy", &rule).unwrap_err();
    assert!(matches!(error.cause(), Cause::NoJson(_)), "{error}");
    let error = printed("common.SignaturePolicy", &bytes).unwrap_err();
    assert!(matches!(error.cause(), Cause::TooDeep(_)), "{error}");
}

fn unknown(name: &str, bytes: &[u8]) -> Vec<String> {
    let found = unknown_fields(message_type(name).unwrap(), Bytes::copy_from_slice(bytes));
    found.unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn what_fabric_writes_has_no_unknown_field() {
    for base in BASES {
        let bytes = recorded(&format!("rules/configtx/bases/{base}.pb"));
        assert_eq!(unknown("common.Config", &bytes), [""; 0], "{base}");
    }
    let genesis = recorded("rules/configtx/genesis_mychannel.block");
    assert_eq!(unknown("common.Block", &genesis), [""; 0]);
}

#[test]
fn an_unknown_field_is_told_with_its_place() {
    let foreign = delimited(0x4a, b"x");
    let entry = |value: &[u8]| [delimited(0x0a, b"name"), delimited(0x12, value)].concat();
    let value = delimited(0x1a, &entry(&foreign));
    let group = delimited(0x12, &entry(&value));
    let cases = [
        (foreign.clone(), "field 9 of a common.Config"),
        (
            delimited(0x12, &foreign),
            "field 9 of a common.ConfigGroup in channel_group",
        ),
        (
            delimited(0x12, &group),
            "field 9 of a common.ConfigValue in channel_group.groups.values",
        ),
        (
            delimited(0x12, &delimited(0x1a, &foreign)),
            "field 9 of an entry of a map in channel_group",
        ),
        // A version that is a text, and a group that is a number.
        (
            delimited(0x12, &delimited(0x0a, b"x")),
            "field 1 of a common.ConfigGroup in channel_group",
        ),
        (
            delimited(0x12, &[0x10, 7]),
            "field 2 of a common.ConfigGroup in channel_group",
        ),
    ];
    for (bytes, told) in cases {
        assert_eq!(unknown("common.Config", &bytes), [told]);
    }
    let config = message_type("common.Config").unwrap();
    for garbage in [&b"\xff"[..], b"\x0a\x05x", b"\x12\x02\x0a\x09"] {
        let error = unknown_fields(config, Bytes::from_static(garbage)).unwrap_err();
        assert!(matches!(error.cause(), Cause::NoMessage { .. }), "{error}");
    }
}

fn delimited(key: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![key];
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}
