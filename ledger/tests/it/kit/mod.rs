//! What the tests share: data directories, chains, a disk that fails.

pub(crate) mod chain;
pub(crate) mod couchdb;
mod documents;
pub(crate) mod pouchdb;
pub(crate) mod proxy;

use std::path::Path;
use std::sync::Arc;

use quire_disk::{Disk, OsDisk};
use quire_ledger::check::{Depth, Report, check_channel};
use quire_ledger::{Ledgers, Purpose};
use tempfile::TempDir;

pub(crate) use documents::Documents;
pub(crate) use quire_testkit::{image, rng, sim_disk};

/// The operating system's disk.
pub(crate) fn os_disk() -> Arc<dyn Disk> {
    Arc::new(OsDisk)
}

/// Opens the ledgers of a data directory for use.
pub(crate) fn open(dir: &Path) -> Ledgers {
    Ledgers::open(os_disk(), dir, Purpose::Use).expect("the data directory opens")
}

/// A temporary directory, in memory if possible: thousands of engines are opened, and the cost of their syncs
/// on a disk does not matter.
pub(crate) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    dir.expect("a directory for the test")
}

/// The oracle's report on a channel, with every verdict judged again.
pub(crate) fn check(ledgers: &Ledgers, channel: &str) -> Report {
    let depth = Depth {
        verdicts: true,
        ..Depth::default()
    };
    check_channel(ledgers, channel, depth, &mut |_| {}).expect("the check is finished")
}

/// Copies a folder with everything in it. Holes in files stay holes.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    use std::os::unix::fs::{FileExt as _, MetadataExt as _};
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
            continue;
        }
        // Only the engine's journal has a hole, and only at its end.
        let metadata = entry.metadata().unwrap();
        let held = metadata.len().min(metadata.blocks() * 512);
        let mut bytes = vec![0; usize::try_from(held).unwrap()];
        let source = std::fs::File::open(entry.path()).unwrap();
        source.read_exact_at(&mut bytes, 0).unwrap();
        let target = std::fs::File::create(target).unwrap();
        target.write_all_at(&bytes, 0).unwrap();
        target.set_len(metadata.len()).unwrap();
    }
}
