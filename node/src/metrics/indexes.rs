//! How far the indexes for queries are.

use prometheus::IntGaugeVec;
use quire_gateway::metrics::Family;
use quire_ledger::IndexState;

use super::look::whole;

/// The indexes of all channels. Their names are their makers', so they are no labels.
#[derive(Debug)]
pub(super) struct Indexes {
    indexes: IntGaugeVec,
    building: IntGaugeVec,
}

impl Indexes {
    pub(super) fn new(family: &Family) -> Self {
        Self {
            indexes: family.gauges(
                "quire_query_indexes",
                "Indexes for queries by how far they are: ready, building, failed. A failed one \
                 serves nothing: its reason is in _index; delete it and make it again.",
                &["channel", "state"],
            ),
            building: family.gauges(
                "quire_query_index_building_documents",
                "Documents of the indexes that are being built: done so far, and total when they \
                 began.",
                &["channel", "part"],
            ),
        }
    }

    pub(super) fn look(&self, name: &str, states: &[IndexState]) {
        let (mut ready, mut building, mut failed) = (0, 0, 0);
        let (mut done, mut total) = (0, 0);
        for state in states {
            match state {
                IndexState::Ready => ready += 1,
                IndexState::Failed(_) => failed += 1,
                IndexState::Building {
                    done: documents,
                    total: all,
                } => {
                    building += 1;
                    done += documents;
                    total += all;
                }
            }
        }
        for (state, count) in [("ready", ready), ("building", building), ("failed", failed)] {
            self.indexes.with_label_values(&[name, state]).set(count);
        }
        for (part, documents) in [("done", done), ("total", total)] {
            let gauge = self.building.with_label_values(&[name, part]);
            gauge.set(whole(documents));
        }
    }
}
