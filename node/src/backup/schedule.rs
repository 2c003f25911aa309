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
use super::place::refuse_inside;
use crate::arguments::BackupsArguments;
use crate::config::ConfigError;

/// How long after a failure the next attempt is made, at most.
const RETRY: Duration = Duration::from_secs(60);

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
    pub(crate) newest: SystemTime,
    /// Whether there is one.
    has_one: bool,
    /// Bytes done and in all, of one that is being made.
    pub(crate) under_way: Option<(u64, u64)>,
    /// Why the last attempt failed, if it did, and when.
    pub(crate) failure: Option<(String, SystemTime)>,
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
        let since = |moment: SystemTime| now.duration_since(moment).unwrap_or_default();
        if let Some((_, failed)) = &state.failure {
            return Some(every.min(RETRY).saturating_sub(since(*failed)));
        }
        if !state.has_one {
            return Some(Duration::ZERO);
        }
        Some(every.saturating_sub(since(state.newest)))
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
            }
            Err(error) => {
                state.failure = Some((quire_ledger::chain_of(error), now));
            }
        }
    }
}
