use super::*;
use crate::secret::SecretHash;
use identity::IdentityRecord;

fn path() -> &'static Path {
    Path::new("registry")
}

fn affiliation(name: &str) -> Vec<Change> {
    vec![Change::Affiliation(name.to_owned())]
}

fn names(state: &State) -> Vec<&str> {
    state.affiliations.iter().map(String::as_str).collect()
}

/// A file of an empty state and two more lines.
fn sound() -> Vec<u8> {
    let mut content = file::snapshot(&State::default()).unwrap();
    content.extend(file::line(&affiliation("a")).unwrap());
    content.extend(file::line(&affiliation("b")).unwrap());
    content
}

#[test]
fn a_damaged_end_is_cut_and_damage_before_a_sound_line_is_refused() {
    let sound = sound();
    assert_eq!(
        names(&file::parse(path(), &sound).unwrap().state),
        ["a", "b"]
    );
    let first = file::snapshot(&State::default()).unwrap().len();
    let second = first + file::line(&affiliation("a")).unwrap().len();
    for len in first..sound.len() {
        let read = file::parse(path(), &sound[..len]).unwrap();
        let whole = usize::from(len >= second - 1) + usize::from(len >= sound.len() - 1);
        assert_eq!(names(&read.state).len(), whole, "{len} bytes");
    }
    for at in 0..sound.len() - 1 {
        let mut damaged = sound.clone();
        damaged[at] ^= 0x04;
        let index = sound[..at].split(|byte| *byte == b'\n').count() - 1;
        match (index, file::parse(path(), &damaged)) {
            (0, Err(OpenRegistryError::NotARegistry(_))) => {}
            (1 | 2, Err(OpenRegistryError::Damaged { line, .. })) => assert_eq!(line, index + 1),
            (3, Ok(read)) => {
                assert_eq!((names(&read.state), read.torn_bytes > 0), (vec!["a"], true));
            }
            other => panic!("{at}: {other:?}"),
        }
    }
}

#[test]
fn a_file_of_a_later_release_is_refused() {
    let json = r#"{"quireCa":2}"#;
    let line = format!("{:08x} {json}\n", crc_fast::crc32_iscsi(json.as_bytes()));
    let error = file::parse(path(), line.as_bytes()).unwrap_err();
    assert!(matches!(error, OpenRegistryError::Version { found: 2, .. }));
}

#[test]
fn a_registry_that_was_lost_is_not_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let disk = quire_disk::os();
    drop(Registry::open(&disk, dir.path()).unwrap());
    std::fs::remove_file(dir.path().join("ca/registry")).unwrap();
    let error = Registry::open(&disk, dir.path()).unwrap_err();
    assert!(matches!(error, OpenRegistryError::Missing(_)), "{error}");
}

#[test]
fn a_file_that_has_grown_is_replaced_and_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let disk = quire_disk::os();
    let registry = Registry::open(&disk, dir.path()).unwrap();
    let file = dir.path().join("ca/registry");
    let identity = |enrollments| IdentityRecord {
        name: "alice".to_owned(),
        kind: "client".to_owned(),
        affiliation: "a".repeat(60_000),
        attributes: Vec::new(),
        max_enrollments: -1,
        enrollments,
        failed_attempts: 0,
        revoked: false,
        secret: serde_json::from_str::<SecretHash>("\"hash\"").unwrap(),
    };
    let mut longest = 0;
    for enrollments in 1..=120 {
        let change = Change::Identity(identity(enrollments));
        registry.change(|_| Ok(((), vec![change]))).unwrap();
        longest = longest.max(std::fs::metadata(&file).unwrap().len());
    }
    let len = std::fs::metadata(&file).unwrap().len();
    assert!(longest < 5 << 20 && len < longest, "{longest} {len}");
    drop(registry);
    let read = Registry::read(disk.as_ref(), dir.path()).unwrap();
    assert_eq!(read.identities["alice"].enrollments, 120);
}

/// A registry with room for a few affiliations.
fn small(data: &Path) -> Registry {
    let bounds = Bounds {
        whole: 1 << 10,
        longest: 4 << 10,
    };
    Registry::open_within(&quire_disk::os(), data, bounds).unwrap()
}

#[test]
fn no_change_makes_a_file_that_a_start_would_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let registry = small(dir.path());
    let mut taken = 0;
    let refused = loop {
        let name = format!("a{taken:0200}");
        match registry.change(|_| Ok(((), affiliation(&name)))) {
            Ok(()) => taken += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!((refused.status, taken > 10), (503, true), "{refused}");
    let len = std::fs::metadata(dir.path().join("ca/registry"))
        .unwrap()
        .len();
    assert!(len <= 4 << 10, "{len}");
    drop(registry);
    let registry = small(dir.path());
    assert_eq!(registry.state().affiliations.len(), taken);
    assert!(registry.is_full());
    // What is forgotten makes room at once.
    let state = registry.state().clone();
    for name in names(&state) {
        let gone = vec![
            Change::RemoveAffiliation(name.to_owned()),
            Change::ForgetCertificate("1".to_owned()),
        ];
        if registry.is_full() {
            registry.change(|_| Ok(((), gone))).unwrap();
        }
    }
    assert!(!registry.is_full());
    assert!(registry.state().affiliations.len() > 1);
}

#[test]
fn a_refused_change_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(&quire_disk::os(), dir.path()).unwrap();
    let refused = registry
        .change(|_| Err::<((), Vec<Change>), _>(Refusal::new(400, crate::Code::Unknown, "no")));
    assert!(refused.is_err());
    registry.change(|_| Ok(((), affiliation("a")))).unwrap();
    assert_eq!(names(&registry.state()), ["a"]);
}
