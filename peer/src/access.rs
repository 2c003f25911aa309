//! Who may use what: Fabric's access control lists.
//!
//! The channel's configuration names a policy for a resource, or Fabric's default holds. Resources that are the
//! node's own are for the administrators of its organisation, whatever a channel says.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use quire_identity::config::DOCUMENTS;
use quire_identity::policy::read_signature_policy;
use quire_identity::{Bundle, Identity, IdentityError, Policy, PolicyError, SignatureError};
use quire_wire::Message as _;
use quire_wire::common::{Header, SignatureHeader};
use quire_wire::peer::{Proposal, SignedProposal};

use crate::clock::Clock;
use crate::config::{Current, InForce};

const WRITERS: &str = "/Channel/Application/Writers";
const READERS: &str = "/Channel/Application/Readers";
/// Of the whole channel: orderers are among them.
const CHANNEL_READERS: &str = "/Channel/Readers";

/// Who may use a resource, unless a channel says otherwise.
enum Rule {
    /// The administrators of the node's organisation, whatever a channel says.
    Administrators,
    /// Its members, whatever a channel says.
    Members,
    /// Those who satisfy this policy of the channel.
    Policy(&'static str),
}

/// Fabric's defaults, of the resources there are here, in Fabric's words where it has some; none of a resource that there is not.
fn rule(resource: &str) -> Option<Rule> {
    Some(match resource {
        "discovery/LocalPeers"
        | "_lifecycle/InstallChaincode"
        | "_lifecycle/QueryInstalledChaincode"
        | "_lifecycle/GetInstalledChaincodePackage"
        | "_lifecycle/QueryInstalledChaincodes"
        | "_lifecycle/ApproveChaincodeDefinitionForMyOrg"
        | "_lifecycle/QueryApprovedChaincodeDefinition"
        | "_lifecycle/QueryApprovedChaincodeDefinitions"
        | "lscc/Install"
        | "lscc/GetInstalledChaincodes"
        | "cscc/JoinChain"
        | "cscc/JoinChainBySnapshot"
        | "cscc/JoinBySnapshotStatus" => Rule::Administrators,
        "cscc/GetChannels" => Rule::Members,
        "_lifecycle/CommitChaincodeDefinition"
        | "_lifecycle/QueryChaincodeDefinition"
        | "_lifecycle/QueryChaincodeDefinitions"
        | "_lifecycle/CheckCommitReadiness"
        | "discovery/Discover"
        | "peer/Propose"
        | "peer/ChaincodeToChaincode" => Rule::Policy(WRITERS),
        "lscc/ChaincodeExists"
        | "lscc/GetDeploymentSpec"
        | "lscc/GetChaincodeData"
        | "lscc/GetInstantiatedChaincodes"
        | "lscc/GetCollectionsConfig"
        | "qscc/GetChainInfo"
        | "qscc/GetBlockByNumber"
        | "qscc/GetBlockByHash"
        | "qscc/GetTransactionByID"
        | "qscc/GetBlockByTxID"
        | "cscc/GetConfigBlock"
        | "cscc/GetChannelConfig"
        | "event/Block"
        | "event/FilteredBlock"
        | "gateway/CommitStatus"
        | "gateway/ChaincodeEvents" => Rule::Policy(READERS),
        "orderer/Deliver" => Rule::Policy(CHANNEL_READERS),
        _ => return None,
    })
}

/// Who may use the resources of a channel, by the configuration in force. A cheap clone.
#[derive(Clone)]
pub struct Access {
    config: Current,
    /// MSP id of the node's organisation.
    organization: Arc<str>,
    clock: Arc<dyn Clock>,
}

/// What somebody signed to use a resource.
#[derive(Clone, Copy, Debug)]
pub struct SignedData<'a> {
    /// Who signed: a serialized identity.
    pub creator: &'a [u8],
    /// The bytes that were signed.
    pub data: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
}

/// Why somebody may not use a resource.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The channel does not know them.
    #[error("the creator is not a member of the channel")]
    Creator(#[from] IdentityError),
    /// Their certificate has expired.
    #[error("the certificate of {0:?} has expired")]
    Expired(String),
    /// They did not sign what they sent.
    #[error("the creator's signature does not hold")]
    Signature(#[from] SignatureError),
    /// The policy is not satisfied.
    #[error("{who} does not satisfy {policy}, which {resource} asks for")]
    Denied {
        /// The creator's name and organisation.
        who: String,
        /// The policy.
        policy: String,
        /// The resource.
        resource: String,
    },
    /// The policy cannot be evaluated.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The policy of the node's own people cannot be written: the name of the organisation is odd.
    #[error("nobody can be of organisation {0:?}")]
    Organization(String),
    /// There is no such resource.
    #[error("Unmapped policy for {0}")]
    Unmapped(String),
}

impl Access {
    pub(crate) fn new(config: Current, organization: &str, clock: Arc<dyn Clock>) -> Self {
        Self {
            config,
            organization: organization.into(),
            clock,
        }
    }

    /// The configuration in force.
    #[must_use]
    pub fn bundle(&self) -> Arc<Bundle> {
        Arc::clone(&self.config.get().bundle)
    }

    /// Finds out who signed, and that they may use a resource, such as `event/Block`.
    ///
    /// # Errors
    /// They may not; see [`AccessError`].
    pub fn check(
        &self,
        resource: &str,
        signed: SignedData<'_>,
    ) -> Result<Arc<Identity>, AccessError> {
        let in_force = self.config.get();
        let who = in_force.bundle.msps().validate(signed.creator)?;
        who.verify(signed.data, signed.signature)?;
        self.check_in(&in_force, resource, &who)?;
        Ok(who)
    }

    /// Whether somebody whose signature was checked before may still use a resource, by the configuration and the
    /// time of now.
    ///
    /// # Errors
    /// They may not; see [`AccessError`].
    pub fn check_again(&self, resource: &str, creator: &[u8]) -> Result<(), AccessError> {
        let in_force = self.config.get();
        let who = in_force.bundle.msps().validate(creator)?;
        self.check_in(&in_force, resource, &who)
    }

    fn check_in(
        &self,
        in_force: &InForce,
        resource: &str,
        who: &Arc<Identity>,
    ) -> Result<(), AccessError> {
        if who.has_expired_at(self.clock.now()) {
            return Err(AccessError::Expired(who.name().to_owned()));
        }
        check_access(in_force, &self.organization, resource, who)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("organization", &self.organization)
            .finish_non_exhaustive()
    }
}

/// Whether somebody whose signature holds may use a resource, such as `_lifecycle/CommitChaincodeDefinition`. `own`
/// is the MSP id of the node's organisation.
pub(crate) fn check_access(
    in_force: &InForce,
    own: &str,
    resource: &str,
    who: &Arc<Identity>,
) -> Result<(), AccessError> {
    let (policy, name) = match rule(resource) {
        Some(Rule::Administrators | Rule::Members) => return check_own(own, resource, who),
        rule => {
            let application = in_force.bundle.application();
            let named = application.and_then(|application| application.acls.get(resource));
            let path = match (named, rule) {
                (Some(path), _) => path,
                (None, Some(Rule::Policy(path))) => path,
                (None, _) => return Err(AccessError::Unmapped(resource.to_owned())),
            };
            (in_force.bundle.policy(path)?, path.to_owned())
        }
    };
    satisfied(&policy, name, resource, who)
}

/// Whether somebody whose signature holds may use a resource of the node and of no channel.
pub(crate) fn check_own(own: &str, resource: &str, who: &Arc<Identity>) -> Result<(), AccessError> {
    let (role, name) = match rule(resource) {
        Some(Rule::Administrators) => ("admin", format!("the administrators of {own}")),
        Some(Rule::Members) => ("member", format!("the members of {own}")),
        _ => return Err(AccessError::Unmapped(resource.to_owned())),
    };
    satisfied(&of_the_organization(own, role)?, name, resource, who)
}

fn satisfied(
    policy: &Policy,
    name: String,
    resource: &str,
    who: &Arc<Identity>,
) -> Result<(), AccessError> {
    if policy.is_satisfied_by(std::slice::from_ref(who)) {
        return Ok(());
    }
    Err(AccessError::Denied {
        who: who.name().to_owned(),
        policy: name,
        resource: resource.to_owned(),
    })
}

/// The policy that asks for anybody of the node's organisation with this role.
fn of_the_organization(own: &str, role: &str) -> Result<Policy, AccessError> {
    let policy = read_signature_policy(&format!("OR('{own}.{role}')"));
    let policy = policy.map_err(|_| AccessError::Organization(own.to_owned()))?;
    Ok(Policy::from_envelope(&policy)?)
}

/// Makes sure that a channel lets somebody submit calls of the built-in chaincode: nothing is asked unless its
/// configuration names a policy for that. The text says why not. This is asked where a call is endorsed: verdicts
/// on what other nodes endorsed do not depend on it.
pub(crate) fn check_documents(in_force: &InForce, creator: &[u8]) -> Result<(), String> {
    let application = in_force.bundle.application();
    if application.is_none_or(|application| !application.acls.contains_key(DOCUMENTS)) {
        return Ok(());
    }
    let who = in_force.bundle.msps().validate(creator);
    let who = who.map_err(|error| error.to_string())?;
    check_access(in_force, "", DOCUMENTS, &who).map_err(|error| error.to_string())
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
