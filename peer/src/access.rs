//! Who may use what: Fabric's access control lists.
//!
//! The channel's configuration names a policy for a resource, or Fabric's default holds. Resources that are the
//! node's own are for the administrators of its organisation, whatever a channel says.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
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

/// Resources of the node and not of a channel, in Fabric's words where it has some.
const OF_THE_NODE: [&str; 8] = [
    "discovery/LocalPeers",
    "_lifecycle/InstallChaincode",
    "_lifecycle/QueryInstalledChaincode",
    "_lifecycle/GetInstalledChaincodePackage",
    "_lifecycle/QueryInstalledChaincodes",
    "_lifecycle/ApproveChaincodeDefinitionForMyOrg",
    "_lifecycle/QueryApprovedChaincodeDefinition",
    "_lifecycle/QueryApprovedChaincodeDefinitions",
];

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
    /// The policy of the node's administrators cannot be written: the name of the organisation is odd.
    #[error("nobody can administer organisation {0:?}")]
    Organization(String),
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
    if resource.starts_with("orderer/") {
        return CHANNEL_READERS;
    }
    let is_query = ["qscc/", "cscc/", "lscc/", "event/", "gateway/"]
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
