//! Definitions and approvals as they are kept.

use quire_wire::Message as _;
use quire_wire::collection::{ApplicationPolicy, CollectionConfigPackage, PolicyKind};
use quire_wire::lifecycle::{ChaincodeEndorsementInfo, ChaincodeValidationInfo, StateValue};

use super::config::ChannelConfig;
use super::error::LifecycleError;
use super::layout::{Fields, Structure};

/// Where a channel says who must endorse, unless a definition does.
const DEFAULT_POLICY: &str = "/Channel/Application/Endorsement";
/// The only one that endorses, and the only one that validates.
const ENDORSEMENT_PLUGIN: &str = "escc";
const VALIDATION_PLUGIN: &str = "vscc";

/// What organisations agree on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    /// What endorsers go by.
    pub endorsement: ChaincodeEndorsementInfo,
    /// What committers go by.
    pub validation: ChaincodeValidationInfo,
    /// The collections.
    pub collections: CollectionConfigPackage,
}

/// How a chaincode is defined on a channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definition {
    /// 1 for the first definition of a name, and one more for each after it.
    pub sequence: i64,
    /// What was agreed on.
    pub parameters: Parameters,
}

/// Which package an organisation runs for a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LocalPackage {
    pub(super) package_id: String,
}

/// What an organisation approved.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    /// The definition.
    pub definition: Definition,
    /// The package that it runs; empty for none.
    pub package_id: String,
}

impl Parameters {
    /// Fills in what a definition may leave to the channel.
    pub(super) fn set_defaults(
        &mut self,
        channel: &str,
        config: &dyn ChannelConfig,
    ) -> Result<(), LifecycleError> {
        let endorsement_plugin = &mut self.endorsement.endorsement_plugin;
        if endorsement_plugin.is_empty() {
            ENDORSEMENT_PLUGIN.clone_into(endorsement_plugin);
        }
        let validation = &mut self.validation;
        if validation.validation_plugin.is_empty() {
            VALIDATION_PLUGIN.clone_into(&mut validation.validation_plugin);
        }
        if validation.validation_parameter.is_empty() {
            if !config.has_policy(DEFAULT_POLICY) {
                return Err(LifecycleError::Channel(format!(
                    "could not set defaults for chaincode definition in channel {channel}: policy \
                     '{DEFAULT_POLICY}' must be defined for channel '{channel}' before chaincode \
                     operations can be attempted"
                )));
            }
            validation.validation_parameter = default_policy().encode_to_vec().into();
        }
        Ok(())
    }

    /// Why `other` is not the same; none where it is.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        let (ours, theirs) = (&self.endorsement, &other.endorsement);
        let differs = |what: &str, ours: &str, theirs: &str| {
            let text = format!("expected {what} '{ours}' does not match passed {what} '{theirs}'");
            (ours != theirs).then_some(text)
        };
        let flag = |info: &ChaincodeEndorsementInfo| info.init_required.to_string();
        let plugin = |info: &ChaincodeEndorsementInfo| info.endorsement_plugin.clone();
        let (ours_valid, theirs_valid) = (&self.validation, &other.validation);
        let policy = |info: &ChaincodeValidationInfo| hex::encode(&info.validation_parameter);
        differs("Version", &ours.version, &theirs.version)
            .or_else(|| differs("EndorsementPlugin", &plugin(ours), &plugin(theirs)))
            .or_else(|| differs("InitRequired", &flag(ours), &flag(theirs)))
            .or_else(|| {
                let (ours, theirs) = (
                    &ours_valid.validation_plugin,
                    &theirs_valid.validation_plugin,
                );
                differs("ValidationPlugin", ours, theirs)
            })
            .or_else(|| {
                differs(
                    "ValidationParameter",
                    &policy(ours_valid),
                    &policy(theirs_valid),
                )
            })
            .or_else(|| {
                let text = "Collections do not match".to_owned();
                (self.collections != other.collections).then_some(text)
            })
    }
}

/// The policy of a definition that names none.
fn default_policy() -> ApplicationPolicy {
    let reference = DEFAULT_POLICY.to_owned();
    ApplicationPolicy {
        r#type: Some(PolicyKind::ChannelConfigPolicyReference(reference)),
    }
}

impl Structure for Parameters {
    const TYPE: &'static str = "ChaincodeParameters";
    const FIELDS: &'static [&'static str] = &["EndorsementInfo", "ValidationInfo", "Collections"];

    fn values(&self) -> Vec<StateValue> {
        vec![
            StateValue::Bytes(self.endorsement.encode_to_vec().into()),
            StateValue::Bytes(self.validation.encode_to_vec().into()),
            StateValue::Bytes(self.collections.encode_to_vec().into()),
        ]
    }

    fn read(mut fields: Fields<'_, '_>) -> Result<Self, LifecycleError> {
        Ok(Self {
            endorsement: fields.message("EndorsementInfo")?,
            validation: fields.message("ValidationInfo")?,
            collections: fields.message("Collections")?,
        })
    }
}

impl Structure for Definition {
    const TYPE: &'static str = "ChaincodeDefinition";
    const FIELDS: &'static [&'static str] = &[
        "Sequence",
        "EndorsementInfo",
        "ValidationInfo",
        "Collections",
    ];

    fn values(&self) -> Vec<StateValue> {
        let sequence = StateValue::Int64(self.sequence);
        std::iter::once(sequence)
            .chain(self.parameters.values())
            .collect()
    }

    fn read(mut fields: Fields<'_, '_>) -> Result<Self, LifecycleError> {
        Ok(Self {
            sequence: fields.number("Sequence")?,
            parameters: Parameters::read(fields)?,
        })
    }
}

impl Structure for LocalPackage {
    const TYPE: &'static str = "ChaincodeLocalPackage";
    const FIELDS: &'static [&'static str] = &["PackageID"];

    fn values(&self) -> Vec<StateValue> {
        vec![StateValue::String(self.package_id.clone())]
    }

    fn read(mut fields: Fields<'_, '_>) -> Result<Self, LifecycleError> {
        let package_id = fields.text("PackageID")?;
        Ok(Self { package_id })
    }
}
