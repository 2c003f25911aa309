//! Backups and restores that are killed, or lose power, at every step.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use quire_disk::{Disk, OsDisk, create_folder, make_dir, replace_file};
use quire_testkit::image::{Image, Loss};
use quire_testkit::sim_disk::SimDisk;

use super::keep::Kept;
use super::manifest::FileRow;
use super::*;

mod trouble;

/// Bytes of a full block file of the tests.
const FULL: usize = 700;

/// Files by their paths.
type Files = BTreeMap<String, Vec<u8>>;

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_000_000 + second)
}

/// A data directory: what is kept of it, and what is not.
fn kept(blocks: usize) -> Files {
    let mut files = Files::new();
    let mut put = |path: &str, content: &[u8]| {
        files.insert(path.to_owned(), content.to_vec());
    };
    put("id-store/main.json", b"{}");
    put("identities/node/msp/keystore/priv_sk", b"key");
    put("organization/ca/ca-cert.pem", b"certificate");
    put(
        "tokens/tokens.json",
        format!("tokens at {blocks}").as_bytes(),
    );
    put("channels/main/indexes.json", b"[]");
    for set in 0..blocks.div_ceil(3) {
        let path = format!("channels/main/private/{set:064}");
        put(&path, format!("secret {set}").as_bytes());
    }
    let all: Vec<u8> = (0..blocks).flat_map(block).collect();
    for (number, file) in all.chunks(FULL).enumerate() {
        put(&format!("channels/main/blockfile_{number:06}"), file);
    }
    files
}

fn block(number: usize) -> Vec<u8> {
    format!("[block {number:04}]").repeat(25).into_bytes()
}

/// Makes the data directory what it is with so many blocks, and some bytes that nobody was told of.
fn write_data(disk: &dyn Disk, data: &Path, blocks: usize) -> Source {
    let files = kept(blocks);
    for (path, content) in &files {
        let place = data.join(path);
        make_dir(disk, place.parent().unwrap()).unwrap();
        let file = disk.open(&place, true).unwrap();
        file.write_all_at(content, 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(place.parent().unwrap()).unwrap();
    }
    for (path, content) in [
        ("channels/main/cut.blockfile_000000", "cut"),
        ("channels/half-made/blockfile_000000", "half"),
        ("chaincodes/code/a/src/main.go", "made again"),
        ("check-1/0.jnl", "made again"),
        ("identities/.new.new/priv_sk", "half"),
        ("elsewhere", "somebody's"),
    ] {
        let place = data.join(path);
        make_dir(disk, place.parent().unwrap()).unwrap();
        replace_file(disk, &place, content.as_bytes()).unwrap();
    }
    let is_block_file = |path: &&String| path.contains("blockfile_");
    let named = files.keys().filter(is_block_file).map(|path| {
        let name = path.rsplit_once('/').unwrap().1.to_owned();
        (name, files[path].len() as u64)
    });
    let end = ChainEnd {
        height: blocks as u64,
        hash: [7; 32],
        files: named.collect(),
    };
    let (last, len) = end.files.last().unwrap();
    let tail = disk.open(&data.join("channels/main").join(last), false);
    tail.unwrap()
        .write_all_at(b"not acknowledged", *len)
        .unwrap();
    Source {
        data: data.to_owned(),
        channels: BTreeMap::from([("main".to_owned(), Ok(end))]),
        trouble: Vec::new(),
        identities: true,
    }
}

/// What a backup has.
fn content(disk: &dyn Disk, folder: &Path, manifest: &Manifest) -> Files {
    let read = |row: &FileRow| {
        let file = disk.open(&row.at(folder), false).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        (row.path.clone(), bytes)
    };
    manifest.files.iter().map(read).collect()
}

/// Every way to lose power just before each change.
fn crashes(disk: &SimDisk) -> Vec<(String, Image)> {
    let mut crashes = Vec::new();
    for moment in disk.take_moments() {
        let losses = [Loss::None, Loss::All, Loss::LengthsOnly];
        for loss in losses.into_iter().chain((0..3).map(Loss::Torn)) {
            let image = moment.image.clone().after_power_loss(loss);
            crashes.push((format!("{loss:?} before {}", moment.what), image));
        }
    }
    crashes
}

/// A folder of the real file system for each run: the lock of a data directory is there.
struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("restored")).unwrap();
        Self { root }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn disk(&self) -> SimDisk {
        SimDisk::new(self.root.path())
    }
}

fn quiet(_: Progress<'_>) {}

/// The height that a backup is of, which has to be whole.
fn restored(disk: &SimDisk, place: &Place, backup: &Path) -> Result<u64, BackupError> {
    let data = place.at("restored");
    let manifest = restore(disk, backup, &data, &mut quiet)?;
    let height = manifest.channels[0].height.unwrap();
    let expected = kept(usize::try_from(height).unwrap());
    assert_eq!(content(disk, &data, &manifest), expected);
    Ok(height)
}

#[test]
fn a_backup_that_loses_power_is_the_one_before_or_the_new_one() {
    let place = Place::new();
    let (disk, data, target) = (place.disk(), place.at("data"), place.at("backups/one"));
    let source = write_data(&disk, &data, 4);
    back_up(&disk, &source, &target, at(0), &mut quiet).unwrap();
    let source = write_data(&disk, &data, 7);
    disk.record();
    back_up(&disk, &source, &target, at(60), &mut quiet).unwrap();
    let mut seen = Vec::new();
    let crashes = crashes(&disk);
    assert!(crashes.len() > 500, "{}", crashes.len());
    for (what, image) in crashes {
        let disk = SimDisk::of(place.root.path(), image.clone());
        let height = restored(&disk, &place, &target);
        seen.push(height.unwrap_or_else(|error| panic!("{what}: {error}")));
        let disk = SimDisk::of(place.root.path(), image);
        back_up(&disk, &source, &target, at(90), &mut quiet).unwrap();
        assert_eq!(restored(&disk, &place, &target).unwrap(), 7, "{what}");
        let mut left = disk.list(&place.at("backups")).unwrap();
        left.sort();
        assert_eq!(left, ["one"], "{what}");
    }
    assert!(seen.contains(&4) && seen.contains(&7));
}

#[test]
fn a_first_backup_that_loses_power_is_none_or_whole() {
    for target in ["backups/one", "backups/one.tar.zst"] {
        let place = Place::new();
        let (disk, data, target) = (place.disk(), place.at("data"), place.at(target));
        let source = write_data(&disk, &data, 4);
        disk.record();
        back_up(&disk, &source, &target, at(0), &mut quiet).unwrap();
        let mut whole = 0;
        for (what, image) in crashes(&disk) {
            let disk = SimDisk::of(place.root.path(), image.clone());
            match restored(&disk, &place, &target) {
                Ok(height) => {
                    assert_eq!(height, 4, "{what}");
                    whole += 1;
                }
                Err(BackupError::NoBackup(_) | BackupError::File(_)) => {
                    assert!(!disk.exists(&place.at("restored/id-store")).unwrap());
                }
                Err(error) => panic!("{what}: {error}"),
            }
            let disk = SimDisk::of(place.root.path(), image);
            back_up(&disk, &source, &target, at(90), &mut quiet).unwrap();
            assert_eq!(restored(&disk, &place, &target).unwrap(), 4, "{what}");
        }
        assert!(whole > 0);
    }
}

#[test]
fn a_restore_that_loses_power_is_no_data_directory_until_it_is_whole() {
    for target in ["one", "one.tar.zst"] {
        let place = Place::new();
        let (disk, data, target) = (place.disk(), place.at("data"), place.at(target));
        let source = write_data(&disk, &data, 4);
        back_up(&disk, &source, &target, at(0), &mut quiet).unwrap();
        disk.record();
        restored(&disk, &place, &target).unwrap();
        let mut whole = 0;
        for (what, image) in crashes(&disk) {
            let disk = SimDisk::of(place.root.path(), image);
            if disk.exists(&place.at("restored/id-store")).unwrap() {
                whole += 1;
                begin(&disk, &place.at("restored")).unwrap();
                for (path, expected) in kept(4) {
                    let file = disk.open(&place.at("restored").join(&path), false).unwrap();
                    let mut found = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
                    file.read_exact_at(&mut found, 0).unwrap();
                    assert_eq!(found, expected, "{what}: {path}");
                }
            } else {
                let height = restored(&disk, &place, &target);
                let height = height.unwrap_or_else(|error| panic!("{what}: {error:?}"));
                assert_eq!(height, 4, "{what}");
            }
            let left = disk.exists(&place.at("restored").join(UNFINISHED));
            assert!(!left.unwrap(), "{what}");
        }
        assert!(whole > 0);
    }
}

#[test]
fn of_many_backups_those_that_are_listed_are_whole_whenever_the_power_fails() {
    let place = Place::new();
    let (disk, data) = (place.disk(), place.at("data"));
    let kept = Kept {
        to: place.at("backups"),
        keep: 2,
    };
    for (second, blocks) in [(0, 2), (60, 4)] {
        let source = write_data(&disk, &data, blocks);
        kept.add(&disk, &source, at(second), &mut quiet).unwrap();
    }
    let source = write_data(&disk, &data, 7);
    disk.record();
    kept.add(&disk, &source, at(120), &mut quiet).unwrap();
    for (what, image) in crashes(&disk) {
        let listed = kept
            .list(&SimDisk::of(place.root.path(), image.clone()))
            .unwrap();
        assert!((2..=3).contains(&listed.len()), "{what}: {listed:?}");
        for (_, folder) in &listed {
            let disk = SimDisk::of(place.root.path(), image.clone());
            restored(&disk, &place, folder).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        let disk = SimDisk::of(place.root.path(), image);
        kept.add(&disk, &source, at(120), &mut quiet).unwrap();
        assert_eq!(kept.list(&disk).unwrap().len(), 2, "{what}");
        let names = disk.list(&kept.to).unwrap();
        assert_eq!(names.len(), 2, "{what}: {names:?}");
    }
}

#[test]
fn a_second_backup_copies_only_what_grew() {
    let root = tempfile::tempdir().unwrap();
    let (data, target) = (root.path().join("data"), root.path().join("one"));
    let disk = OsDisk;
    let source = write_data(&disk, &data, 6);
    let first = back_up(&disk, &source, &target, at(0), &mut quiet).unwrap();
    assert_eq!(first.copied_bytes, first.bytes);
    let source = write_data(&disk, &data, 7);
    let second = back_up(&disk, &source, &target, at(1), &mut quiet).unwrap();
    // Of 7 blocks three files are full, and the last of the first backup was written to.
    let new = |path: &&String| {
        let is_shared = path.contains("private/") && !path.ends_with('2');
        !(is_shared || path.ends_with("blockfile_000000") || path.ends_with("blockfile_000001"))
    };
    let files = kept(7);
    let expected: usize = files.keys().filter(new).map(|path| files[path].len()).sum();
    assert_eq!(second.copied_bytes, expected as u64);
    let data = root.path().join("restored");
    let manifest = restore(&disk, &target, &data, &mut quiet).unwrap();
    assert_eq!(content(&disk, &data, &manifest), files);
}

#[test]
fn a_flipped_cut_or_missing_file_is_named_and_nothing_is_restored() {
    let root = tempfile::tempdir().unwrap();
    let (data, target) = (root.path().join("data"), root.path().join("one"));
    let source = write_data(&OsDisk, &data, 5);
    back_up(&OsDisk, &source, &target, at(0), &mut quiet).unwrap();
    let restored = root.path().join("restored");
    let refused = |path: &Path| {
        let error = restore(&OsDisk, &target, &restored, &mut quiet).unwrap_err();
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
        assert!(!restored.join("id-store").exists());
        assert!(!restored.join(UNFINISHED).exists());
    };
    for path in kept(5).keys() {
        let path = target.join(path);
        let sound = std::fs::read(&path).unwrap();
        let mut flipped = sound.clone();
        flipped[sound.len() / 2] ^= 4;
        std::fs::write(&path, flipped).unwrap();
        refused(&path);
        std::fs::write(&path, &sound[..sound.len() - 1]).unwrap();
        refused(&path);
        std::fs::remove_file(&path).unwrap();
        refused(&path);
        std::fs::write(&path, sound).unwrap();
    }
    std::fs::remove_file(target.join(MANIFEST)).unwrap();
    let error = restore(&OsDisk, &target, &restored, &mut quiet).unwrap_err();
    assert!(matches!(error, BackupError::NoBackup(_)), "{error}");
}

#[test]
fn an_archive_with_any_byte_changed_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let (data, target) = (root.path().join("data"), root.path().join("one.tar.zst"));
    let source = write_data(&OsDisk, &data, 3);
    back_up(&OsDisk, &source, &target, at(0), &mut quiet).unwrap();
    let sound = std::fs::read(&target).unwrap();
    for position in (0..sound.len())
        .step_by(7)
        .chain(sound.len() - 9..sound.len())
    {
        let restored = root.path().join("restored");
        let mut flipped = sound.clone();
        flipped[position] ^= 1 << (position % 8);
        std::fs::write(&target, &flipped).unwrap();
        if restore(&OsDisk, &target, &restored, &mut quiet).is_ok() {
            // What only says how it is packed may differ.
            let read = |path: &String| std::fs::read(restored.join(path)).unwrap();
            assert!(kept(3).iter().all(|(path, content)| read(path) == *content));
            std::fs::remove_dir_all(&restored).unwrap();
        }
        std::fs::write(&target, &sound[..position]).unwrap();
        assert!(
            restore(&OsDisk, &target, &restored, &mut quiet).is_err(),
            "{position}"
        );
    }
}

#[test]
fn nothing_is_replaced_that_is_no_backup_and_nothing_restored_over_data() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let source = write_data(&OsDisk, &data, 3);
    let make = |target: &Path| back_up(&OsDisk, &source, target, at(0), &mut quiet);
    let other = root.path().join("other");
    create_folder(&OsDisk, &other, &[]).unwrap();
    std::fs::write(other.join("letter"), "dear").unwrap();
    let refused = make(&other).unwrap_err();
    assert!(matches!(refused, BackupError::Occupied { .. }), "{refused}");
    for inside in ["backups/one", "one.tar.zst"] {
        let refused = make(&data.join(inside)).unwrap_err();
        assert!(matches!(refused, BackupError::InData { .. }), "{refused}");
    }
    let one = root.path().join("one");
    make(&one).unwrap();
    for occupied in [&other, &data] {
        let refused = restore(&OsDisk, &one, occupied, &mut quiet).unwrap_err();
        assert!(matches!(refused, BackupError::NotEmpty { .. }), "{refused}");
    }
}

#[test]
fn what_a_node_may_still_write_to_is_never_shared() {
    use std::os::unix::fs::MetadataExt as _;
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let kept = Kept {
        to: root.path().join("backups"),
        keep: 3,
    };
    let source = write_data(&OsDisk, &data, 6);
    let add = |second| kept.add(&OsDisk, &source, at(second), &mut quiet).unwrap();
    let (one, other) = (add(0).path, add(0).path);
    let is_shared = |path: &str| {
        let inode = |folder: &Path| std::fs::metadata(folder.join(path)).unwrap().ino();
        inode(&one) == inode(&other)
    };
    for path in self::kept(6).keys() {
        let is_full = path.ends_with("blockfile_000000") || path.ends_with("blockfile_000001");
        let expected = is_full || path.contains("private/");
        assert_eq!(is_shared(path), expected, "{path}");
    }
}

#[test]
fn another_ledger_of_the_same_size_shares_nothing_with_the_one_before() {
    let root = tempfile::tempdir().unwrap();
    let (data, target) = (root.path().join("data"), root.path().join("one"));
    let source = write_data(&OsDisk, &data, 6);
    back_up(&OsDisk, &source, &target, at(0), &mut quiet).unwrap();
    let mut others = kept(6);
    for (path, content) in &mut others {
        content[0] ^= 1;
        std::fs::write(data.join(path), &content).unwrap();
    }
    let made = back_up(&OsDisk, &source, &target, at(1), &mut quiet).unwrap();
    assert_eq!(made.copied_bytes, made.bytes);
    let data = root.path().join("restored");
    let manifest = restore(&OsDisk, &target, &data, &mut quiet).unwrap();
    assert_eq!(content(&OsDisk, &data, &manifest), others);
}
