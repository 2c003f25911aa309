//! When certificates and tokens come to an end.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::IntGaugeVec;
use quire_gateway::metrics::Family;

use crate::clock;
use crate::endings::Endings as Found;

/// How long what was read is good for: there may be many identities.
const GOOD_FOR: Duration = Duration::from_secs(600);

/// Their ends.
#[derive(Debug)]
pub(super) struct Endings {
    data: PathBuf,
    tls: Vec<(&'static str, PathBuf)>,
    ends: IntGaugeVec,
    read: Mutex<Option<Instant>>,
}

impl Endings {
    pub(super) fn new(family: &Family, data: PathBuf, tls: Vec<(&'static str, PathBuf)>) -> Self {
        Self {
            data,
            tls,
            ends: family.gauges(
                "quire_ends_timestamp_seconds",
                "When a certificate or token ends, in seconds since 1970: the node's own identities, CAs, TLS \
                 certificates by their flags, and of callers and tokens the next to end. `quire identity list` has all, \
                 and says what each end means.",
                &["kind", "name"],
            ),
            read: Mutex::default(),
        }
    }

    pub(super) fn look(&self) {
        let mut read = self.read.lock();
        if read.is_some_and(|read| read.elapsed() < GOOD_FOR) {
            return;
        }
        *read = Some(Instant::now());
        let found = Found::read(&self.data, &self.tls);
        for unread in &found.unread {
            tracing::warn!(unread, "it is not known when this ends");
        }
        self.ends.reset();
        for ((kind, name), second) in found.shown(clock::now()) {
            self.ends
                .with_label_values(&[kind, name.as_str()])
                .set(second);
        }
    }
}
