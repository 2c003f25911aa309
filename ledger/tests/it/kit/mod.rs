//! What the tests share: data directories, the conformance data.

pub(crate) mod chain;
mod documents;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use quire_ledger::disk::{Disk, OsDisk};
use quire_ledger::{Ledgers, Purpose};

pub(crate) use documents::Documents;

/// The operating system's disk.
pub(crate) fn os_disk() -> Arc<dyn Disk> {
    Arc::new(OsDisk)
}

/// Opens the ledgers of a data directory for use.
pub(crate) fn open(dir: &Path) -> Ledgers {
    Ledgers::open(os_disk(), dir, Purpose::Use).expect("the data directory opens")
}

/// A file or folder of the conformance data.
pub(crate) fn conformance(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
    assert!(
        root.is_dir(),
        "{} is missing: these tests compare with data made by real Fabric",
        root.display()
    );
    root.join(path)
}

/// A folder in memory where there is one: for tests that open thousands of data directories and ask
/// nothing of the disk.
pub(crate) fn quick_dir() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    made.expect("a temporary folder")
}
