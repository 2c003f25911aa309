//! Calls that peers elsewhere run, where this node is not asked or cannot answer.

use std::time::Instant;

use quire_wire::peer::{ProposalResponse, Response, SignedProposal};

use crate::collector::{Collector, UNKNOWN_BYTES, is_good, verified};
use crate::others::{Ended, Failure, RemotePeer};
use crate::signed_outcome::result;

/// What a peer answered to a call.
#[derive(Clone, Debug)]
pub enum Ran {
    /// The chaincode succeeded. The answer holds what it said as the peer has signed it.
    Well(ProposalResponse),
    /// It did not, or the peer did not call it.
    Badly(ProposalResponse),
}

impl Collector {
    /// The peers elsewhere of these organisations, or of all where none is named. Those of this node's own come first,
    /// and those that could not be reached a moment ago last. The peer at `itself` is this node.
    #[must_use]
    pub fn elsewhere(&self, organizations: &[String], itself: &str) -> Vec<RemotePeer> {
        let in_force = self.in_force();
        let peers = in_force.remote_peers.iter();
        let wanted = peers.filter(|peer| {
            let is_named = || organizations.iter().any(|one| **one == *peer.msp_id);
            *peer.address != *itself && (organizations.is_empty() || is_named())
        });
        let mut wanted: Vec<RemotePeer> = wanted.cloned().collect();
        let own = self.own_msp_id();
        wanted.sort_by_cached_key(|peer| (self.is_away(peer), *peer.msp_id != *own));
        wanted
    }

    /// Has a peer run a proposal.
    ///
    /// # Errors
    /// The peer did not answer, or what it sent is no answer.
    pub async fn run_at(
        &self,
        peer: &RemotePeer,
        proposal: &SignedProposal,
    ) -> Result<Ran, Failure> {
        let started = Instant::now();
        let asked = self.ask_one(peer, proposal.clone(), UNKNOWN_BYTES).await;
        let ran = match asked {
            Ok(answer) if is_good(&answer) => self.signed(peer, answer).map(Ran::Well),
            Ok(answer) => Ok(Ran::Badly(answer)),
            Err(error) => Err(Failure::unanswered(peer, &error)),
        };
        let ended = match &ran {
            Ok(Ran::Well(_)) => Ended::Endorsed,
            Ok(Ran::Badly(_)) => Ended::Failed,
            Err(failure) => failure.ended,
        };
        self.note(peer, ended, started.elapsed());
        ran
    }

    /// The answer with what the chaincode said as it was signed, and not as it stands beside that.
    fn signed(
        &self,
        peer: &RemotePeer,
        mut answer: ProposalResponse,
    ) -> Result<ProposalResponse, Failure> {
        let unsound = |text: &str| Failure::new(peer, Ended::Unsound, text);
        let Some(endorsement) = &answer.endorsement else {
            return Err(unsound("the answer has no endorsement"));
        };
        let in_force = self.in_force();
        let (endorser, signature) = (&endorsement.endorser, &endorsement.signature);
        verified(&in_force, peer, &answer.payload, endorser, signature)?;
        let said: Response = result(&answer.payload)
            .ok_or_else(|| unsound("there is no result in what the endorser signed"))?;
        answer.response = Some(said);
        Ok(answer)
    }
}
