//! The peers that a problem names.

use quire_peer::Failure;
use serde::Serialize;

/// Peers that a problem names, at most.
const MAX_ENDORSERS: usize = 32;

/// A peer that has not endorsed.
#[derive(Serialize)]
pub(super) struct EndorserDocument<'a> {
    organization: &'a str,
    address: &'a str,
    outcome: &'static str,
    detail: String,
}

impl<'a> EndorserDocument<'a> {
    fn of(failure: &'a Failure) -> Self {
        Self {
            organization: &failure.msp_id,
            address: &failure.address,
            outcome: failure.ended.name(),
            detail: failure.said(),
        }
    }
}

/// The peers that were asked to endorse, and have not.
pub(super) fn documents(failures: &[Failure]) -> Vec<EndorserDocument<'_>> {
    failures
        .iter()
        .take(MAX_ENDORSERS)
        .map(EndorserDocument::of)
        .collect()
}
