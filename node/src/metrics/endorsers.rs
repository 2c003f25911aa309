//! Endorsements that were asked of other peers.

use std::time::Duration;

use prometheus::HistogramVec;
use quire_gateway::metrics::Family;
use quire_peer::Ended;
use quire_rpc::PeerObserver;

use super::TIME_BUCKETS;
use super::chaincodes::Chaincodes;

/// Counts them by organisation.
#[derive(Debug)]
pub(crate) struct Endorsers {
    asked: HistogramVec,
    /// Organisations with a label of their own.
    organizations: Chaincodes,
}

impl Endorsers {
    pub(crate) fn new(family: &Family) -> Self {
        Self {
            asked: family.histograms(
                "quire_endorsement_asked_seconds",
                "Seconds until a peer that was asked to endorse a transaction of this node has answered, by its \
                 organisation (`other` beyond 50) and what came of it: endorsed, unreachable, refused, failed \
                 (its chaincode), differs, unsound. Anything but endorsed, for long: look at that peer.",
                &["organization", "outcome"],
                &TIME_BUCKETS,
            ),
            organizations: Chaincodes::default(),
        }
    }
}

impl PeerObserver for Endorsers {
    fn asked(&self, msp_id: &str, ended: Ended, took: Duration) {
        let organization = self.organizations.learn(msp_id);
        let outcome = ended.name().to_ascii_lowercase();
        let asked = self.asked.with_label_values(&[&*organization, &*outcome]);
        asked.observe(took.as_secs_f64());
    }
}
