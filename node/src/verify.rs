//! Every signature is verified once: those this process made count as verified, all others are
//! checked before a block is judged.

use std::collections::HashSet;

use bytes::Bytes;
use parking_lot::Mutex;
use quire_identity::{Msps, Policy};
use quire_ledger::{Content, Endorsed, Ordered};
use quire_wire::Code;
use quire_wire::hash::{Hash, sha256};

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

    /// Counts an envelope's signatures as verified until [`Verifier::forget`] is told otherwise.
    pub(crate) fn remember(&self, envelope: &Bytes) -> Hash {
        let digest = digest(envelope);
        self.own.lock().insert(digest);
        digest
    }

    /// To be called for every envelope that was remembered, once its block is committed or it was
    /// turned away.
    pub(crate) fn forget(&self, digest: &Hash) {
        self.own.lock().remove(digest);
    }

    /// Gives each transaction of the block whose signatures do not hold its code.
    pub(crate) fn verify(&self, ordered: &mut Ordered) {
        let envelopes = ordered.block().envelopes.clone();
        for (transaction, envelope) in ordered.transactions_mut().iter_mut().zip(envelopes) {
            if !transaction.code.is_valid() {
                continue;
            }
            if let Content::Endorsed(endorsed) = &transaction.content {
                let made_here = self.own.lock().contains(&digest(&envelope));
                transaction.code = self.judge(endorsed, made_here);
            }
        }
    }

    /// Fabric's order: the creator first, then the endorsements. Who they are and whether they may is
    /// asked of everybody, so that no verdict depends on what this process remembers; whether they
    /// really signed is not asked of what was signed here.
    fn judge(&self, endorsed: &Endorsed, made_here: bool) -> Code {
        let Endorsed { opened, call, .. } = endorsed;
        let sound = self
            .msps
            .validate(&opened.signature_header.creator)
            .is_ok_and(|creator| {
                made_here || creator.verify(&opened.payload, &opened.signature).is_ok()
            });
        if !sound {
            return Code::BAD_CREATOR_SIGNATURE;
        }
        let signers = call.endorsements.iter().filter_map(|endorsement| {
            let signer = self.msps.validate(&endorsement.endorser).ok()?;
            let message = || [&call.proposal_response_payload[..], &endorsement.endorser].concat();
            let is_signed = made_here || signer.verify(&message(), &endorsement.signature).is_ok();
            is_signed.then_some(signer)
        });
        let signers: Vec<_> = signers.collect();
        if self.endorsement.is_satisfied_by(&signers) {
            Code::VALID
        } else {
            Code::ENDORSEMENT_POLICY_FAILURE
        }
    }
}

/// What an envelope is remembered by.
pub(crate) fn digest(envelope: &Bytes) -> Hash {
    sha256([envelope.as_ref()])
}
