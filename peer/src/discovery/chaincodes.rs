//! The chaincodes of a channel: how they are defined, and which of them run here.

use std::collections::BTreeMap;

use quire_chaincode::lifecycle::{
    Definition, LifecycleError, NAMESPACE, SimulatedState, definitions,
};
use quire_chaincode::name::check_namespace;
use quire_identity::Bundle;
use quire_identity::policy::as_signature_policy;
use quire_ledger::{ENDORSEMENT_POLICY, Reader, Simulator};
use quire_wire::Message as _;
use quire_wire::collection::{ApplicationPolicy, CollectionConfigPackage, PolicyKind};
use quire_wire::config::{
    ConfigGroup, NOutOf, SignaturePolicy, SignaturePolicyEnvelope, SignatureRule,
};
use quire_wire::gossip::Chaincode;
use quire_wire::msp::{MspPrincipal, MspRole, principal_classification, role};
use quire_wire::peer::{ChaincodeCall, ChaincodeInterest};

use super::endorsement::{Defined, Definitions};

/// Who may define chaincodes.
const LIFECYCLE_POLICY: &str = "/Channel/Application/LifecycleEndorsement";
/// The version of `_lifecycle`, which is never defined otherwise.
const LIFECYCLE_VERSION: &str = "1";
/// What stands for the number of a definition where the built-in chaincode governs a namespace that nobody defined.
const BUILT_IN_VERSION: &str = "0";
/// The names of collections that every organisation has begin so.
const IMPLICIT: &str = "_implicit_org_";

/// Whose chaincodes are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// The channel's ledger.
    pub reader: &'a Reader,
    /// What governs its namespaces here.
    pub governing: &'a quire_chaincode::Chaincodes,
    /// Whether writes come to it here.
    pub takes_writes: bool,
}

/// The chaincodes of a channel at one time.
#[derive(Debug)]
pub struct Chaincodes<'a> {
    of: Of<'a>,
    bundle: &'a Bundle,
    /// By name.
    defined: Vec<(String, Definition)>,
}

impl<'a> Chaincodes<'a> {
    /// Those of a channel.
    ///
    /// # Errors
    /// The ledger cannot be read, or holds a definition that nobody could have written.
    pub fn read(of: Of<'a>, bundle: &'a Bundle) -> Result<Self, LifecycleError> {
        let mut simulator = Simulator::new(of.reader.snapshot());
        let defined = definitions(&mut SimulatedState(&mut simulator))?;
        Ok(Self {
            of,
            bundle,
            defined,
        })
    }

    /// Those that this node endorses for: the ones that it has a package of, and the one that defines them.
    #[must_use]
    pub fn running(&self) -> Vec<Chaincode> {
        if !self.of.takes_writes {
            return Vec::new();
        }
        let governing = self.of.governing;
        let deployed = self.defined.iter();
        let deployed = deployed
            .filter(|(name, _)| governing.is_deployed(name) && governing.of(name).has_package());
        let deployed = deployed.map(|(name, definition)| (name.clone(), version(definition)));
        let lifecycle = (NAMESPACE.to_owned(), LIFECYCLE_VERSION.to_owned());
        deployed
            .chain([lifecycle])
            .map(|(name, version)| Chaincode {
                name,
                version,
                ..Chaincode::default()
            })
            .collect()
    }

    /// The same by their names, with those of an interest that the built-in chaincode governs.
    #[must_use]
    pub fn running_for(&self, interest: &ChaincodeInterest) -> BTreeMap<String, String> {
        let running = self.running().into_iter();
        let mut running: BTreeMap<_, _> = running.map(|one| (one.name, one.version)).collect();
        for call in &interest.chaincodes {
            if self.is_built_in(&call.name) {
                running.insert(call.name.clone(), BUILT_IN_VERSION.to_owned());
            }
        }
        running
    }

    /// The definitions of what an interest calls, as far as there are any.
    #[must_use]
    pub fn definitions(&self, interest: &ChaincodeInterest) -> Definitions {
        let mut definitions = Definitions::new();
        for call in &interest.chaincodes {
            if let Some(defined) = self.defined(call) {
                let known = definitions.entry(call.name.clone()).or_default();
                let Defined {
                    version,
                    policy,
                    collection_policies,
                    members,
                } = defined;
                (known.version, known.policy) = (version, policy);
                known.collection_policies.extend(collection_policies);
                known.members.extend(members);
            }
        }
        definitions
    }

    fn defined(&self, call: &ChaincodeCall) -> Option<Defined> {
        let root = self.bundle.config().channel_group.as_ref()?;
        let reference = |path: &str| as_signature_policy(root, path).ok();
        if call.name == NAMESPACE {
            return Some(Defined {
                version: LIFECYCLE_VERSION.to_owned(),
                policy: reference(LIFECYCLE_POLICY)?,
                ..Defined::default()
            });
        }
        if self.is_built_in(&call.name) {
            return Some(Defined {
                version: BUILT_IN_VERSION.to_owned(),
                policy: reference(ENDORSEMENT_POLICY)?,
                ..Defined::default()
            });
        }
        let mut all = self.defined.iter();
        let (_, definition) = all.find(|(name, _)| *name == call.name)?;
        let parameters = &definition.parameters;
        let policy = ApplicationPolicy::decode(parameters.validation.validation_parameter.clone());
        let mut defined = Defined {
            version: version(definition),
            policy: signature_policy(&policy.ok()?, root)?,
            ..Defined::default()
        };
        add_collections(&mut defined, &parameters.collections, root)?;
        for name in &call.collection_names {
            if let Some(organization) = name.strip_prefix(IMPLICIT) {
                let policy = any_member(organization);
                let members = policy.identities.clone();
                defined.members.insert(name.clone(), members);
                defined.collection_policies.insert(name.clone(), policy);
            }
        }
        Some(defined)
    }

    /// Whether the built-in chaincode governs a namespace here, and writes may come to it.
    fn is_built_in(&self, name: &str) -> bool {
        let is_defined = self.defined.iter().any(|(defined, _)| defined == name);
        self.of.takes_writes
            && !is_defined
            && !self.of.governing.is_deployed(name)
            && check_namespace(name).is_ok()
    }
}

fn version(definition: &Definition) -> String {
    definition.sequence.to_string()
}

/// Adds the collections that a definition names; none if Fabric could not say who must endorse what is written there.
fn add_collections(
    defined: &mut Defined,
    collections: &CollectionConfigPackage,
    root: &ConfigGroup,
) -> Option<()> {
    for one in &collections.config {
        let collection = one.static_collection_config.as_ref()?;
        let members = collection.member_orgs_policy.as_ref()?;
        let members = members.signature_policy.as_ref()?.identities.clone();
        defined.members.insert(collection.name.clone(), members);
        if let Some(policy) = &collection.endorsement_policy {
            let policy = signature_policy(policy, root)?;
            let name = collection.name.clone();
            defined.collection_policies.insert(name, policy);
        }
    }
    Some(())
}

fn signature_policy(
    policy: &ApplicationPolicy,
    root: &ConfigGroup,
) -> Option<SignaturePolicyEnvelope> {
    match policy.r#type.as_ref()? {
        PolicyKind::SignaturePolicy(policy) => Some(policy.clone()),
        PolicyKind::ChannelConfigPolicyReference(path) => as_signature_policy(root, path).ok(),
    }
}

/// A policy that any member of an organisation satisfies.
fn any_member(organization: &str) -> SignaturePolicyEnvelope {
    let member = MspRole {
        msp_identifier: organization.to_owned(),
        role: role::MEMBER,
    };
    let leaf = SignaturePolicy {
        rule: Some(SignatureRule::SignedBy(0)),
    };
    let any = NOutOf {
        n: 1,
        rules: vec![leaf],
    };
    SignaturePolicyEnvelope {
        version: 0,
        rule: Some(SignaturePolicy {
            rule: Some(SignatureRule::NOutOf(any)),
        }),
        identities: vec![MspPrincipal {
            principal_classification: principal_classification::ROLE,
            principal: member.encode_to_vec().into(),
        }],
    }
}
