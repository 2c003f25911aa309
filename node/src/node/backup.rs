//! Backups of a node that runs.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quire_disk::OsDisk;
use quire_gateway::Backend as _;
use quire_ledger::{Progress, chain_of};

use super::Node;
use crate::backup::{self, BackedUp, BackupError, Backups, Plan, Source};
use crate::clock;

/// How long nobody looks at the clock: it may have been set.
const LOOK: Duration = Duration::from_secs(60);

impl Node {
    /// The node, which backs itself up if that is planned.
    pub(crate) fn with_backups(mut self, plan: Option<Plan>) -> Self {
        if let Some(plan) = &plan {
            plan.warn_of_one_disk(&self.data);
        }
        self.backups = plan.map(|plan| Backups::open(plan, clock::now()));
        self
    }

    /// The backups that it makes by itself.
    pub(crate) fn backups(&self) -> Option<&Backups> {
        self.backups.as_ref()
    }

    /// Backs the node up to a folder or file, where an earlier backup is replaced. Commits go on.
    pub(crate) fn back_up(
        &self,
        target: &Path,
        identities: bool,
        now: SystemTime,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<BackedUp, BackupError> {
        let busy = self.backing_up.try_lock();
        let _busy = busy.ok_or(BackupError::Busy)?;
        let source = self.source(identities);
        let made = backup::back_up(&OsDisk, &source, target, now, progress)?;
        tell(&made);
        Ok(made)
    }

    /// Makes one of the backups that are planned.
    fn back_up_as_planned(&self, backups: &Backups) {
        let _busy = self.backing_up.lock();
        let began = clock::now();
        let mut progress = |step: Progress<'_>| backups.step(step);
        let source = self.source(true);
        let made = backups.kept.add(&OsDisk, &source, began, &mut progress);
        let made = made.inspect(tell).map(|made| made.path);
        if let Err(error) = &made {
            let advice = error.advice().unwrap_or_default();
            tracing::error!(error = chain_of(error), advice, "not backed up");
        }
        backups.ended(&made, began, clock::now());
    }

    /// What a backup copies, with the ends that the chains have now.
    fn source(&self, identities: bool) -> Source {
        let names: Vec<String> = self.channels.read().keys().cloned().collect();
        let open = names.into_iter().filter_map(|name| {
            let channel = self.channel(&name)?;
            Some((name, channel.reader.end().map_err(|error| chain_of(&error))))
        });
        Source::of(&self.ledgers, &self.data, identities, open.collect())
    }
}

/// Backs a node up whenever it is due or wanted, until the node is asked to stop.
pub(crate) async fn back_up_when_due(node: Arc<Node>) {
    let Some(backups) = node.backups() else {
        return;
    };
    let mut stopping = node.stopping();
    loop {
        let due = backups.due(clock::now());
        if *stopping.borrow() {
            return;
        }
        if !due.is_some_and(|due| due.is_zero()) {
            tokio::select! {
                () = tokio::time::sleep(due.unwrap_or(LOOK).min(LOOK)) => continue,
                () = backups.wanted.notified() => {}
                _ = stopping.wait_for(|stopping| *stopping) => return,
            }
        }
        let same = Arc::clone(&node);
        let began = clock::now();
        let made = tokio::task::spawn_blocking(move || {
            if let Some(backups) = same.backups() {
                same.back_up_as_planned(backups);
            }
        });
        if let Err(error) = made.await {
            let ended = BackupError::Broken(error.to_string());
            tracing::error!(error = chain_of(&ended), "not backed up");
            backups.ended(&Err(ended), began, clock::now());
        }
    }
}

fn tell(made: &BackedUp) {
    tracing::info!(
        path = %made.path.display(),
        files = made.files,
        bytes = made.bytes,
        copied = made.copied_bytes,
        "backed up"
    );
    for trouble in &made.trouble {
        tracing::error!(trouble, "what was backed up is not whole");
    }
}
