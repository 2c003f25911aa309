use super::*;

fn set(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn only_its_owner_and_root_may_close_what_is_open_to_others() {
    let loose = Loose {
        path: "data/lock".into(),
        mode: 0o644,
        wanted: 0o600,
        owner: 1000,
    };
    assert!(may_mend(&loose, 1000).is_ok());
    assert!(may_mend(&loose, 0).is_ok());
    let refused = may_mend(&loose, 1001).unwrap_err();
    let told = refused.to_string();
    assert!(
        told.contains("mode 0644") && told.contains("id 1000"),
        "{told}"
    );
    assert!(refused.advice().contains("chmod go= data/lock"));
}

#[test]
fn what_is_quires_is_closed_and_nothing_else_is_touched() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    for folder in [
        "id-store",
        "channels/main/cut-1",
        "identities/node/msp",
        "migrations",
        "notes",
    ] {
        fs::create_dir_all(data.join(folder)).unwrap();
    }
    let files = [
        ("channels/main/blockfile_000000", 0o644, 0o600),
        ("channels/main/cut-1/blockfile_000003", 0o640, 0o600),
        ("id-store/main.json", 0o444, 0o400),
        ("identities/node/msp/priv_sk", 0o777, 0o600),
        ("lock", 0o600, 0o600),
        ("migrations/0001-a.json", 0o644, 0o644),
        ("notes/letter", 0o644, 0o644),
    ];
    for (path, before, _) in files {
        fs::write(data.join(path), "x").unwrap();
        set(&data.join(path), before);
    }
    let folders = [
        "",
        "channels",
        "channels/main",
        "channels/main/cut-1",
        "id-store",
    ];
    for folder in folders {
        set(&data.join(folder), 0o2755);
    }
    check(&data).unwrap();
    assert_eq!(mode(&data), 0o2755, "a check changes nothing");
    mend(&data).unwrap();
    for (path, _, after) in files {
        assert_eq!(mode(&data.join(path)), after, "{path}");
    }
    for folder in folders {
        assert_eq!(mode(&data.join(folder)), 0o700, "{folder}");
    }
    walk(&data, &mut |loose, _| panic!("{loose:?}")).unwrap();
}

#[test]
fn a_folder_with_other_things_in_it_is_not_closed() {
    let root = tempfile::tempdir().unwrap();
    let home = root.path().join("home");
    fs::create_dir(&home).unwrap();
    set(&home, 0o755);
    mend(&home).unwrap();
    assert_eq!(mode(&home), 0o700, "an empty one is");
    fs::write(home.join("letter"), "x").unwrap();
    check(&home).unwrap();
    set(&home, 0o755);
    let refused = check(&home).unwrap_err();
    assert!(refused.to_string().contains("holds letter"), "{refused}");
    assert!(mend(&home).is_err());
    assert_eq!(mode(&home), 0o755);
    check(&root.path().join("nothing")).unwrap();
}

/// A data directory whose channels are behind a link, and where they are.
fn with_link(root: &Path) -> (PathBuf, PathBuf) {
    let (data, elsewhere) = (root.join("data"), root.join("elsewhere"));
    fs::create_dir_all(data.join("id-store")).unwrap();
    fs::create_dir_all(elsewhere.join("main")).unwrap();
    for folder in [
        &data,
        &data.join("id-store"),
        &elsewhere,
        &elsewhere.join("main"),
    ] {
        set(folder, 0o700);
    }
    std::os::unix::fs::symlink(&elsewhere, data.join("channels")).unwrap();
    (data, elsewhere)
}

#[test]
fn what_is_open_behind_a_link_is_refused_and_nothing_is_changed_there() {
    let root = tempfile::tempdir().unwrap();
    let (data, elsewhere) = with_link(root.path());
    std::os::unix::fs::symlink("nowhere", data.join("derived")).unwrap();
    mend(&data).unwrap();
    let block = elsewhere.join("main/blockfile_000000");
    fs::write(&block, "x").unwrap();
    set(&block, 0o600);
    for (path, open, closed) in [(&elsewhere, 0o755, 0o700), (&block, 0o644, 0o600)] {
        set(path, open);
        for refused in [check(&data), mend(&data)] {
            let refused = refused.unwrap_err();
            assert!(matches!(refused, ModeError::BehindLink { .. }), "{refused}");
            let advice = format!("`chmod -R go= {}`", path.display());
            assert!(refused.advice().contains(&advice), "{}", refused.advice());
        }
        assert_eq!(mode(path), open);
        set(path, closed);
        mend(&data).unwrap();
    }
}

#[test]
fn a_link_of_somebody_else_is_passed_over() {
    let root = tempfile::tempdir().unwrap();
    let (data, elsewhere) = with_link(root.path());
    set(&elsewhere, 0o755);
    let nobody = 65_534;
    if std::os::unix::fs::lchown(data.join("channels"), Some(nobody), None).is_ok() {
        mend(&data).unwrap();
        assert_eq!(mode(&elsewhere), 0o755);
    }
}

#[test]
fn what_is_exchanged_for_a_link_meanwhile_is_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let elsewhere = root.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("letter"), "x").unwrap();
    set(&elsewhere, 0o755);
    set(&elsewhere.join("letter"), 0o644);
    let user = rustix::process::geteuid().as_raw();
    for (loose, kind, target) in [
        ("lock", "file", elsewhere.join("letter")),
        ("channels", "folder", elsewhere.clone()),
    ] {
        let data = root.path().join(kind);
        fs::create_dir(&data).unwrap();
        set(&data, 0o700);
        let path = data.join(loose);
        if kind == "file" {
            fs::write(&path, "x").unwrap();
            set(&path, 0o644);
        } else {
            fs::create_dir(&path).unwrap();
            set(&path, 0o755);
        }
        let mut is_exchanged = false;
        let walked = walk(&data, &mut |loose, open| {
            if kind == "file" {
                fs::remove_file(&path).unwrap();
            } else {
                fs::remove_dir(&path).unwrap();
            }
            std::os::unix::fs::symlink(&target, &path).unwrap();
            is_exchanged = true;
            close(&loose, user, open).map(|_| ())
        });
        let refused = walked.unwrap_err();
        assert!(matches!(refused, ModeError::Change { .. }), "{refused}");
        assert!(is_exchanged);
    }
    assert_eq!(mode(&elsewhere), 0o755);
    assert_eq!(mode(&elsewhere.join("letter")), 0o644);
}
