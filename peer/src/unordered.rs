//! From an endorsed proposal of an identity of this node to an ordered transaction, with the endorsements of others where
//! they are needed.

use std::sync::Arc;

use quire_chaincode::{Invocation, Piece, Weight};
use quire_identity::SigningIdentity;
use quire_wire::peer::{ProposalResponse, SignedProposal};
use quire_wire::transaction::{ProposalBytes, seal};

use crate::collector::{Collected, First};
use crate::endorser::Endorsed;
use crate::peer::{Origin, Peer};
use crate::refused::NotEndorsed;
use crate::submit::{SubmitError, Submitted};
use crate::unendorsed::Unendorsed;

/// A proposal of an identity of this node, on its way to be a transaction.
pub(crate) struct Unordered {
    pub(crate) tx_id: String,
    pub(crate) identity: Arc<SigningIdentity>,
    /// The chaincode that is called.
    pub(crate) chaincode: String,
    pub(crate) bytes: ProposalBytes,
}

impl Unordered {
    /// As others are asked to endorse it.
    fn signed(&self) -> SignedProposal {
        let proposal_bytes = self.bytes.proposal();
        let signature = self.identity.sign(&proposal_bytes);
        SignedProposal {
            proposal_bytes,
            signature,
        }
    }
}

impl Peer {
    /// Makes a transaction out of an endorsement for an identity of this node, and orders it. If others must endorse it
    /// too, they are asked, and nobody's thread waits for them.
    pub(crate) fn order_endorsed(
        self: Arc<Self>,
        proposed: Unordered,
        endorsed: Result<Endorsed, NotEndorsed>,
    ) -> Invocation<Result<Submitted, SubmitError>> {
        let endorsed = match endorsed {
            Ok(endorsed) => endorsed,
            Err(refused) => return Invocation::Done(Err(SubmitError::Chaincode(refused.error))),
        };
        let Some(interest) = &endorsed.interest else {
            return Invocation::Done(self.order_proposed(proposed, endorsed, None));
        };
        let others = self.collector.others_for(
            &proposed.chaincode,
            Some(interest),
            &endorsed.response_payload,
        );
        let plan = match others {
            Ok(Some(plan)) => plan,
            Ok(None) => return Invocation::Done(self.order_proposed(proposed, endorsed, None)),
            Err(no_plan) => return Invocation::Done(Err(Unendorsed::Nobody(no_plan).into())),
        };
        Invocation::wait(async move {
            let own = ProposalResponse {
                payload: endorsed.response_payload.clone(),
                endorsement: Some(endorsed.endorsement.clone()),
                response: Some(endorsed.response.clone()),
                interest: endorsed.interest.clone(),
                ..ProposalResponse::default()
            };
            let signed = proposed.signed();
            let collected = self
                .collector
                .collect(&plan, &signed, Some(First::Own(own)))
                .await;
            Piece::new(Weight::Brief, move |_| {
                Invocation::Done(match collected {
                    Ok(collected) => self.order_proposed(proposed, endorsed, Some(collected)),
                    Err(error) => Err(Unendorsed::NotCollected(error).into()),
                })
            })
        })
    }

    /// Orders the transaction of an endorsed proposal. If others have endorsed it too, these are all endorsements.
    fn order_proposed(
        &self,
        proposed: Unordered,
        endorsed: Endorsed,
        collected: Option<Collected>,
    ) -> Result<Submitted, SubmitError> {
        let Endorsed {
            response_payload,
            endorsement,
            response,
            event,
            interest: _,
        } = endorsed;
        let Unordered {
            tx_id,
            identity,
            bytes,
            ..
        } = proposed;
        let (endorsements, origin) = match collected {
            None => (vec![endorsement], Origin::Here(&identity)),
            Some(collected) => {
                let origin = Origin::Collected(&identity, collected.sequence);
                (collected.endorsements, origin)
            }
        };
        let payload = bytes.transaction_payload(response_payload, endorsements);
        let signature = identity.sign(&payload);
        let outcome = self.order(seal(payload, signature), origin)?;
        Ok(Submitted {
            tx_id,
            result: response.payload,
            event,
            outcome,
        })
    }
}
