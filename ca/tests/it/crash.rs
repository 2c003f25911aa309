//! The CA on a disk that loses power: what it answered is in its registry, and what it had not answered is
//! there whole or not at all. One workload runs once on a simulated disk that keeps an image before every
//! change and in the middle of every write; then each image is taken through every kind of crash and opened.

use std::path::Path;

use quire_ca::FirstAdmin;
use quire_ca::Registry;
use quire_ca::caller::Caller;
use quire_ca::enroll::Enrollment;
use quire_ca::register::NewIdentity;
use quire_ca::registry::state::{Change, State};
use quire_ca::revoke::Revocation;
use quire_testkit::image::{Image, Loss};
use quire_testkit::sim_disk::SimDisk;

use crate::kit::{open, signing_request};

/// Everything that a registry holds, as text.
fn text(state: &State) -> String {
    let changes: Vec<Change> = state.changes().collect();
    serde_json::to_string(&changes).unwrap()
}

fn enrollment(name: &str) -> Enrollment {
    Enrollment {
        signing_request: signing_request(name).1,
        profile: String::new(),
        hosts: Vec::new(),
        subject: None,
        attributes: None,
    }
}

fn newcomer(name: &str) -> NewIdentity {
    NewIdentity {
        name: name.to_owned(),
        secret: "secret".to_owned(),
        kind: "client".to_owned(),
        affiliation: "org1".to_owned(),
        attributes: Vec::new(),
        max_enrollments: -1,
    }
}

/// What the registry held after each operation, with the moment from which on that was acknowledged.
type Epochs = Vec<(usize, String)>;

fn workload(disk: &SimDisk, data: &Path) -> Epochs {
    let mut epochs = vec![(0, text(&State::default()))];
    let (ca, _) = open(&disk.shared(), data);
    let mut hold = || epochs.push((disk.moments(), text(&ca.registry().state())));
    let first = FirstAdmin {
        name: "admin".to_owned(),
        secret: Some("adminpw".to_owned()),
    };
    ca.begin(&first).unwrap();
    hold();
    ca.enroll("admin", "adminpw", enrollment("admin")).unwrap();
    hold();
    let state = ca.registry().state();
    let admin = Caller {
        identity: state.identities["admin"].clone(),
        certificate: state.certificates.values().next().unwrap().clone(),
    };
    drop(state);
    for name in ["alice", "bob"] {
        ca.register(&admin, newcomer(name)).unwrap();
        hold();
        assert!(ca.enroll(name, "wrong", enrollment(name)).is_err());
        hold();
        ca.enroll(name, "secret", enrollment(name)).unwrap();
        hold();
    }
    let revocation = Revocation {
        name: "alice".to_owned(),
        ..Revocation::default()
    };
    assert_eq!(ca.revoke(&admin, &revocation).unwrap().len(), 1);
    hold();
    ca.add_affiliation(&admin, "org3.a.b", true).unwrap();
    hold();
    ca.remove_affiliation(&admin, "org1", true).unwrap();
    hold();
    epochs
}

fn crashes(image: &Image) -> Vec<(String, Image)> {
    let mut all = vec![("the process dies".to_owned(), image.clone())];
    let losses = [Loss::None, Loss::All, Loss::LengthsOnly];
    for loss in losses.into_iter().chain((0..4).map(Loss::Torn)) {
        all.push((format!("{loss:?}"), image.clone().after_power_loss(loss)));
    }
    all
}

/// What is wrong after a crash; `promised` was acknowledged, and `next` was under way.
fn broken(
    root: &Path,
    image: Image,
    data: &Path,
    promised: &str,
    next: Option<&str>,
) -> Option<String> {
    let disk = SimDisk::of(root, image);
    let registry = match Registry::open(&disk.shared(), data) {
        Ok(registry) => registry,
        Err(error) => return Some(error.to_string()),
    };
    let found = text(&registry.state());
    if found != promised && Some(found.as_str()) != next {
        return Some(format!("it holds {found}"));
    }
    // What was opened takes changes, and has them after another loss.
    let change = Change::Affiliation("later".to_owned());
    if let Err(error) = registry.change(|_| Ok(((), vec![change]))) {
        return Some(format!("no change: {error}"));
    }
    let with_later = text(&registry.state());
    let disk = SimDisk::of(root, disk.image().after_power_loss(Loss::All));
    match Registry::open(&disk.shared(), data) {
        Ok(again) if text(&again.state()) == with_later => None,
        Ok(again) => Some(format!("afterwards it holds {}", text(&again.state()))),
        Err(error) => Some(format!("afterwards: {error}")),
    }
}

#[test]
fn what_was_answered_survives_a_crash_at_any_moment() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let disk = SimDisk::new(root.path());
    disk.record();
    let epochs = workload(&disk, &data);
    let moments = disk.take_moments();
    assert!(moments.len() > 40, "{}", moments.len());
    let mut wrong = Vec::new();
    for (at, moment) in moments.iter().enumerate() {
        let epoch = epochs.iter().rposition(|(from, _)| *from <= at).unwrap();
        let next = epochs.get(epoch + 1).map(|(_, text)| text.as_str());
        for (kind, image) in crashes(&moment.image) {
            let root = root.path();
            if let Some(what) = broken(root, image, &data, &epochs[epoch].1, next) {
                wrong.push(format!("{kind} before {at}, {}: {what}", moment.what));
            }
        }
    }
    println!("{} moments, {} crashes", moments.len(), moments.len() * 8);
    for one in wrong.iter().take(10) {
        println!("{one:.300}");
    }
    assert!(wrong.is_empty(), "{} wrong", wrong.len());
}
