//! The tree of a channel's configuration, as the JSON that `configtxlator` reads.

use quire_identity::msp::folder::MspFolder;
use quire_identity::policy::{read_implicit_policy, read_signature_policy};
use quire_wire::Message as _;
use quire_wire::json;
use quire_wire::msp::MspConfig;
use serde_json::{Map, Value, json};

use super::consensus::{Consensus, Consenter};
use super::duration::go_text;
use super::error::GenerateError;
use super::profile::{Application, Capabilities, Orderer, Organization, Policies, Policy, Profile};

const ADMINS: &str = "Admins";
const ORDERER_ADMINS: &str = "/Channel/Orderer/Admins";
const BLOCK_VALIDATION: &str = "BlockValidation";

/// The capability that puts addresses into organisations, and that BFT needs.
const V3_0: &str = "V3_0";

/// A group under way.
struct Group {
    groups: Map<String, Value>,
    values: Map<String, Value>,
    policies: Map<String, Value>,
    mod_policy: &'static str,
}

impl Group {
    fn new(mod_policy: &'static str) -> Self {
        Self {
            groups: Map::new(),
            values: Map::new(),
            policies: Map::new(),
            mod_policy,
        }
    }

    fn value(&mut self, name: &str, value: &Value) {
        let mod_policy = self.mod_policy;
        self.value_of(name, value, mod_policy);
    }

    fn value_of(&mut self, name: &str, value: &Value, mod_policy: &str) {
        let value = json!({"mod_policy": mod_policy, "value": value});
        self.values.insert(name.to_owned(), value);
    }

    fn capabilities(&mut self, capabilities: &Capabilities) {
        let on = capabilities.0.iter().map(|name| (name.clone(), json!({})));
        let on: Map<_, _> = on.collect();
        if !on.is_empty() {
            self.value("Capabilities", &json!({"capabilities": on}));
        }
    }

    /// Takes in policies, those that Fabric asks for among them.
    fn policies(
        &mut self,
        whose: &str,
        policies: &Policies,
        more: &[&str],
    ) -> Result<(), GenerateError> {
        let policies = policies.as_deref().unwrap_or_default();
        for needed in [ADMINS, "Readers", "Writers"].iter().chain(more) {
            if !policies.iter().any(|(name, _)| name == needed) {
                let reason = format!("{whose} has no policy {needed}");
                return Err(GenerateError::Refused(reason));
            }
        }
        for (name, policy) in policies {
            let policy = policy.to_json();
            let policy = policy.map_err(|error| {
                GenerateError::Refused(format!("the policy {name} of {whose}: {error}"))
            })?;
            let policy = json!({"mod_policy": ADMINS, "policy": policy});
            self.policies.insert(name.clone(), policy);
        }
        Ok(())
    }

    fn finish(self) -> Value {
        json!({
            "groups": self.groups,
            "values": self.values,
            "policies": self.policies,
            "mod_policy": self.mod_policy,
        })
    }
}

impl Policy {
    fn to_json(&self) -> Result<Value, GenerateError> {
        let wrong = |error: &dyn std::fmt::Display| GenerateError::Refused(error.to_string());
        let (kind, name, bytes) = match &*self.kind {
            "ImplicitMeta" => {
                let policy = read_implicit_policy(&self.rule).map_err(|error| wrong(&error))?;
                (3, "common.ImplicitMetaPolicy", policy.encode_to_vec())
            }
            "Signature" => {
                let policy = read_signature_policy(&self.rule).map_err(|error| wrong(&error))?;
                (1, "common.SignaturePolicyEnvelope", policy.encode_to_vec())
            }
            other => return Err(wrong(&format!("there are no policies of type {other:?}"))),
        };
        Ok(json!({"type": kind, "value": shown(name, bytes)?}))
    }
}

/// Bytes of a message as JSON.
pub(super) fn shown(name: &str, bytes: Vec<u8>) -> Result<Value, GenerateError> {
    let message_type = json::message_type(name);
    let message_type = message_type.ok_or_else(|| GenerateError::refused("an unknown message"))?;
    let text = json::print(message_type, bytes.into())?;
    serde_json::from_str(&text).map_err(|error| GenerateError::refused(error.to_string()))
}

/// The root of a channel.
pub(super) fn channel(profile: &Profile) -> Result<Value, GenerateError> {
    let mut group = Group::new(ADMINS);
    group.policies("the channel", &profile.policies, &[])?;
    group.value("HashingAlgorithm", &json!({"name": "SHA256"}));
    group.value("BlockDataHashingStructure", &json!({"width": u32::MAX}));
    if let Some(orderer) = profile
        .orderer
        .as_ref()
        .filter(|orderer| !orderer.addresses.is_empty())
    {
        let addresses = json!({"addresses": orderer.addresses});
        group.value_of("OrdererAddresses", &addresses, ORDERER_ADMINS);
    }
    if !profile.consortium.is_empty() {
        group.value("Consortium", &json!({"name": profile.consortium}));
    }
    group.capabilities(&profile.capabilities);
    if let Some(orderer) = &profile.orderer {
        let orderer = ordering(orderer, &profile.capabilities)?;
        group.groups.insert("Orderer".to_owned(), orderer);
    }
    if let Some(application) = &profile.application {
        group
            .groups
            .insert("Application".to_owned(), applications(application)?);
    }
    if let Some(members) = &profile.consortiums {
        group
            .groups
            .insert("Consortiums".to_owned(), consortiums(members)?);
    }
    Ok(group.finish())
}

fn ordering(orderer: &Orderer, channel: &Capabilities) -> Result<Value, GenerateError> {
    if matches!(orderer.consensus, Consensus::Bft { .. }) && !channel.has(V3_0) {
        return Err(GenerateError::refused(
            "BFT needs the channel's capability V3_0",
        ));
    }
    if !orderer.addresses.is_empty() && channel.has(V3_0) {
        return Err(GenerateError::refused(
            "with the channel's capability V3_0 addresses of orderers stand in their organisations, \
             as OrdererEndpoints, and not in Orderer.Addresses",
        ));
    }
    let mut group = Group::new(ADMINS);
    group.policies("the orderer group", &orderer.policies, &[BLOCK_VALIDATION])?;
    group.value(
        "BatchSize",
        &json!({
            "max_message_count": orderer.max_message_count,
            "absolute_max_bytes": orderer.absolute_max_bytes,
            "preferred_max_bytes": orderer.preferred_max_bytes,
        }),
    );
    group.value(
        "BatchTimeout",
        &json!({"timeout": go_text(orderer.batch_timeout)}),
    );
    group.value(
        "ChannelRestrictions",
        &json!({"max_count": orderer.max_channels}),
    );
    group.capabilities(&orderer.capabilities);
    group.value("ConsensusType", &orderer.consensus.to_json()?);
    match &orderer.consensus {
        Consensus::Kafka { brokers } => group.value("KafkaBrokers", &json!({"brokers": brokers})),
        Consensus::Bft { consenters, .. } => byzantine(&mut group, consenters)?,
        Consensus::Solo | Consensus::Raft { .. } => {}
    }
    for organization in &orderer.organizations {
        let member = orderer_organization(organization, channel)?;
        group.groups.insert(organization.name.clone(), member);
    }
    Ok(group.finish())
}

/// Who the consenters are, and that a quorum of them signs blocks.
fn byzantine(group: &mut Group, consenters: &[Consenter]) -> Result<(), GenerateError> {
    let mapping = consenters.iter().map(Consenter::to_mapping);
    let mapping = mapping.collect::<Result<Vec<_>, _>>()?;
    group.value("Orderers", &json!({"consenter_mapping": mapping}));
    let count = consenters.len();
    let faulty = count.saturating_sub(1) / 3;
    let quorum = (count + faulty + 1).div_ceil(2);
    let principals = consenters.iter().map(Consenter::to_principal);
    let rules: Vec<_> = (0..count).map(|at| json!({"signed_by": at})).collect();
    let policy = json!({
        "rule": {"n_out_of": {"n": quorum, "rules": rules}},
        "identities": principals.collect::<Result<Vec<_>, _>>()?,
    });
    let policy = json!({"mod_policy": ADMINS, "policy": {"type": 1, "value": policy}});
    group.policies.insert(BLOCK_VALIDATION.to_owned(), policy);
    Ok(())
}

fn applications(application: &Application) -> Result<Value, GenerateError> {
    let mut group = Group::new(ADMINS);
    group.policies("the application group", &application.policies, &[])?;
    let rules = application.access_rules.iter();
    let rules = rules.map(|(name, policy)| (name.clone(), json!({"policy_ref": policy})));
    let rules: Map<_, _> = rules.collect();
    if !rules.is_empty() {
        group.value("ACLs", &json!({"acls": rules}));
    }
    group.capabilities(&application.capabilities);
    for organization in &application.organizations {
        let member = application_organization(organization)?;
        group.groups.insert(organization.name.clone(), member);
    }
    Ok(group.finish())
}

fn consortiums(members: &[(String, Vec<Organization>)]) -> Result<Value, GenerateError> {
    let mut group = Group::new(ORDERER_ADMINS);
    let accept_all = json!({"type": 1, "value": {"rule": {"n_out_of": {}}}});
    let accept_all = json!({"mod_policy": ORDERER_ADMINS, "policy": accept_all});
    group.policies.insert(ADMINS.to_owned(), accept_all);
    for (name, organizations) in members {
        let mut consortium = Group::new(ORDERER_ADMINS);
        for organization in organizations {
            let member = described(organization)?.finish();
            consortium.groups.insert(organization.name.clone(), member);
        }
        let any_admin = json!({"rule": "ANY", "sub_policy": ADMINS});
        consortium.value(
            "ChannelCreationPolicy",
            &json!({"type": 3, "value": any_admin}),
        );
        group.groups.insert(name.clone(), consortium.finish());
    }
    Ok(group.finish())
}

/// What every group of an organisation has: its MSP and its policies, if it is known here.
fn described(organization: &Organization) -> Result<Group, GenerateError> {
    let mut group = Group::new(ADMINS);
    if organization.is_foreign {
        return Ok(group);
    }
    if organization.msp_type != "bccsp" {
        let kind = &organization.msp_type;
        return Err(GenerateError::Refused(format!(
            "the MSP of {} is of type {kind:?}, and only bccsp is known",
            organization.name
        )));
    }
    let folder = MspFolder::read(&organization.msp_folder, &organization.id)?;
    let msp = MspConfig {
        r#type: 0,
        config: folder.config.encode_to_vec().into(),
    };
    let msp = shown("msp.MSPConfig", msp.encode_to_vec())?;
    group.policies(&organization.name, &organization.policies, &[])?;
    group.value("MSP", &msp);
    Ok(group)
}

/// An organisation among those that order.
pub(super) fn orderer_organization(
    organization: &Organization,
    channel: &Capabilities,
) -> Result<Value, GenerateError> {
    let mut group = described(organization)?;
    if !organization.endpoints.is_empty() && !organization.is_foreign {
        group.value("Endpoints", &json!({"addresses": organization.endpoints}));
    } else if channel.has(V3_0) && !organization.is_foreign {
        return Err(GenerateError::Refused(format!(
            "{} has no OrdererEndpoints, which the channel's capability V3_0 needs",
            organization.name
        )));
    }
    Ok(group.finish())
}

/// An organisation among those of applications.
pub(super) fn application_organization(
    organization: &Organization,
) -> Result<Value, GenerateError> {
    let mut group = described(organization)?;
    let peers = organization.anchor_peers.iter();
    let peers: Vec<_> = peers
        .map(|(host, port)| json!({"host": host, "port": port}))
        .collect();
    if !peers.is_empty() && !organization.is_foreign {
        group.value("AnchorPeers", &json!({"anchor_peers": peers}));
    }
    Ok(group.finish())
}
