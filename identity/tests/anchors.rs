//! Anchor peers of an organisation, set in people's words.

use quire_identity::config::edit::{EditError, get, set};
use quire_wire::config::{Config, ConfigGroup};

/// A channel with one organisation.
fn config() -> Config {
    let group = |groups: [(&str, ConfigGroup); 1]| ConfigGroup {
        groups: groups.map(|(name, group)| (name.to_owned(), group)).into(),
        ..ConfigGroup::default()
    };
    let organization = ConfigGroup::default();
    let application = group([("Org2MSP", organization)]);
    Config {
        channel_group: Some(group([("Application", application)])),
        ..Config::default()
    }
}

#[test]
fn anchor_peers_are_set_together_and_said_again_as_they_were_set() {
    let mut config = config();
    let name = "anchor-peers /Channel/Application/Org2MSP";
    for value in [
        "peer0.org2.example.com:7051",
        "peer0.org2:7051 10.0.0.7:1 [fe80::1]:65535",
        "",
    ] {
        set(&mut config, "anchor-peers.Org2MSP", value).unwrap();
        assert_eq!(get(&config, name).unwrap(), value);
    }
}

#[test]
fn what_is_no_address_is_refused_and_so_is_an_organisation_that_is_not_there() {
    let mut config = config();
    let before = config.clone();
    for value in [
        "peer0",
        ":7051",
        "peer0:0",
        "peer0:65536",
        "fe80::1:7051",
        "a:1,b:2",
        "a:1 b",
    ] {
        let refused = set(&mut config, "anchor-peers.Org2MSP", value).unwrap_err();
        assert!(
            matches!(refused, EditError::Value { .. }),
            "{value}: {refused}"
        );
    }
    let missing = set(&mut config, "anchor-peers.Org3MSP", "a:1").unwrap_err();
    assert!(matches!(missing, EditError::Missing(_)), "{missing}");
    assert_eq!(config, before);
}
