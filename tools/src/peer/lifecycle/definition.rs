//! A definition of a chaincode as flags give it.

use std::path::PathBuf;

use bytes::Bytes;
use quire_identity::policy::read_signature_policy;
use quire_wire::Message as _;
use quire_wire::collection::{ApplicationPolicy, PolicyKind};
use quire_wire::lifecycle::{
    ApproveChaincodeDefinitionForMyOrgArgs, ChaincodeSource, CommitChaincodeDefinitionArgs,
    LocalPackage, SourceKind, Unavailable,
};

use super::collections;
use crate::peer::error::PeerError;

#[derive(Debug, clap::Args)]
pub(in crate::peer) struct DefinitionOptions {
    /// The channel on which this command should be executed
    #[arg(short = 'C', long = "channelID", default_value = "")]
    channel: String,
    /// Name of the chaincode
    #[arg(short = 'n', long, default_value = "")]
    name: String,
    /// Version of the chaincode
    #[arg(short = 'v', long, default_value = "")]
    version: String,
    /// The sequence number of the chaincode definition for the channel
    #[arg(long, default_value_t = 0)]
    sequence: i64,
    /// The name of the endorsement plugin to be used for this chaincode
    #[arg(short = 'E', long, default_value = "")]
    endorsement_plugin: String,
    /// The name of the validation plugin to be used for this chaincode
    #[arg(short = 'V', long, default_value = "")]
    validation_plugin: String,
    /// The endorsement policy associated to this chaincode specified as a signature policy
    #[arg(long, default_value = "")]
    signature_policy: String,
    /// The endorsement policy associated to this chaincode specified as a channel config policy reference
    #[arg(long, default_value = "")]
    channel_config_policy: String,
    /// Whether the chaincode requires invoking 'init'
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value = "false", action = clap::ArgAction::Set)]
    init_required: bool,
    /// The fully qualified path to the collection JSON file including the file name
    #[arg(long)]
    collections_config: Option<PathBuf>,
}

impl DefinitionOptions {
    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    /// What a definition is announced with.
    pub(super) fn title(&self) -> String {
        format!(
            "Chaincode definition for chaincode '{}', version '{}', sequence '{}' on channel '{}'",
            self.name, self.version, self.sequence, self.channel
        )
    }

    /// What is committed, or checked.
    pub(super) fn definition(&self) -> Result<CommitChaincodeDefinitionArgs, PeerError> {
        let required = [
            (self.channel.is_empty(), "channelID", "-C"),
            (self.name.is_empty(), "name", "-n"),
            (self.version.is_empty(), "version", "-v"),
            (self.sequence == 0, "sequence", "--sequence"),
        ];
        if let Some((_, name, flag)) = required.into_iter().find(|(is_empty, ..)| *is_empty) {
            return Err(PeerError::Missing { name, flag });
        }
        let policy = policy(&self.signature_policy, &self.channel_config_policy)?;
        let collections = self.collections_config.as_deref();
        Ok(CommitChaincodeDefinitionArgs {
            sequence: self.sequence,
            name: self.name.clone(),
            version: self.version.clone(),
            endorsement_plugin: self.endorsement_plugin.clone(),
            validation_plugin: self.validation_plugin.clone(),
            validation_parameter: policy
                .map_or_else(Bytes::new, |policy| policy.encode_to_vec().into()),
            collections: collections.map(collections::read).transpose()?,
            init_required: self.init_required,
        })
    }

    /// What an organisation agrees to: the same, with its package, if it has one.
    pub(super) fn approval(
        &self,
        package_id: &str,
    ) -> Result<ApproveChaincodeDefinitionForMyOrgArgs, PeerError> {
        let definition = self.definition()?;
        let source = if package_id.is_empty() {
            SourceKind::Unavailable(Unavailable {})
        } else {
            let package_id = package_id.to_owned();
            SourceKind::LocalPackage(LocalPackage { package_id })
        };
        Ok(ApproveChaincodeDefinitionForMyOrgArgs {
            sequence: definition.sequence,
            name: definition.name,
            version: definition.version,
            endorsement_plugin: definition.endorsement_plugin,
            validation_plugin: definition.validation_plugin,
            validation_parameter: definition.validation_parameter,
            collections: definition.collections,
            init_required: definition.init_required,
            source: Some(ChaincodeSource {
                r#type: Some(source),
            }),
        })
    }
}

/// The policy in either of two texts, which may both be empty.
pub(super) fn policy(
    signatures: &str,
    reference: &str,
) -> Result<Option<ApplicationPolicy>, PeerError> {
    let kind = match (signatures, reference) {
        ("", "") => return Ok(None),
        ("", reference) => PolicyKind::ChannelConfigPolicyReference(reference.to_owned()),
        (text, "") => {
            let policy = read_signature_policy(text).map_err(|source| PeerError::Policy {
                text: text.to_owned(),
                source,
            })?;
            PolicyKind::SignaturePolicy(policy)
        }
        _ => {
            return Err(PeerError::Usage(
                r#"cannot specify both "--signature-policy" and "--channel-config-policy""#
                    .to_owned(),
            ));
        }
    };
    Ok(Some(ApplicationPolicy { r#type: Some(kind) }))
}
