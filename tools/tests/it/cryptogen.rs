//! `cryptogen`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use quire_identity::{Msp, MspVersion, Principal};
use quire_wire::Message as _;
use quire_wire::msp::{
    FabricCryptoConfig, FabricMspConfig, FabricNodeOus, FabricOuIdentifier, MspPrincipal, MspRole,
    SerializedIdentity, role,
};
use tempfile::TempDir;

use crate::kit::cryptogen;

const NETWORK: &str = "
OrdererOrgs:
  - Name: Orderer
    Domain: example.com
    EnableNodeOUs: true
    CA:
      Country: DE
      OrganizationalUnit: Hyperledger Fabric
    Specs:
      - Hostname: orderer
        SANS: [localhost, 127.0.0.1]
PeerOrgs:
  - Name: Org1
    Domain: org1.example.com
    EnableNodeOUs: true
    Template:
      Count: 2
      Hostname: '{{.Prefix}}-{{.Index}}'
    Users:
      Count: 1
  - Name: Old
    Domain: old.example.com
    Specs:
    Template: {Count: 1}
";

/// A folder with a network, and the description of it.
fn network(description: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("network.yaml"), description).unwrap();
    let made = on(&folder, "generate", "--output").done();
    assert_eq!(made.text(), "org1.example.com\nold.example.com\n");
    folder
}

fn on(folder: &TempDir, command: &str, flag: &str) -> crate::kit::Run {
    let network = folder.path().join("crypto");
    let description = folder.path().join("network.yaml");
    let (network, description) = (network.to_str().unwrap(), description.to_str().unwrap());
    cryptogen(&[command, flag, network, "--config", description])
}

/// Files below a folder, with their content.
fn files(folder: &Path, within: &str, found: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{within}{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            files(&entry.path(), &format!("{path}/"), found);
        } else {
            found.insert(path, fs::read(entry.path()).unwrap());
        }
    }
}

fn all(folder: &TempDir) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    files(&folder.path().join("crypto"), "", &mut found);
    found
}

#[test]
fn a_network_has_the_files_that_fabric_gives_it() {
    let folder = network(NETWORK);
    let found = all(&folder);
    let with_units = found
        .keys()
        .filter_map(|path| path.strip_prefix("ordererOrganizations/"));
    let expected = "
        example.com/ca/ca.example.com-cert.pem
        example.com/ca/priv_sk
        example.com/msp/cacerts/ca.example.com-cert.pem
        example.com/msp/config.yaml
        example.com/msp/tlscacerts/tlsca.example.com-cert.pem
        example.com/orderers/orderer.example.com/msp/cacerts/ca.example.com-cert.pem
        example.com/orderers/orderer.example.com/msp/config.yaml
        example.com/orderers/orderer.example.com/msp/keystore/priv_sk
        example.com/orderers/orderer.example.com/msp/signcerts/orderer.example.com-cert.pem
        example.com/orderers/orderer.example.com/msp/tlscacerts/tlsca.example.com-cert.pem
        example.com/orderers/orderer.example.com/tls/ca.crt
        example.com/orderers/orderer.example.com/tls/server.crt
        example.com/orderers/orderer.example.com/tls/server.key
        example.com/tlsca/priv_sk
        example.com/tlsca/tlsca.example.com-cert.pem
        example.com/users/Admin@example.com/msp/cacerts/ca.example.com-cert.pem
        example.com/users/Admin@example.com/msp/config.yaml
        example.com/users/Admin@example.com/msp/keystore/priv_sk
        example.com/users/Admin@example.com/msp/signcerts/Admin@example.com-cert.pem
        example.com/users/Admin@example.com/msp/tlscacerts/tlsca.example.com-cert.pem
        example.com/users/Admin@example.com/tls/ca.crt
        example.com/users/Admin@example.com/tls/client.crt
        example.com/users/Admin@example.com/tls/client.key
    ";
    assert_eq!(
        with_units.collect::<Vec<_>>(),
        expected.split_whitespace().collect::<Vec<_>>()
    );
    let old = "peerOrganizations/old.example.com";
    for admins in [
        "msp",
        "peers/peer0.old.example.com/msp",
        "users/Admin@old.example.com/msp",
    ] {
        let file = format!("{old}/{admins}/admincerts/Admin@old.example.com-cert.pem");
        assert!(found.contains_key(&file), "{file}");
    }
    assert!(!found.contains_key(&format!("{old}/msp/config.yaml")));
    assert!(
        found
            .keys()
            .any(|path| path.contains("peers/peer-1.org1.example.com/"))
    );
    let key = folder
        .path()
        .join("crypto/ordererOrganizations/example.com/ca/priv_sk");
    assert_eq!(
        fs::metadata(key).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

/// An organisation as its folder `msp` tells of it.
fn organization(found: &BTreeMap<String, Vec<u8>>, folder: &str, id: &str) -> Msp {
    let below = |part: &str| {
        let start = format!("{folder}/msp/{part}/");
        let files = found.iter().filter(|(path, _)| path.starts_with(&start));
        files
            .map(|(_, content)| content.clone().into())
            .collect::<Vec<_>>()
    };
    let unit = |name: &str| {
        Some(FabricOuIdentifier {
            organizational_unit_identifier: name.to_owned(),
            ..FabricOuIdentifier::default()
        })
    };
    let units = found.contains_key(&format!("{folder}/msp/config.yaml"));
    let units = units.then(|| FabricNodeOus {
        enable: true,
        client_ou_identifier: unit("client"),
        peer_ou_identifier: unit("peer"),
        admin_ou_identifier: unit("admin"),
        orderer_ou_identifier: unit("orderer"),
    });
    let config = FabricMspConfig {
        name: id.to_owned(),
        root_certs: below("cacerts"),
        admins: below("admincerts"),
        tls_root_certs: below("tlscacerts"),
        fabric_node_ous: units,
        crypto_config: Some(FabricCryptoConfig {
            signature_hash_family: "SHA2".to_owned(),
            identity_identifier_hash_function: "SHA256".to_owned(),
        }),
        ..FabricMspConfig::default()
    };
    Msp::from_config(&config, MspVersion::V1_4_3).unwrap()
}

#[test]
fn members_are_valid_in_their_organisation_and_have_their_roles() {
    let folder = network(NETWORK);
    let found = all(&folder);
    let members = [
        (
            "ordererOrganizations/example.com",
            "orderers/orderer.example.com",
            role::ORDERER,
        ),
        (
            "ordererOrganizations/example.com",
            "users/Admin@example.com",
            role::ADMIN,
        ),
        (
            "peerOrganizations/org1.example.com",
            "peers/peer-0.org1.example.com",
            role::PEER,
        ),
        (
            "peerOrganizations/org1.example.com",
            "users/User1@org1.example.com",
            role::CLIENT,
        ),
        (
            "peerOrganizations/org1.example.com",
            "users/Admin@org1.example.com",
            role::ADMIN,
        ),
        (
            "peerOrganizations/old.example.com",
            "users/Admin@old.example.com",
            role::ADMIN,
        ),
    ];
    for (organization_folder, member, expected) in members {
        let msp = organization(&found, organization_folder, "Org");
        let start = format!("{organization_folder}/{member}/msp/signcerts/");
        let (_, certificate) = found
            .iter()
            .find(|(path, _)| path.starts_with(&start))
            .unwrap();
        let serialized = SerializedIdentity {
            mspid: "Org".to_owned(),
            id_bytes: certificate.clone().into(),
        };
        let identity = msp.validate(&serialized.encode_to_vec()).unwrap();
        let has = |role: i32| {
            let role = MspRole {
                msp_identifier: "Org".to_owned(),
                role,
            };
            let principal = MspPrincipal {
                principal_classification: 0,
                principal: role.encode_to_vec().into(),
            };
            Principal::of(&principal).is_satisfied_by(&identity).is_ok()
        };
        let roles = [role::ADMIN, role::CLIENT, role::PEER, role::ORDERER];
        let had: Vec<_> = roles.into_iter().filter(|role| has(*role)).collect();
        assert_eq!(had, [expected], "{member}");
    }
}

#[test]
fn what_is_added_leaves_what_was_there() {
    let folder = network(NETWORK);
    let before = all(&folder);
    let more = NETWORK
        .replace("Count: 2", "Count: 3")
        .replace("Users:\n      Count: 1", "Users:\n      Count: 2");
    fs::write(folder.path().join("network.yaml"), more).unwrap();
    on(&folder, "extend", "--input").done();
    let after = all(&folder);
    for (path, content) in &before {
        assert_eq!(after.get(path), Some(content), "{path}");
    }
    for member in [
        "peers/peer-2.org1.example.com",
        "users/User2@org1.example.com",
    ] {
        let start = format!("peerOrganizations/org1.example.com/{member}/msp/signcerts/");
        let (_, certificate) = after
            .iter()
            .find(|(path, _)| path.starts_with(&start))
            .unwrap();
        let serialized = SerializedIdentity {
            mspid: "Org1".to_owned(),
            id_bytes: certificate.clone().into(),
        };
        let msp = organization(&before, "peerOrganizations/org1.example.com", "Org1");
        msp.validate(&serialized.encode_to_vec()).unwrap();
    }
}

#[test]
fn an_organisation_that_is_there_is_not_made_again() {
    let folder = network(NETWORK);
    let before = all(&folder);
    let run = on(&folder, "generate", "--output");
    assert_eq!(run.status, 1);
    assert!(run.errors.contains("`extend` adds to it"), "{}", run.errors);
    assert_eq!(all(&folder), before);
}

#[test]
fn descriptions_that_lead_elsewhere_or_nowhere_are_refused() {
    for (description, reason) in [
        (
            "PeerOrgs: [{Domain: ../up}]",
            "cannot be the name of a folder",
        ),
        (
            "PeerOrgs: [{Domain: d, Specs: [{Hostname: h, CommonName: a/b}]}]",
            "cannot be the name",
        ),
        (
            "PeerOrgs: [{Domain: d, Specs: [{Hostname: '{{.Colour}}', CommonName: '{{.No}}'}]}]",
            "may name",
        ),
        (
            "PeerOrgs: [{Domain: d, CA: {PublicKeyAlgorithm: rsa}}]",
            "rsa",
        ),
        ("PeerOrgs: 7", "no crypto-config.yaml"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("network.yaml"), description).unwrap();
        let run = on(&folder, "generate", "--output");
        assert_eq!(run.status, 1, "{description}");
        assert!(run.errors.contains(reason), "{description}: {}", run.errors);
        assert!(!folder.path().join("crypto").exists(), "{description}");
    }
}
