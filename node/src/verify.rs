//! Every signature is verified once: those this process made count as verified, all others are
//! checked before a block is judged.

use std::collections::HashSet;

use bytes::Bytes;
use parking_lot::Mutex;
use quire_identity::{Msps, Policy};
use quire_ledger::{Content, Endorsed, Ordered};
use quire_wire::Code;
use quire_wire::hash::{Hash, sha256};

/// Digests of own envelopes that are remembered; more than can be queued.
const MAX_REMEMBERED: usize = 65_536;

/// Checks signatures against a channel's organisations and policies.
#[derive(Debug)]
pub(crate) struct Verifier {
    msps: Msps,
    /// Who must stand for a transaction.
    endorsement: Policy,
    /// Envelopes that this process signed itself, by digest.
    own: Mutex<HashSet<Hash>>,
}

impl Verifier {
    pub(crate) fn new(msps: Msps, endorsement: Policy) -> Self {
        Self {
            msps,
            endorsement,
            own: Mutex::default(),
        }
    }

    /// Counts an envelope as verified, when it comes back in a block.
    pub(crate) fn remember(&self, envelope: &Bytes) {
        let mut own = self.own.lock();
        // One that is forgotten is verified like anybody's.
        if own.len() < MAX_REMEMBERED {
            own.insert(sha256([envelope.as_ref()]));
        }
    }

    /// Gives each transaction of the block whose signatures do not hold its code.
    pub(crate) fn verify(&self, ordered: &mut Ordered) {
        let envelopes = ordered.block().envelopes.clone();
        for (transaction, envelope) in ordered.transactions_mut().iter_mut().zip(envelopes) {
            if self.own.lock().remove(&sha256([envelope.as_ref()])) || !transaction.code.is_valid()
            {
                continue;
            }
            if let Content::Endorsed(endorsed) = &transaction.content {
                transaction.code = self.judge(endorsed);
            }
        }
    }

    /// Fabric's order: the creator first, then the endorsements.
    fn judge(&self, endorsed: &Endorsed) -> Code {
        let Endorsed { opened, call, .. } = endorsed;
        let sound = self
            .msps
            .validate(&opened.signature_header.creator)
            .is_ok_and(|creator| creator.verify(&opened.payload, &opened.signature).is_ok());
        if !sound {
            return Code::BAD_CREATOR_SIGNATURE;
        }
        let endorsers = call.endorsements.iter().filter_map(|endorsement| {
            let signer = self.msps.validate(&endorsement.endorser).ok()?;
            let message = [&call.proposal_response_payload[..], &endorsement.endorser].concat();
            signer.verify(&message, &endorsement.signature).ok()?;
            Some(signer)
        });
        let endorsers: Vec<_> = endorsers.collect();
        if self.endorsement.is_satisfied_by(&endorsers) {
            Code::VALID
        } else {
            Code::ENDORSEMENT_POLICY_FAILURE
        }
    }
}
