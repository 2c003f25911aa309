//! Plans that were made, kept until the channel's configuration or a definition changes.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use quire_identity::SigningIdentity;
use quire_ledger::{Height, LIFECYCLE, ReadError, Reader, Snapshot, chain_of};
use quire_wire::Message as _;
use quire_wire::peer::ChaincodeInterest;

use crate::config::InForce;
use crate::discovery::{Candidate, Chaincodes, NoDescriptor, Of, Who, descriptor};
use crate::plan::Plan;
use crate::unendorsed::NoPlan;

/// Plans that are kept, at most; then all are forgotten.
const MAX_KEPT: usize = 1_024;
/// Bytes of a question whose plan is kept. Keys may each have a policy, and each policy is a part of the question.
const MAX_KEPT_BYTES: usize = 4 << 10;
/// The size of a plan that is kept.
const MAX_KEPT_SIZE: usize = 4_096;
/// Chaincodes and policies of a question, each. Of more it would take long to find out, and the verdict tells it.
const MAX_PARTS: usize = 100;

/// What a plan depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    /// The configuration's number.
    sequence: u64,
    /// How often the chaincodes that this node runs have changed.
    changes: u64,
    /// When each chaincode was defined as it is now.
    defined: Vec<Option<Height>>,
    /// The serialized interest.
    interest: Vec<u8>,
}

/// Plans of a channel, by what they depend on.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) reader: Reader,
    pub(crate) chaincodes: Arc<quire_chaincode::Chaincodes>,
    /// This node, as it endorses.
    pub(crate) identity: Arc<SigningIdentity>,
    pub(crate) known: Mutex<HashMap<Question, Result<Arc<Plan>, NoPlan>>>,
}

impl Planned {
    /// Who must endorse what was touched, by a configuration and the definitions of now. `None` if that would take
    /// long to find out.
    pub(crate) fn plan(
        &self,
        in_force: &InForce,
        interest: &ChaincodeInterest,
    ) -> Result<Option<Arc<Plan>>, NoPlan> {
        let policies = interest.chaincodes.iter();
        let policies = policies.map(|call| call.key_policies.len()).sum::<usize>();
        if interest.chaincodes.len() > MAX_PARTS || policies > MAX_PARTS {
            return Ok(None);
        }
        let snapshot = self.reader.snapshot();
        let defined = defined(&snapshot, interest);
        let question = Question {
            sequence: in_force.bundle.sequence(),
            changes: self.chaincodes.changes(),
            defined: defined.map_err(|error| NoPlan::Read(chain_of(&error)))?,
            interest: interest.encode_to_vec(),
        };
        if let Some(known) = self.known.lock().get(&question) {
            return known.clone().map(Some);
        }
        let plan = match self.make(in_force, interest) {
            Err(NoPlan::NoPeers {
                reason: NoDescriptor::TooMany,
                ..
            }) => return Ok(None),
            // Whether a node runs a chaincode changes without any definition, and a state may be readable again.
            Err(
                no_plan @ (NoPlan::Read(_)
                | NoPlan::NoPeers {
                    reason: NoDescriptor::Installed,
                    ..
                }),
            ) => return Err(no_plan),
            plan => plan.map(Arc::new),
        };
        self.keep(question, &plan);
        plan.map(Some)
    }

    fn keep(&self, question: Question, plan: &Result<Arc<Plan>, NoPlan>) {
        let is_large = plan.as_ref().is_ok_and(|plan| plan.size() > MAX_KEPT_SIZE);
        if is_large || question.interest.len() > MAX_KEPT_BYTES {
            return;
        }
        let mut kept = self.known.lock();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(question, plan.clone());
    }
}

impl Planned {
    fn make(&self, in_force: &InForce, interest: &ChaincodeInterest) -> Result<Plan, NoPlan> {
        let of = Of {
            reader: &self.reader,
            governing: &self.chaincodes,
            takes_writes: true,
        };
        let own = &self.identity;
        let chaincodes = Chaincodes::read(of, &in_force.bundle);
        let chaincodes = chaincodes.map_err(|error| NoPlan::Read(chain_of(&error)))?;
        let definitions = chaincodes.definitions(interest);
        let others = in_force.remote_peers.to_vec();
        let known = in_force.bundle.msps().deserialize(own.serialized());
        let own = Candidate {
            who: known.map_or_else(|_| Who::PeerOf("".into()), Who::Known),
            chaincodes: Some(chaincodes.running_for(interest)),
        };
        let theirs = others.iter().map(|peer| Candidate {
            who: Who::PeerOf(Arc::clone(&peer.msp_id)),
            chaincodes: None,
        });
        let candidates: Vec<Candidate> = std::iter::once(own).chain(theirs).collect();
        let found = descriptor(interest, &definitions, &candidates);
        let found = found.map_err(|reason| NoPlan::NoPeers {
            reason,
            without_peers: self.without_peers(in_force),
        })?;
        Ok(Plan::new(&found, others))
    }

    /// The organisations of which no peer is known.
    fn without_peers(&self, in_force: &InForce) -> Vec<String> {
        let own = self.identity.msp_id();
        let is_known = |msp_id: &str| {
            let mut peers = in_force.remote_peers.iter();
            msp_id == own || peers.any(|peer| *peer.msp_id == *msp_id)
        };
        let all = in_force.bundle.application_msp_ids();
        all.filter(|msp_id| !is_known(msp_id))
            .map(str::to_owned)
            .collect()
    }
}

/// When each chaincode of an interest was defined as it is now.
fn defined(
    snapshot: &Snapshot,
    interest: &ChaincodeInterest,
) -> Result<Vec<Option<Height>>, ReadError> {
    let mut defined: Vec<Option<Height>> = Vec::with_capacity(interest.chaincodes.len());
    for call in &interest.chaincodes {
        let key = format!("namespaces/fields/{}/Sequence", call.name);
        let found = snapshot.get(LIFECYCLE, &key)?;
        defined.push(found.map(|found| found.version));
    }
    Ok(defined)
}
