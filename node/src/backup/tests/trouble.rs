//! Backups that meet others, fail, or find what they did not make.

use super::*;

#[test]
fn a_restore_changes_nothing_where_a_backup_is_under_way() {
    let root = tempfile::tempdir().unwrap();
    let (data, target) = (root.path().join("data"), root.path().join("one"));
    let source = write_data(&OsDisk, &data, 3);
    // As it is while a first backup is copied, and between the two renames of a later one.
    std::fs::create_dir(root.path().join(".one.new")).unwrap();
    std::fs::write(root.path().join(".one.new/half"), "half").unwrap();
    let restored = root.path().join("restored");
    restore(&OsDisk, &target, &restored, &mut quiet).unwrap_err();
    assert!(root.path().join(".one.new/half").exists());
    std::fs::remove_dir_all(root.path().join(".one.new")).unwrap();
    back_up(&OsDisk, &source, &target, at(0), &mut quiet).unwrap();
    let new = root.path().join(".one.new");
    OsDisk.rename(&target, &new).unwrap();
    restore(&OsDisk, &target, &restored, &mut quiet).unwrap();
    assert!(root.path().join(".one.new").join(MANIFEST).exists());
    assert!(!target.exists());
}

#[test]
fn a_backup_that_fails_leaves_the_disk_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    let (data, to) = (root.path().join("data"), root.path().join("to"));
    let mut source = write_data(&OsDisk, &data, 3);
    let end = source.channels.get_mut("main").unwrap();
    let files = &mut end.as_mut().unwrap().files;
    files.push(("blockfile_000099".to_owned(), 1));
    for target in ["one", "one.tar.zst"] {
        back_up(&OsDisk, &source, &to.join(target), at(0), &mut quiet).unwrap_err();
        assert_eq!(OsDisk.list(&to).unwrap(), Vec::<String>::new(), "{target}");
    }
}

#[test]
fn a_damaged_backup_among_many_is_not_counted_and_ends_nothing() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let kept = Kept {
        to: root.path().join("backups"),
        keep: 1,
    };
    let source = write_data(&OsDisk, &data, 3);
    let add = |second| kept.add(&OsDisk, &source, at(second), &mut quiet).unwrap();
    let bad = add(0).path;
    std::fs::write(bad.join(MANIFEST), "{").unwrap();
    assert!(kept.list(&OsDisk).unwrap().is_empty());
    let good = add(60);
    assert_eq!(good.copied_bytes, good.bytes);
    assert_eq!(kept.list(&OsDisk).unwrap().len(), 1);
    restore(
        &OsDisk,
        &good.path,
        &root.path().join("restored"),
        &mut quiet,
    )
    .unwrap();
    let again = make::make(
        &OsDisk,
        &source,
        &root.path().join("one"),
        Some(&bad),
        at(90),
        &mut quiet,
    );
    let again = again.unwrap();
    assert_eq!(again.copied_bytes, again.bytes);
}

#[test]
fn a_node_without_channels_is_restored_to_a_data_directory() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let mut source = write_data(&OsDisk, &data, 1);
    source.channels.clear();
    for target in ["one", "one.tar.zst"] {
        let target = root.path().join(target);
        back_up(&OsDisk, &source, &target, at(0), &mut quiet).unwrap();
        let restored = root.path().join("restored");
        restore(&OsDisk, &target, &restored, &mut quiet).unwrap();
        assert!(restored.join("id-store").is_dir());
        std::fs::remove_dir_all(&restored).unwrap();
    }
    assert!(root.path().join("one/id-store").is_dir());
}

#[test]
fn keys_are_written_to_nothing_that_somebody_else_has_put_there() {
    let root = tempfile::tempdir().unwrap();
    let at_root = |name: &str| root.path().join(name);
    let data = at_root("data");
    let source = write_data(&OsDisk, &data, 1);
    std::fs::create_dir(at_root("theirs")).unwrap();
    std::fs::write(at_root("their-file"), "").unwrap();
    std::os::unix::fs::symlink(at_root("theirs"), at_root(".one.new")).unwrap();
    std::os::unix::fs::symlink(at_root("their-file"), at_root(".one.tar.zst.new")).unwrap();
    for target in ["one", "one.tar.zst"] {
        let target = at_root(target);
        back_up(&OsDisk, &source, &target, at(0), &mut quiet).unwrap();
        let mode = std::fs::symlink_metadata(&target).unwrap();
        assert_eq!(mode.permissions().mode() & 0o077, 0);
        assert!(!mode.is_symlink());
    }
    assert_eq!(
        OsDisk.list(&at_root("theirs")).unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(std::fs::read(at_root("their-file")).unwrap(), b"");
}
