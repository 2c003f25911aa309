//! Guards against an organisation that changes, is half there, or that nobody else can read.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use quire_disk::OsDisk;

use super::*;
use crate::KeyError;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000)
}

fn open(data_dir: &Path) -> Result<Organization, OrganizationError> {
    Organization::open_or_create(&quire_disk::os(), data_dir, "QuireOrg", now())
}

/// Every file below a folder with its content.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for name in names_in(&OsDisk, folder).unwrap() {
        let path = folder.join(name);
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn the_first_start_makes_everything_and_later_ones_nothing() {
    let data = tempfile::tempdir().unwrap();
    let first = open(data.path()).unwrap();
    assert_eq!(first.identities().unwrap(), ["client", "node", "orderer"]);
    let made = files(data.path());
    let names: Vec<_> = made
        .keys()
        .map(|path| path.strip_prefix(data.path()).unwrap().to_str().unwrap())
        .filter(|path| !path.contains("/client/") && !path.contains("/orderer/"))
        .collect();
    assert_eq!(
        names,
        [
            "identities/node/msp/cacerts/ca-cert.pem",
            "identities/node/msp/config.yaml",
            "identities/node/msp/keystore/priv_sk",
            "identities/node/msp/signcerts/cert.pem",
            "organization/ca/ca-cert.pem",
            "organization/ca/priv_sk",
            "organization/msp/cacerts/ca-cert.pem",
            "organization/msp/config.yaml",
        ]
    );
    let later = now() + Duration::from_secs(1_000_000);
    let second =
        Organization::open_or_create(&quire_disk::os(), data.path(), "QuireOrg", later).unwrap();
    assert_eq!(files(data.path()), made);
    for (name, role) in OWN_IDENTITIES {
        let identity = second.identity(name).unwrap().unwrap();
        let before = first.identity(name).unwrap().unwrap();
        assert_eq!(identity.serialized(), before.serialized());
        assert_eq!((identity.name(), identity.role()), (name, role));
    }
}

#[test]
fn identities_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Organization>();
    shared::<SigningIdentity>();
    shared::<crate::Identity>();
}

#[test]
fn what_an_identity_signs_its_organisation_vouches_for() {
    let data = tempfile::tempdir().unwrap();
    let organization = open(data.path()).unwrap();
    // As others know the organisation: by its value in a channel configuration.
    let msp = Msp::from_config(&organization.msp_config(), MspVersion::V3_0).unwrap();
    for (name, role) in OWN_IDENTITIES {
        let identity = organization.identity(name).unwrap().unwrap();
        let valid = msp.validate(identity.serialized()).unwrap();
        assert_eq!((valid.msp_id(), valid.name()), ("QuireOrg", name));
        assert_eq!(valid.role(), Some(role));
        assert!(!valid.is_admin());
        valid
            .verify(b"payload", &identity.sign(b"payload"))
            .unwrap();
        let shown = format!("{identity:?}");
        assert!(!shown.contains("key") && shown.contains(name), "{shown}");
    }
    let admin = organization
        .create_identity("boss", Role::Admin, now())
        .unwrap();
    assert!(msp.validate(admin.serialized()).unwrap().is_admin());
}

#[test]
fn an_identity_is_never_made_twice() {
    let data = tempfile::tempdir().unwrap();
    let organization = open(data.path()).unwrap();
    let made = organization
        .create_identity("a.b_c-d@e", Role::Client, now())
        .unwrap();
    let again = organization.create_identity("a.b_c-d@e", Role::Client, now());
    assert!(matches!(again, Err(CreateIdentityError::Exists(name)) if name == "a.b_c-d@e"));
    let read = open(data.path())
        .unwrap()
        .identity("a.b_c-d@e")
        .unwrap()
        .unwrap();
    assert_eq!(read.serialized(), made.serialized());
    assert!(organization.identity("nobody").unwrap().is_none());
}

#[test]
fn names_that_leave_the_folder_or_hide_in_it_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let organization = open(data.path()).unwrap();
    let long = "n".repeat(MAX_NAME_CHARS + 1);
    for name in [
        "", ".", "..", "../x", "a/b", ".hidden", "-x", "a b", "ä", "a\0", &long,
    ] {
        let made = organization.create_identity(name, Role::Client, now());
        assert!(
            matches!(made, Err(CreateIdentityError::Name(_))),
            "{name:?}"
        );
        assert!(organization.identity(name).unwrap().is_none(), "{name:?}");
    }
    let longest = "n".repeat(MAX_NAME_CHARS);
    organization
        .create_identity(&longest, Role::Client, now())
        .unwrap();
    for msp_id in ["", "a b", ".", &"m".repeat(MAX_MSP_ID_CHARS + 1)] {
        let opened = Organization::open_or_create(&quire_disk::os(), data.path(), msp_id, now());
        assert!(
            matches!(opened, Err(OrganizationError::MspId(_))),
            "{msp_id:?}"
        );
    }
}

#[test]
fn what_a_crash_left_half_made_never_becomes_an_organisation() {
    let data = tempfile::tempdir().unwrap();
    let half = data.path().join(".organization.new/ca");
    fs::create_dir_all(&half).unwrap();
    fs::write(half.join("priv_sk"), "half a key").unwrap();
    let half = data.path().join("identities/.node.new/msp");
    fs::create_dir_all(&half).unwrap();
    let organization = open(data.path()).unwrap();
    assert!(organization.identity("node").unwrap().is_some());
    assert!(!data.path().join(".organization.new").exists());
    assert!(!data.path().join("identities/.node.new").exists());
}

#[test]
fn a_crash_between_two_identities_leaves_the_first_as_it_was() {
    let data = tempfile::tempdir().unwrap();
    let node = open(data.path())
        .unwrap()
        .identity("node")
        .unwrap()
        .unwrap();
    fs::remove_dir_all(data.path().join("identities/orderer")).unwrap();
    let organization = open(data.path()).unwrap();
    assert!(organization.identity("orderer").unwrap().is_some());
    let same = organization.identity("node").unwrap().unwrap();
    assert_eq!(same.serialized(), node.serialized());
}

#[test]
fn a_lost_organisation_is_reported_and_not_made_anew() {
    let data = tempfile::tempdir().unwrap();
    open(data.path()).unwrap();
    fs::remove_dir_all(data.path().join("organization")).unwrap();
    assert!(matches!(
        open(data.path()),
        Err(OrganizationError::Missing { .. })
    ));
    assert!(!data.path().join("organization").exists());
}

#[test]
fn another_msp_id_than_the_first_is_refused() {
    let data = tempfile::tempdir().unwrap();
    open(data.path()).unwrap();
    let error =
        Organization::open_or_create(&quire_disk::os(), data.path(), "Other", now()).unwrap_err();
    let OrganizationError::OtherOrganization {
        expected, found, ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((expected.as_str(), found.as_str()), ("Other", "QuireOrg"));
}

#[test]
fn files_of_another_identity_are_refused() {
    let data = tempfile::tempdir().unwrap();
    open(data.path()).unwrap();
    let file = |name: &str, path: &str| data.path().join("identities").join(name).join(path);
    let key = fs::read(file("client", "msp/keystore/priv_sk")).unwrap();
    fs::write(file("node", "msp/keystore/priv_sk"), key).unwrap();
    let error = open(data.path()).unwrap_err();
    let OrganizationError::Load(LoadIdentityError::Key { source, .. }) = error else {
        panic!("{error}");
    };
    assert_eq!(source, KeyError::OfAnotherCertificate);

    let certificate = fs::read(file("client", "msp/signcerts/cert.pem")).unwrap();
    fs::write(file("node", "msp/signcerts/cert.pem"), certificate).unwrap();
    let error = open(data.path()).unwrap_err();
    let OrganizationError::Load(LoadIdentityError::OtherName { found, .. }) = error else {
        panic!("{error}");
    };
    assert_eq!(found, "client");
}

#[test]
fn a_ca_with_another_key_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    open(data.path()).unwrap();
    open(other.path()).unwrap();
    let key = "organization/ca/priv_sk";
    fs::copy(other.path().join(key), data.path().join(key)).unwrap();
    let error = open(data.path()).unwrap_err();
    let OrganizationError::Key { source, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(source, KeyError::OfAnotherCertificate);
}

#[test]
fn other_line_ends_in_a_certificate_file_do_not_change_the_creator() {
    let data = tempfile::tempdir().unwrap();
    let node = open(data.path())
        .unwrap()
        .identity("node")
        .unwrap()
        .unwrap();
    let path = data.path().join("identities/node/msp/signcerts/cert.pem");
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(node.certificate_pem(), text);
    fs::write(&path, format!("\n{}\n", text.replace('\n', "\r\n"))).unwrap();
    let read = open(data.path())
        .unwrap()
        .identity("node")
        .unwrap()
        .unwrap();
    assert_eq!(read.serialized(), node.serialized());
}

#[test]
fn a_clock_that_was_set_back_still_makes_valid_identities() {
    let data = tempfile::tempdir().unwrap();
    let organization = open(data.path()).unwrap();
    let earlier = now() - Duration::from_secs(1_000_000);
    let identity = organization
        .create_identity("late", Role::Client, earlier)
        .unwrap();
    organization.msp().validate(identity.serialized()).unwrap();
    let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    let refused = organization.create_identity("past", Role::Client, before_1970);
    let Err(CreateIdentityError::Issue { source, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(matches!(source, IssueError::Clock));
}

#[cfg(unix)]
#[test]
fn private_keys_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let data = tempfile::tempdir().unwrap();
    open(data.path()).unwrap();
    for path in files(data.path())
        .keys()
        .filter(|path| path.ends_with("priv_sk"))
    {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
}

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output();
    let output = output.expect("the tests need the program `openssl`");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn openssl_reads_keys_and_certificates_and_finds_the_chain() {
    let data = tempfile::tempdir().unwrap();
    open(data.path()).unwrap();
    let path = |path: &str| data.path().join(path).to_str().unwrap().to_owned();
    let ca = path("organization/ca/ca-cert.pem");
    let certificate = path("identities/node/msp/signcerts/cert.pem");
    let at = "1795000001";
    let verified = openssl(&[
        "verify",
        "-x509_strict",
        "-attime",
        at,
        "-CAfile",
        &ca,
        &certificate,
    ]);
    assert!(verified.ends_with(": OK\n"), "{verified}");
    for key in [
        "organization/ca/priv_sk",
        "identities/node/msp/keystore/priv_sk",
    ] {
        openssl(&["ec", "-in", &path(key), "-noout"]);
        openssl(&["pkey", "-in", &path(key), "-check", "-noout"]);
    }
    let text = openssl(&["x509", "-in", &certificate, "-noout", "-text"]);
    for expected in [
        "Subject: O = QuireOrg, OU = peer, CN = node\n",
        "Issuer: O = QuireOrg, CN = ca.QuireOrg\n",
        "Signature Algorithm: ecdsa-with-SHA256\n",
        "ASN1 OID: prime256v1\n",
        "Digital Signature\n",
        "CA:FALSE\n",
        "X509v3 Authority Key Identifier",
        "X509v3 Subject Key Identifier",
        "Not Before: Nov 18 11:06:40 2026 GMT\n",
        "Not After : Nov 18 11:06:40 2056 GMT\n",
    ] {
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
    let text = openssl(&["x509", "-in", &ca, "-noout", "-text"]);
    for expected in [
        "Certificate Sign, CRL Sign\n",
        "CA:TRUE\n",
        "Not After : Nov 18",
    ] {
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
}
