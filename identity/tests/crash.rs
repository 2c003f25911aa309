//! Identities and tokens on a disk that loses power: what was acknowledged is there, whole, and what was not
//! is there whole or not at all. One workload runs once on a simulated disk that keeps an image before every
//! change and in the middle of every write; then each image is taken through every kind of crash and opened.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is a failed test"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use quire_identity::{AccessRole, NewToken, Organization, Role, Tokens};
use quire_testkit::image::{Image, Loss};
use quire_testkit::sim_disk::SimDisk;

const MSP_ID: &str = "QuireOrg";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// What has been acknowledged: the organisation's certificate, identities by name with theirs, the secrets of
/// tokens that are good, and of those that were revoked.
#[derive(Clone, Debug, Default)]
struct Promise {
    identities: BTreeMap<String, Vec<u8>>,
    good: Vec<String>,
    revoked: Vec<String>,
    /// What the next operation is to change, which may have happened or not.
    in_flight: Vec<String>,
}

/// The promises, each with the moment from which on it holds.
type Epochs = Vec<(usize, Promise)>;

fn new_token(identity: &str) -> NewToken {
    NewToken {
        identity: identity.to_owned(),
        role: AccessRole::Writer,
        channels: Vec::new(),
        expires: None,
        certificate: false,
    }
}

fn workload(disk: &SimDisk, data: &Path) -> Epochs {
    let mut epochs = vec![(0, Promise::default())];
    let mut promise = Promise::default();
    let mut hold = |promise: &Promise| epochs.push((disk.moments(), promise.clone()));
    let organization = Organization::open_or_create(&disk.shared(), data, MSP_ID, now()).unwrap();
    for name in organization.identities().unwrap() {
        let identity = organization.identity(&name).unwrap().unwrap();
        promise
            .identities
            .insert(name, identity.serialized().to_vec());
    }
    hold(&promise);
    let tokens = Tokens::open_to_make(&disk.shared(), data).unwrap();
    for name in ["shop", "till"] {
        let made = organization
            .create_identity(name, Role::Client, now())
            .unwrap();
        promise
            .identities
            .insert(name.to_owned(), made.serialized().to_vec());
        hold(&promise);
        let (token, secret) = tokens.create(new_token(name), now()).unwrap();
        let secret = secret.unwrap().expose().to_owned();
        promise.good.push(secret.clone());
        hold(&promise);
        if name == "shop" {
            promise.in_flight.push(secret.clone());
            hold(&promise);
            tokens.revoke(&token.id).unwrap();
            promise.in_flight.clear();
            promise.good.clear();
            promise.revoked.push(secret);
            hold(&promise);
        }
    }
    epochs
}

/// What is wrong with a data directory after a crash.
fn broken(disk: &SimDisk, data: &Path, promise: &Promise) -> Option<String> {
    let shared = disk.shared();
    let opened = if promise.identities.is_empty() {
        Organization::open_or_create(&shared, data, MSP_ID, now())
    } else {
        Organization::open_existing(&shared, data, MSP_ID)
    };
    let organization = match opened {
        Ok(organization) => organization,
        Err(error) => return Some(format!("the organisation: {error}")),
    };
    for (name, expected) in &promise.identities {
        match organization.identity(name) {
            Ok(Some(found)) if found.serialized()[..] == expected[..] => {}
            other => return Some(format!("identity {name}: {other:?}")),
        }
    }
    // Those that nobody heard of are whole, if they are there.
    for name in organization.identities().unwrap() {
        if let Err(error) = organization.identity(&name) {
            return Some(format!("identity {name}: {error}"));
        }
    }
    let tokens = match Tokens::open(&shared, data) {
        Ok(tokens) => tokens,
        // An identity was made, and its token was not yet.
        Err(_) if promise.good.is_empty() && promise.revoked.is_empty() => return None,
        Err(error) => return Some(format!("tokens: {error}")),
    };
    let is_good = |secret: &String| tokens.authenticate(secret, now()).is_ok();
    let is_open = |secret: &&String| !promise.in_flight.contains(secret);
    if !promise.good.iter().filter(is_open).all(is_good) {
        return Some("a token is lost".to_owned());
    }
    if promise.revoked.iter().any(is_good) {
        return Some("a revoked token is good".to_owned());
    }
    None
}

fn crashes(image: &Image) -> Vec<(String, Image)> {
    let mut all = vec![("the process dies".to_owned(), image.clone())];
    let losses = [Loss::None, Loss::All, Loss::LengthsOnly];
    for loss in losses.into_iter().chain((0..4).map(Loss::Torn)) {
        all.push((format!("{loss:?}"), image.clone().after_power_loss(loss)));
    }
    all
}

#[test]
fn what_was_acknowledged_survives_a_crash_at_any_moment() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let disk = SimDisk::new(root.path());
    disk.record();
    let epochs = workload(&disk, &data);
    let moments = disk.take_moments();
    assert!(moments.len() > 100, "{}", moments.len());
    let mut wrong = Vec::new();
    for (at, moment) in moments.iter().enumerate() {
        let promise = epochs.iter().rev().find(|(from, _)| *from <= at);
        let (_, promise) = promise.unwrap();
        for (kind, image) in crashes(&moment.image) {
            let after = SimDisk::of(root.path(), image);
            if let Some(what) = broken(&after, &data, promise) {
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
