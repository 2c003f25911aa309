//! When a node backs itself up, and how that went.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use quire_disk::{FileError, OsDisk};
use quire_gateway::backups::{BackupUnderWay, Backups as Told};
use quire_ledger::Progress;
use tokio::sync::Notify;

use super::error::BackupError;
use super::keep::Kept;
use super::place::{are_together, refuse_inside};
use crate::arguments::BackupsArguments;
use crate::config::ConfigError;

/// How long after a first failure the next attempt is made, at most; after each more it is twice as long.
const FIRST_RETRY: Duration = Duration::from_secs(60);
/// How long after any failure, at most.
const LONGEST_RETRY: Duration = Duration::from_secs(3600);

/// What was said of a node's backups.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    kept: Kept,
    every: Option<Duration>,
}

impl Plan {
    /// Checks what was said; none if nothing was.
    pub(crate) fn check(
        arguments: &BackupsArguments,
        data: &std::path::Path,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(to) = &arguments.backup_to else {
            if arguments.backup_every.is_some() {
                return Err(ConfigError::BackupsNowhere);
            }
            return Ok(None);
        };
        refuse_inside(data, to)?;
        Ok(Some(Self {
            kept: Kept {
                to: to.clone(),
                keep: arguments.backup_keep,
            },
            every: arguments.backup_every.map(Duration::from_secs),
        }))
    }
}

impl Plan {
    /// Says that a full disk would stop the node too, where that is so.
    pub(crate) fn warn_of_one_disk(&self, data: &std::path::Path) {
        if are_together(data, &self.kept.to) {
            tracing::warn!(
                to = %self.kept.to.display(),
                "backups go to the file system of the data: one that fills it stops commits, and one disk \
                 that fails takes both"
            );
        }
    }
}

/// The backups of a node that makes them by itself.
#[derive(Debug)]
pub(crate) struct Backups {
    pub(crate) kept: Kept,
    pub(crate) every: Option<Duration>,
    /// An administrator wants one.
    pub(crate) wanted: Notify,
    state: Mutex<State>,
}

/// How backups are going.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// When the newest was made; when the node was started if there is none.
    newest: SystemTime,
    /// Whether there is one.
    has_one: bool,
    /// Bytes done and in all, of one that is being made.
    pub(crate) under_way: Option<(u64, u64)>,
    /// Why the last attempt failed, if it did, and when.
    pub(crate) failure: Option<(String, SystemTime)>,
    /// How many attempts have failed since one did not.
    failures: u32,
}

impl Backups {
    pub(crate) fn open(plan: Plan, now: SystemTime) -> Self {
        let Plan { kept, every } = plan;
        let newest = match kept.list(&OsDisk) {
            Ok(mut backups) => backups.pop().map(|(moment, _)| moment),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "backups cannot be listed"
                );
                None
            }
        };
        let state = State {
            newest: newest.unwrap_or(now),
            has_one: newest.is_some(),
            under_way: None,
            failure: None,
            failures: 0,
        };
        Self {
            kept,
            every,
            wanted: Notify::new(),
            state: Mutex::new(state),
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state.lock().clone()
    }

    /// What is told of them.
    pub(crate) fn told(&self) -> Result<Told, FileError> {
        let state = self.state();
        let kept = self.kept.list(&OsDisk)?.into_iter();
        let named = kept.filter_map(|(_, folder)| {
            let name = folder.file_name()?;
            Some(name.to_string_lossy().into_owned())
        });
        Ok(Told {
            backups: named.collect(),
            every_seconds: self.every.map(|every| every.as_secs()),
            keep: self.kept.keep,
            under_way: state
                .under_way
                .map(|(done_bytes, total_bytes)| BackupUnderWay {
                    done_bytes,
                    total_bytes,
                }),
            failure: state.failure.map(|(failure, _)| failure),
        })
    }

    /// How long until the next one is due; none if none is.
    pub(crate) fn due(&self, now: SystemTime) -> Option<Duration> {
        let every = self.every?;
        let state = self.state.lock();
        // A moment in the future is of a clock that has been set back, and says nothing.
        let left = |moment: SystemTime, pause: Duration| {
            let since = now.duration_since(moment);
            since.map_or(Duration::ZERO, |since| pause.saturating_sub(since))
        };
        if let Some((_, failed)) = &state.failure {
            let doubled = 2_u32.saturating_pow(state.failures.saturating_sub(1));
            let pause = every.min(FIRST_RETRY).saturating_mul(doubled);
            return Some(left(*failed, pause.min(LONGEST_RETRY)));
        }
        if !state.has_one {
            return Some(Duration::ZERO);
        }
        Some(left(state.newest, every))
    }

    /// How old the newest is, also of a clock that was set back since.
    pub(crate) fn age(&self, now: SystemTime) -> Duration {
        let newest = self.state.lock().newest;
        now.duration_since(newest)
            .unwrap_or_else(|ahead| ahead.duration())
    }

    /// Notes how far one is.
    pub(crate) fn step(&self, progress: Progress<'_>) {
        self.state.lock().under_way = Some((progress.done, progress.total));
    }

    /// Notes how one ended that was begun at `began`.
    pub(crate) fn ended(
        &self,
        result: &Result<PathBuf, BackupError>,
        began: SystemTime,
        now: SystemTime,
    ) {
        let mut state = self.state.lock();
        state.under_way = None;
        match result {
            Ok(_) => {
                (state.newest, state.has_one) = (began, true);
                state.failure = None;
                state.failures = 0;
            }
            Err(error) => {
                state.failure = Some((quire_ledger::chain_of(error), now));
                state.failures = state.failures.saturating_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daily(to: &std::path::Path, now: SystemTime) -> Backups {
        let kept = Kept {
            to: to.to_owned(),
            keep: 2,
        };
        let every = Some(Duration::from_secs(86_400));
        Backups::open(Plan { kept, every }, now)
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_000_000 + seconds)
    }

    #[test]
    fn a_backup_that_fails_is_tried_again_later_and_later_up_to_an_hour() {
        let root = tempfile::tempdir().unwrap();
        let backups = daily(root.path(), at(0));
        let mut pauses = Vec::new();
        for _ in 0..9 {
            backups.ended(&Err(BackupError::Busy), at(0), at(1));
            pauses.push(backups.due(at(1)).unwrap().as_secs());
        }
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
        backups.ended(&Ok(PathBuf::new()), at(2), at(3));
        backups.ended(&Err(BackupError::Busy), at(4), at(4));
        assert_eq!(backups.due(at(4)), Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_backup_of_a_clock_that_was_set_back_does_not_put_the_next_one_off() {
        let root = tempfile::tempdir().unwrap();
        let backups = daily(root.path(), at(0));
        let year = 365 * 86_400;
        backups.ended(&Ok(PathBuf::new()), at(year), at(year));
        assert_eq!(backups.due(at(60)), Some(Duration::ZERO));
        assert_eq!(backups.age(at(60)), Duration::from_secs(year - 60));
        backups.ended(&Err(BackupError::Busy), at(year), at(year));
        assert_eq!(backups.due(at(60)), Some(Duration::ZERO));
        backups.ended(&Ok(PathBuf::new()), at(60), at(61));
        assert_eq!(backups.due(at(61)), Some(Duration::from_secs(86_399)));
        assert_eq!(backups.age(at(61)), Duration::from_secs(1));
    }
}
