//! The folder of a package's code: unpacked and built beside the place where it then stands.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quire_chaincode::lifecycle::unpack_code;
use tokio::runtime::Handle;

use super::child::Run;
use super::kind::Kind;
use super::processes::LaunchError;

/// The end of the names of folders that are being built in.
const UNFINISHED: &str = ".new";

/// The folder of a package's code. A label has no separator of paths, and the hash no dot.
pub(super) fn folder_of(package_id: &str) -> String {
    package_id.replace(':', ".")
}

/// Makes the folder of a package's code, whole or not at all.
pub(super) async fn build(dir: &Path, name: &Arc<str>, code: Vec<u8>) -> Result<(), LaunchError> {
    let (dir, beside) = (dir.to_owned(), Beside::of(dir));
    // The work goes on when the build is given up, and so the folder is its own meanwhile.
    let unpack = move || {
        unpack_code(&code, &beside.0)?;
        Ok(beside)
    };
    let beside = blocking(unpack).await?;
    build_in(&beside.0, name).await?;
    blocking(move || beside.take_place(&dir)).await
}

/// Builds the code in a folder.
async fn build_in(folder: &Path, name: &Arc<str>) -> Result<(), LaunchError> {
    for program in Kind::of(folder)?.builds(folder) {
        tracing::info!(chaincode = %name, program = ?program.program, "building the chaincode");
        let run = Run {
            name: Arc::clone(name),
            dir: folder.to_owned(),
            program,
            env: Vec::new(),
        };
        run.once().await?;
    }
    Ok(())
}

/// Does work that blocks.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LaunchError> + Send + 'static,
) -> Result<T, LaunchError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(LaunchError::Package(error.to_string())))
}

/// A folder that nobody else builds in, beside the one that it becomes. What did not become that is removed.
struct Beside(PathBuf);

impl Beside {
    fn of(dir: &Path) -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let mut name = dir.as_os_str().to_owned();
        name.push(format!(".{number}{UNFINISHED}"));
        Self(name.into())
    }

    /// Gives it its name once all of it is on the disk: after a power loss the folder is whole or not there. Whoever
    /// was first wins.
    fn take_place(self, dir: &Path) -> Result<(), LaunchError> {
        sync_all(&self.0)?;
        match quire_disk::os().rename(&self.0, dir) {
            Err(_) if dir.is_dir() => Ok(()),
            renamed => Ok(renamed?),
        }
    }
}

/// Makes everything in a folder durable at once: it has files by the ten thousand, and a sync for each would take long.
#[cfg(target_os = "linux")]
fn sync_all(folder: &Path) -> std::io::Result<()> {
    let folder = std::fs::File::open(folder)?;
    Ok(rustix::fs::syncfs(&folder)?)
}

#[cfg(not(target_os = "linux"))]
fn sync_all(_: &Path) -> std::io::Result<()> {
    rustix::fs::sync();
    Ok(())
}

impl Drop for Beside {
    fn drop(&mut self) {
        let folder = std::mem::take(&mut self.0);
        // It is not there if it took its place. Otherwise a start removes what is left.
        let remove = move || drop(std::fs::remove_dir_all(folder));
        // To remove files by the ten thousand takes long.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// Removes folders whose building was interrupted.
pub(super) fn remove_unfinished(dir: &Path) {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let unfinished = entries.filter(|entry| {
        let name = entry.file_name();
        name.as_encoded_bytes().ends_with(UNFINISHED.as_bytes())
    });
    for entry in unfinished {
        let path = entry.path();
        if let Err(error) = std::fs::remove_dir_all(&path) {
            tracing::warn!(path = %path.display(), %error, "an unfinished build is left");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::task::{Context, Waker};

    use quire_chaincode::lifecycle::pack_code;

    use super::*;

    #[test]
    fn a_build_that_is_given_up_while_it_unpacks_leaves_nothing() {
        let (from, into) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(from.path().join("package.json"), "{}").unwrap();
        let code = pack_code(from.path()).unwrap();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.max_blocking_threads(1).build().unwrap();
        let _entered = runtime.enter();
        // The only thread for work that blocks is taken, so that the build is given up before its work begins.
        let (free, taken) = mpsc::channel::<()>();
        runtime.spawn_blocking(move || taken.recv());
        let (dir, name) = (into.path().join("label.hash"), "label:hash".into());
        let mut building = Box::pin(build(&dir, &name, code));
        let polled = building
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        drop(building);
        drop(free);
        // The work is done before the first of these, and what it leaves to be done before the second one.
        for _ in 0..2 {
            runtime.block_on(runtime.spawn_blocking(|| ())).unwrap();
        }
        assert_eq!(std::fs::read_dir(into.path()).unwrap().count(), 0);
    }

    #[test]
    fn two_builds_of_a_package_have_a_folder_each_and_the_first_wins() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("label.hash");
        let builds = [
            Beside::of(&target),
            Beside::of(&target),
            Beside::of(&target),
        ];
        for (number, build) in builds.iter().enumerate() {
            std::fs::create_dir(&build.0).unwrap();
            std::fs::write(build.0.join("file"), number.to_string()).unwrap();
        }
        let [first, second, given_up] = builds;
        first.take_place(&target).unwrap();
        second.take_place(&target).unwrap();
        drop(given_up);
        let names: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["label.hash"]);
        assert_eq!(std::fs::read(target.join("file")).unwrap(), b"0");
    }

    #[test]
    fn a_start_removes_what_an_interrupted_build_left() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.1", "a.1.0.new", "b.2.new"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("file"), "").unwrap();
        }
        remove_unfinished(dir.path());
        remove_unfinished(&dir.path().join("nothing"));
        let names = std::fs::read_dir(dir.path()).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["a.1"]);
    }
}
