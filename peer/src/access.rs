//! Who may use what: Fabric's access control lists.
//!
//! The channel's configuration names a policy for a resource, or Fabric's default holds. Resources that are the
//! node's own are for the administrators of its organisation, whatever a channel says.

use std::sync::Arc;

use bytes::Bytes;
use quire_identity::policy::read_signature_policy;
use quire_identity::{Identity, Policy, PolicyError};
use quire_wire::Message as _;
use quire_wire::common::{Header, SignatureHeader};
use quire_wire::peer::{Proposal, SignedProposal};

use crate::config::InForce;

const WRITERS: &str = "/Channel/Application/Writers";
const READERS: &str = "/Channel/Application/Readers";

/// Resources of the node and not of a channel, in Fabric's words.
const OF_THE_NODE: [&str; 7] = [
    "_lifecycle/InstallChaincode",
    "_lifecycle/QueryInstalledChaincode",
    "_lifecycle/GetInstalledChaincodePackage",
    "_lifecycle/QueryInstalledChaincodes",
    "_lifecycle/ApproveChaincodeDefinitionForMyOrg",
    "_lifecycle/QueryApprovedChaincodeDefinition",
    "_lifecycle/QueryApprovedChaincodeDefinitions",
];

/// Why somebody may not use a resource.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    /// The policy is not satisfied.
    #[error("{who} does not satisfy {policy}, which {resource} asks for")]
    Denied {
        who: String,
        policy: String,
        resource: String,
    },
    /// The policy cannot be evaluated.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The policy of the node's administrators cannot be written: the name of the organisation is odd.
    #[error("nobody can administer organisation {0:?}")]
    Organization(String),
}

/// Whether somebody whose signature holds may use a resource, such as `_lifecycle/CommitChaincodeDefinition`. `own`
/// is the MSP id of the node's organisation.
pub(crate) fn check_access(
    in_force: &InForce,
    own: &str,
    resource: &str,
    who: &Arc<Identity>,
) -> Result<(), AccessError> {
    let (policy, name) = if OF_THE_NODE.contains(&resource) {
        (administrators(own)?, format!("the administrators of {own}"))
    } else {
        let acls = in_force
            .bundle
            .application()
            .map(|application| &application.acls);
        let path = acls.and_then(|acls| acls.get(resource)).map(String::as_str);
        let path = path.unwrap_or_else(|| default_policy(resource));
        (in_force.bundle.policy(path)?, path.to_owned())
    };
    if policy.is_satisfied_by(std::slice::from_ref(who)) {
        return Ok(());
    }
    Err(AccessError::Denied {
        who: who.name().to_owned(),
        policy: name,
        resource: resource.to_owned(),
    })
}

/// Fabric's defaults, of the resources there are here.
fn default_policy(resource: &str) -> &'static str {
    let is_query = ["qscc/", "cscc/", "lscc/"]
        .iter()
        .any(|prefix| resource.starts_with(prefix));
    if is_query { READERS } else { WRITERS }
}

fn administrators(own: &str) -> Result<Policy, AccessError> {
    let policy = read_signature_policy(&format!("OR('{own}.admin')"));
    let policy = policy.map_err(|_| AccessError::Organization(own.to_owned()))?;
    Ok(Policy::from_envelope(&policy)?)
}

/// Who made a proposal; empty if that cannot be read. Its signature was checked when it came, or made here.
pub(crate) fn creator(proposal: &SignedProposal) -> Bytes {
    let read = || {
        let proposal = Proposal::decode(proposal.proposal_bytes.clone())?;
        let header = Header::decode(proposal.header)?;
        SignatureHeader::decode(header.signature_header)
    };
    read().map(|header| header.creator).unwrap_or_default()
}
