//! Did who a transaction names really sign it, and do they suffice?

use std::sync::Arc;

use parking_lot::Mutex;
use quire_identity::{Msps, Policy, ValidIdentity};
use quire_wire::Code;
use quire_wire::transaction::Opened;

use super::examine::{Content, Endorsed, Examined};
use crate::ledger::Ordered;

/// Transactions that a thread takes at a time: some tens of milliseconds of work would be too long to
/// wait for the slowest thread, and one alone not worth the lock.
const TAKEN_AT_A_TIME: usize = 8;

/// Who made the signatures of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signatures {
    /// This process did, each of them: they need no proof. Who signed, and whether they may, is
    /// asked all the same, so that no verdict depends on which process gives it.
    MadeHere,
    /// Somebody did: every signature is verified, on all cores.
    OfOthers,
}

/// Checks signatures against a channel's organisations and its endorsement policy.
#[derive(Debug)]
pub struct Verifier {
    msps: Msps,
    endorsement: Policy,
}

impl Verifier {
    /// `endorsement` says who must stand for a transaction.
    #[must_use]
    pub fn new(msps: Msps, endorsement: Policy) -> Self {
        Self { msps, endorsement }
    }

    /// Gives each transaction of the blocks whose signatures do not suffice its code:
    /// `BAD_CREATOR_SIGNATURE` or `ENDORSEMENT_POLICY_FAILURE`. One that has a code already keeps it, unless
    /// it is one that [`Examined::new`] gave and that Fabric gives only where the creator's signature holds.
    pub fn verify(&self, batch: &mut [Ordered], signatures: Signatures) {
        let transactions = batch.iter_mut().flat_map(Ordered::transactions_mut);
        if signatures == Signatures::MadeHere {
            for transaction in transactions {
                self.verify_one(transaction, signatures);
            }
            return;
        }
        let mut transactions: Vec<&mut Examined> = transactions.collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.min(transactions.len() / TAKEN_AT_A_TIME);
        let waiting = Mutex::new(transactions.chunks_mut(TAKEN_AT_A_TIME));
        let work = || {
            loop {
                let Some(taken) = waiting.lock().next() else {
                    return;
                };
                for transaction in taken {
                    self.verify_one(transaction, signatures);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                let helper = std::thread::Builder::new().name("verify".to_owned());
                // Without a helper this thread does it all.
                if let Err(error) = helper.spawn_scoped(scope, work) {
                    tracing::warn!(%error, "no thread to verify signatures on");
                }
            }
            work();
        });
    }

    /// Fabric's order: the creator first, whatever is wrong with what was signed; then the endorsements of
    /// what nothing is wrong with.
    fn verify_one(&self, transaction: &mut Examined, signatures: Signatures) {
        let Some(opened) = transaction.signed_by_creator() else {
            return;
        };
        if !self.is_by_creator(opened, signatures) {
            transaction.code = Code::BAD_CREATOR_SIGNATURE;
        } else if let Content::Endorsed(endorsed) = &transaction.content
            && transaction.code.is_valid()
            && !self.is_endorsed(endorsed, signatures)
        {
            transaction.code = Code::ENDORSEMENT_POLICY_FAILURE;
        }
    }

    fn is_by_creator(&self, opened: &Opened, signatures: Signatures) -> bool {
        let creator = self.msps.validate(&opened.signature_header.creator);
        creator.is_ok_and(|creator| {
            signatures == Signatures::MadeHere
                || creator.verify(&opened.payload, &opened.signature).is_ok()
        })
    }

    fn is_endorsed(&self, endorsed: &Endorsed, signatures: Signatures) -> bool {
        let call = &endorsed.call;
        let made_here = signatures == Signatures::MadeHere;
        let signers = call.endorsements.iter().filter_map(|endorsement| {
            let signer = self.msps.validate(&endorsement.endorser).ok()?;
            let message = || [&call.proposal_response_payload[..], &endorsement.endorser].concat();
            let holds = made_here || signer.verify(&message(), &endorsement.signature).is_ok();
            holds.then_some(signer)
        });
        let signers: Vec<Arc<ValidIdentity>> = signers.collect();
        self.endorsement.is_satisfied_by(&signers)
    }
}
