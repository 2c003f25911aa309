//! The backups that the node makes by itself.

use std::time::SystemTime;

use prometheus::{Gauge, Opts, Registry};
use quire_gateway::metrics::Family;

use crate::backup::Backups as Planned;

/// How they are.
#[derive(Debug)]
pub(super) struct Backups {
    age: Gauge,
    interval: Gauge,
}

impl Backups {
    pub(super) fn new(registry: &Registry) -> Self {
        let family = Family(registry.clone());
        let seconds = |name: &str, help: &str| family.put(Gauge::with_opts(Opts::new(name, help)));
        Self {
            age: seconds(
                "quire_backup_age_seconds",
                "Seconds since the newest backup was begun; since the start of the node where there is none. Above \
                 twice quire_backup_interval_seconds: the log and `GET /v1/backups` say why none is made.",
            ),
            interval: seconds(
                "quire_backup_interval_seconds",
                "How old the newest backup may become before the next is made (--backup-every); 0 where none is \
                 made unasked.",
            ),
        }
    }

    pub(super) fn look(&self, planned: &Planned, now: SystemTime) {
        self.age.set(planned.age(now).as_secs_f64());
        self.interval
            .set(planned.every.unwrap_or_default().as_secs_f64());
    }
}
