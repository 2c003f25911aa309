//! A second node of an organisation: how it joins, and how identities of the first come to it; with the power lost at
//! every moment.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests, where a panic is a failed test"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quire_disk::Disk;
use quire_identity::organization::OWN_IDENTITIES;
use quire_identity::sealed::{Passphrase, UnsealError};
use quire_identity::{
    Admission, CreateIdentityError, ExportIdentityError, Given, JoinOrganizationError, Joiner,
    MoveIdentityError as E, MovedIdentities, MovedIdentity, Organization, Role,
};
use quire_testkit::image::{Image, Loss};
use quire_testkit::sim_disk::SimDisk;
use quire_wire::hash::sha256;

const MSP_ID: &str = "QuireOrg";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn first_node(data: &Path) -> Organization {
    let organization =
        Organization::open_or_create(&quire_disk::os(), data, MSP_ID, now()).unwrap();
    for name in ["shop", "till"] {
        organization
            .create_identity(name, Role::Client, now())
            .unwrap();
    }
    organization
}

/// The point in a signing request: it is the 65 bytes behind the only BIT STRING of that length.
fn point(request: &str) -> Vec<u8> {
    use base64::Engine as _;
    let digits: String = request
        .lines()
        .filter(|line| !line.starts_with("---"))
        .collect();
    let der = base64::engine::general_purpose::STANDARD
        .decode(digits)
        .unwrap();
    let at = der
        .windows(4)
        .position(|bytes| bytes == [3, 66, 0, 4])
        .unwrap();
    der[at + 3..at + 68].to_vec()
}

/// What the node with the CA answers to these requests.
fn admission(first: &Organization, requests: &BTreeMap<String, String>, name: &str) -> Admission {
    let certified = OWN_IDENTITIES.into_iter().map(|(own, role)| {
        let name = format!("{name}-{own}");
        let certificate = first.certify(&name, role, &point(&requests[own]), now());
        (own.to_owned(), certificate.unwrap())
    });
    Admission {
        organization: first.msp_config(),
        certificates: certified.collect(),
    }
}

fn joined(disk: &Arc<dyn Disk>, data: &Path, first: &Organization) -> Organization {
    let joiner = Joiner::begin(disk, data).unwrap();
    let admission = admission(first, &joiner.requests().unwrap(), "node2");
    let organization = joiner.join(data, &admission, None).unwrap();
    joiner.end().unwrap();
    organization
}

#[test]
fn a_node_that_joined_signs_for_the_organisation_with_keys_of_its_own() {
    let root = tempfile::tempdir().unwrap();
    let (one, two) = (root.path().join("one"), root.path().join("two"));
    let first = first_node(&one);
    std::fs::create_dir(&two).unwrap();
    drop(joined(&quire_disk::os(), &two, &first));
    assert!(!Joiner::has_begun(quire_disk::os().as_ref(), &two).unwrap());
    let second = Organization::open_existing(&quire_disk::os(), &two, MSP_ID).unwrap();
    for (name, role) in OWN_IDENTITIES {
        let identity = second.identity(name).unwrap().unwrap();
        assert_eq!((identity.name(), identity.role()), (name, role));
        let theirs = first.identity(name).unwrap().unwrap();
        assert_ne!(identity.serialized(), theirs.serialized());
        let seen = first.msp().validate(identity.serialized()).unwrap();
        assert_eq!(seen.name(), format!("node2-{name}"));
        seen.verify(b"message", &identity.sign(b"message")).unwrap();
    }
    let refused = second.create_identity("new", Role::Client, now());
    assert!(matches!(refused, Err(CreateIdentityError::NoCa(_))));
}

#[test]
fn certificates_for_other_keys_kinds_or_names_join_nobody() {
    let root = tempfile::tempdir().unwrap();
    let first = first_node(&root.path().join("one"));
    let two = root.path().join("two");
    std::fs::create_dir(&two).unwrap();
    let joiner = Joiner::begin(&quire_disk::os(), &two).unwrap();
    let requests = joiner.requests().unwrap();
    let good = admission(&first, &requests, "node2");
    let with = |name: &str, certificate: Option<String>| {
        let mut changed = good.clone();
        match certificate {
            Some(certificate) => changed.certificates.insert(name.to_owned(), certificate),
            None => changed.certificates.remove(name),
        };
        joiner.join(&two, &changed, None).unwrap_err()
    };
    let certify = |key: &str, role| first.certify("x", role, &point(&requests[key]), now());
    let refused = with("node", Some(certify("orderer", Role::Peer).unwrap()));
    assert!(matches!(refused, JoinOrganizationError::OtherKey { .. }));
    let refused = with("node", Some(certify("node", Role::Admin).unwrap()));
    assert!(matches!(refused, JoinOrganizationError::Role("node")));
    let refused = with("client", Some("-----BEGIN".to_owned()));
    assert!(matches!(refused, JoinOrganizationError::Certificate { .. }));
    let refused = with("orderer", None);
    assert!(matches!(
        refused,
        JoinOrganizationError::NoCertificate("orderer")
    ));
    let stranger = first_node(&root.path().join("stranger"));
    let key = point(&requests["client"]);
    let refused = with(
        "client",
        stranger.certify("x", Role::Client, &key, now()).ok(),
    );
    assert!(matches!(refused, JoinOrganizationError::Identity { .. }));
    assert!(!two.join("organization").exists(), "nothing was kept");
    for name in ["shop", "node"] {
        let refused = first.certify(name, Role::Peer, &key, now());
        assert!(matches!(refused, Err(CreateIdentityError::Exists(_))));
    }
    let refused = first.certify("x", Role::Peer, &key[1..], now());
    assert!(matches!(refused, Err(CreateIdentityError::Issue { .. })));
    joiner.join(&two, &good, None).unwrap();
}

#[test]
fn identities_that_moved_are_the_same_at_the_other_node() {
    let root = tempfile::tempdir().unwrap();
    let first = first_node(&root.path().join("one"));
    let two = root.path().join("two");
    std::fs::create_dir(&two).unwrap();
    let joiner = Joiner::begin(&quire_disk::os(), &two).unwrap();
    let admission = admission(&first, &joiner.requests().unwrap(), "node2");
    let passphrase = Passphrase::new("correct horse".to_owned()).unwrap();
    let sealed = first.export_identities(&[]).unwrap();
    let sealed = sealed.seal(&passphrase).unwrap();
    assert!(!sealed.contains("PRIVATE"));
    let moved = MovedIdentities::unseal(sealed.as_bytes(), &passphrase).unwrap();
    assert!(!format!("{moved:?}").contains("PRIVATE"), "{moved:?}");
    let second = joiner.join(&two, &admission, Some(&moved)).unwrap();
    for name in ["client", "shop", "till"] {
        let here = first.identity(name).unwrap().unwrap();
        let there = second.identity(name).unwrap().unwrap();
        assert_eq!(here.serialized(), there.serialized());
        let seen = first.msp().validate(here.serialized()).unwrap();
        seen.verify(b"message", &there.sign(b"message")).unwrap();
    }
    let node = |one: &Organization| one.identity("node").unwrap().unwrap().serialized().clone();
    assert_ne!(node(&first), node(&second));
    // And back: the first node knows them all.
    let back = second.export_identities(&[]).unwrap();
    let arrived = first.take_identities(&back).unwrap();
    assert!(arrived.new.is_empty(), "{arrived:?}");
    assert_eq!(arrived.known, ["client", "shop", "till"]);
    let wrong = Passphrase::new("wrong horse".to_owned()).unwrap();
    let refused = MovedIdentities::unseal(sealed.as_bytes(), &wrong).unwrap_err();
    assert_eq!(refused, UnsealError::WrongPassphrase);
}

#[test]
fn what_does_not_move_is_named_and_nothing_of_a_wrong_file_is_kept() {
    let root = tempfile::tempdir().unwrap();
    let first = first_node(&root.path().join("one"));
    let two = root.path().join("two");
    std::fs::create_dir(&two).unwrap();
    let second = joined(&quire_disk::os(), &two, &first);
    let export = |name: &str| first.export_identities(&[name.to_owned()]);
    let refused = export("node").unwrap_err();
    assert!(matches!(refused, ExportIdentityError::OfNode(_)));
    let refused = export("nobody").unwrap_err();
    assert!(matches!(refused, ExportIdentityError::None(_)));

    let good = first
        .export_identities(&["shop".to_owned(), "till".to_owned()])
        .unwrap();
    let refused = |change: &dyn Fn(&mut MovedIdentities)| {
        let mut moved = good.clone();
        change(&mut moved);
        let refused = second.take_identities(&moved).unwrap_err();
        assert_eq!(second.identities().unwrap(), ["client", "node", "orderer"]);
        refused
    };
    let error = refused(&|moved| moved.msp_id = "OtherOrg".to_owned());
    assert!(matches!(error, E::OtherMspId { .. }));
    let stranger = first_node(&root.path().join("stranger"));
    let theirs = stranger.export_identities(&["till".to_owned()]).unwrap();
    let error = refused(&|moved| moved.identities[1] = theirs.identities[0].clone());
    assert!(matches!(error, E::OtherOrganization { name, .. } if name == "till"));
    let error = refused(&|moved| moved.identities[1].key = moved.identities[0].key.clone());
    assert!(matches!(error, E::Key { .. }));
    let error = refused(&|moved| moved.identities[1] = moved.identities[0].clone());
    assert!(matches!(error, E::Twice(_)));
    let error = refused(&|moved| moved.identities[1].name = "../till".to_owned());
    assert!(matches!(error, E::Create(CreateIdentityError::Name(_))));
    let error = refused(&|moved| moved.identities[1].name = "node".to_owned());
    assert!(matches!(error, E::OfNode(_)));
    let error = refused(&|moved| moved.identities[1].certificate.clear());
    assert!(matches!(error, E::Certificate { .. }));
    let client = export("client").unwrap();
    let error = refused(&|moved| moved.identities.extend(client.identities.clone()));
    assert!(matches!(error, E::Others(names) if names == ["client"]));
    assert_eq!(second.take_identities(&good).unwrap().new, ["shop", "till"]);
}

#[test]
fn the_key_of_a_peer_moves_by_no_name() {
    let root = tempfile::tempdir().unwrap();
    let first = first_node(&root.path().join("one"));
    let msp = root.path().join("one/identities/node/msp");
    let given = Given {
        msp: &msp,
        client_msp: None,
    };
    let two = root.path().join("two");
    std::fs::create_dir(&two).unwrap();
    let second = Organization::open_or_take(&quire_disk::os(), &two, MSP_ID, given, now()).unwrap();
    assert!(second.export_identities(&[]).unwrap().identities.is_empty());
    let refused = second.export_identities(&["client".to_owned()]);
    assert!(matches!(refused, Err(ExportIdentityError::OfNode(name)) if name == "client"));

    let three = root.path().join("three");
    std::fs::create_dir(&three).unwrap();
    let third = joined(&quire_disk::os(), &three, &first);
    let read = |path: &str| std::fs::read_to_string(msp.join(path)).unwrap();
    let peer = MovedIdentity {
        name: "shop".to_owned(),
        certificate: read("signcerts/cert.pem"),
        key: read("keystore/priv_sk"),
    };
    let moved = MovedIdentities {
        msp_id: MSP_ID.to_owned(),
        identities: vec![peer],
    };
    let refused = third.take_identities(&moved).unwrap_err();
    assert!(matches!(refused, E::OfNode(name) if name == "shop"));
}

fn crashes(image: &Image) -> Vec<(String, Image)> {
    let mut all = vec![("the process dies".to_owned(), image.clone())];
    let losses = [Loss::None, Loss::All, Loss::LengthsOnly];
    for loss in losses.into_iter().chain((0..4).map(Loss::Torn)) {
        all.push((format!("{loss:?}"), image.clone().after_power_loss(loss)));
    }
    all
}

/// Joins once more where a crash has left something, and answers what is wrong then.
fn again(
    disk: &SimDisk,
    data: &Path,
    first: &Organization,
    moved: &MovedIdentities,
) -> Option<String> {
    let shared = disk.shared();
    if let Err(error) = shared.create_dir_all(data) {
        return Some(error.to_string());
    }
    let is_whole = Organization::missing(shared.as_ref(), data)
        .ok()?
        .is_empty();
    let organization = if is_whole && !Joiner::has_begun(shared.as_ref(), data).ok()? {
        Organization::open_existing(&shared, data, MSP_ID).map_err(|error| error.to_string())
    } else {
        (|| {
            let joiner = Joiner::begin(&shared, data)?;
            let admission = admission(first, &joiner.requests()?, "node2");
            let organization = joiner.join(data, &admission, None)?;
            joiner.end()?;
            Ok::<_, JoinOrganizationError>(organization)
        })()
        .map_err(|error| error.to_string())
    };
    let organization = match organization {
        Ok(organization) => organization,
        Err(error) => return Some(error),
    };
    for name in organization.identities().unwrap() {
        if let Err(error) = organization.identity(&name) {
            return Some(format!("{name}: {error}"));
        }
    }
    if let Err(error) = organization.take_identities(moved) {
        return Some(error.to_string());
    }
    let names = organization.identities().unwrap();
    let expected = ["client", "node", "orderer", "shop", "till"];
    (names != expected).then(|| format!("{names:?}"))
}

#[test]
fn whoever_was_interrupted_while_joining_or_importing_begins_again_and_is_done() {
    let root = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let first = first_node(elsewhere.path());
    let names = ["shop".to_owned(), "till".to_owned()];
    let moved = first.export_identities(&names).unwrap();
    let data: PathBuf = root.path().join("data");
    let disk = SimDisk::new(root.path());
    disk.record();
    disk.shared().create_dir_all(&data).unwrap();
    let second = joined(&disk.shared(), &data, &first);
    second.take_identities(&moved).unwrap();
    let moments = disk.take_moments();
    assert!(moments.len() > 50, "{}", moments.len());
    let mut wrong = Vec::new();
    for (at, moment) in moments.iter().enumerate() {
        for (kind, image) in crashes(&moment.image) {
            let after = SimDisk::of(root.path(), image);
            if let Some(what) = again(&after, &data, &first, &moved) {
                wrong.push(format!("{kind} before {at}, {}: {what}", moment.what));
            }
        }
    }
    println!("{} moments, {} crashes", moments.len(), moments.len() * 8);
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
}

#[test]
fn keys_are_out_of_sight_before_the_first_of_them_is_removed() {
    let root = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let first = first_node(elsewhere.path());
    let data: PathBuf = root.path().join("data");
    let disk = SimDisk::new(root.path());
    disk.shared().create_dir_all(&data).unwrap();
    let joiner = Joiner::begin(&disk.shared(), &data).unwrap();
    let admission = admission(&first, &joiner.requests().unwrap(), "node2");
    joiner.join(&data, &admission, None).unwrap();
    disk.record();
    joiner.end().unwrap();
    let last = disk.take_moments().pop().unwrap();
    for (kind, image) in crashes(&last.image) {
        let after = SimDisk::of(root.path(), image).shared();
        assert!(!Joiner::has_begun(after.as_ref(), &data).unwrap(), "{kind}");
        assert!(after.exists(&data.join(".joining.new")).unwrap(), "{kind}");
    }
    assert!(!disk.shared().exists(&data.join(".joining.new")).unwrap());
}

#[test]
fn the_same_keys_are_asked_for_again() {
    let root = tempfile::tempdir().unwrap();
    let points = || {
        let joiner = Joiner::begin(&quire_disk::os(), root.path()).unwrap();
        let requests = joiner.requests().unwrap();
        let points: Vec<_> = requests.values().map(|request| point(request)).collect();
        sha256(points.iter().map(|point| &point[..]))
    };
    assert_eq!(points(), points());
}
