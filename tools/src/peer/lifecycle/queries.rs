//! What a peer knows of chaincodes, as text or JSON.

use quire_wire::lifecycle::{
    ApprovedChaincodeDefinition, ChaincodeDefinition, CheckCommitReadinessResult,
    QueryApprovedChaincodeDefinitionArgs, QueryApprovedChaincodeDefinitionResult,
    QueryApprovedChaincodeDefinitionsArgs, QueryApprovedChaincodeDefinitionsResult,
    QueryChaincodeDefinitionArgs, QueryChaincodeDefinitionResult, QueryChaincodeDefinitionsArgs,
    QueryChaincodeDefinitionsResult, QueryInstalledChaincodesArgs, QueryInstalledChaincodesResult,
    SourceKind,
};
use serde_json::Value;

use super::definition::DefinitionOptions;
use super::go_json::{self, Object, indented};
use super::question::Question;
use crate::peer::error::PeerError;
use crate::peer::report::Report;

/// Which chaincode of which channel.
#[derive(Debug, clap::Args)]
pub(in crate::peer) struct NameOptions {
    /// The channel on which this command should be executed
    #[arg(short = 'C', long = "channelID", default_value = "")]
    channel: String,
    /// Name of the chaincode
    #[arg(short = 'n', long, default_value = "")]
    name: String,
}

/// What is said of an answer that is none.
const FAILED: &str = "query failed";

/// The packages of a peer.
pub(super) async fn installed(
    question: Question<'_>,
    is_json: bool,
    report: &mut Report<'_, '_>,
) -> Result<(), PeerError> {
    let args = QueryInstalledChaincodesArgs {};
    let function = "QueryInstalledChaincodes";
    let asked = question.ask::<QueryInstalledChaincodesResult>("", function, &args, FAILED);
    let (_, result) = asked.await?;
    if is_json {
        return print(&go_json::installed(&result), report);
    }
    report.print(format_args!("Installed chaincodes on peer:\n"))?;
    for package in &result.installed_chaincodes {
        report.print(format_args!(
            "Package ID: {}, Label: {}\n",
            package.package_id, package.label
        ))?;
    }
    Ok(())
}

/// What the caller's organisation approved: of one name, or everything.
pub(super) async fn approved(
    question: Question<'_>,
    of: &NameOptions,
    sequence: i64,
    is_json: bool,
    report: &mut Report<'_, '_>,
) -> Result<(), PeerError> {
    let NameOptions { channel, name } = of;
    if channel.is_empty() {
        return Err(PeerError::Missing {
            name: "channelID",
            flag: "-C",
        });
    }
    if name.is_empty() {
        if sequence != 0 {
            let text = "Specifying parameter 'sequence' is invalid without parameter 'name'. Rerun the command with -n flag";
            return Err(PeerError::Usage(text.to_owned()));
        }
        let args = QueryApprovedChaincodeDefinitionsArgs {};
        let function = "QueryApprovedChaincodeDefinitions";
        let asked = question.ask(channel, function, &args, FAILED);
        let (_, result): (_, QueryApprovedChaincodeDefinitionsResult) = asked.await?;
        let all = result.approved_chaincode_definitions;
        if is_json {
            let all = all.iter().map(approval_as_json);
            let list = Object::default().list("approved_chaincode_definitions", all);
            return print(&list.done(), report);
        }
        let title = format_args!("Approved chaincode definitions on channel '{channel}':\n");
        report.print(title)?;
        for one in &all {
            report.print(format_args!(
                "name: {}, {}\n",
                one.name,
                approval_as_text(one)
            ))?;
        }
        return Ok(());
    }
    let args = QueryApprovedChaincodeDefinitionArgs {
        name: name.clone(),
        sequence,
    };
    let function = "QueryApprovedChaincodeDefinition";
    let asked = question.ask(channel, function, &args, FAILED);
    let (_, result): (_, QueryApprovedChaincodeDefinitionResult) = asked.await?;
    let approval = named_nothing(result);
    if is_json {
        return print(&approval_as_json(&approval), report);
    }
    report.print(format_args!(
        "Approved chaincode definition for chaincode '{name}' on channel '{channel}':\n{}\n",
        approval_as_text(&approval)
    ))
}

/// The answer to a question for one name does not repeat it.
fn named_nothing(result: QueryApprovedChaincodeDefinitionResult) -> ApprovedChaincodeDefinition {
    ApprovedChaincodeDefinition {
        name: String::new(),
        sequence: result.sequence,
        version: result.version,
        endorsement_plugin: result.endorsement_plugin,
        validation_plugin: result.validation_plugin,
        validation_parameter: result.validation_parameter,
        collections: result.collections,
        init_required: result.init_required,
        source: result.source,
    }
}

fn approval_as_text(one: &ApprovedChaincodeDefinition) -> String {
    let kind = one
        .source
        .as_ref()
        .and_then(|source| source.r#type.as_ref());
    let package_id = match kind {
        Some(SourceKind::LocalPackage(package)) => &*package.package_id,
        Some(SourceKind::Unavailable(_)) | None => "",
    };
    format!(
        "sequence: {}, version: {}, init-required: {}, package-id: {package_id}, endorsement plugin: {}, \
         validation plugin: {}",
        one.sequence, one.version, one.init_required, one.endorsement_plugin, one.validation_plugin
    )
}

fn approval_as_json(one: &ApprovedChaincodeDefinition) -> Value {
    Object::default()
        .text("name", &one.name)
        .number("sequence", one.sequence)
        .text("version", &one.version)
        .text("endorsement_plugin", &one.endorsement_plugin)
        .text("validation_plugin", &one.validation_plugin)
        .bytes("validation_parameter", &one.validation_parameter)
        .maybe(
            "collections",
            one.collections.as_ref().map(go_json::collections),
        )
        .flag("init_required", one.init_required)
        .maybe("source", one.source.as_ref().map(go_json::source))
        .done()
}

/// The definitions of a channel: of one name, or all.
pub(super) async fn committed(
    question: Question<'_>,
    of: &NameOptions,
    is_json: bool,
    report: &mut Report<'_, '_>,
) -> Result<(), PeerError> {
    let NameOptions { channel, name } = of;
    if channel.is_empty() {
        return Err(PeerError::Usage(
            "channel name must be specified".to_owned(),
        ));
    }
    if name.is_empty() {
        let args = QueryChaincodeDefinitionsArgs {};
        let function = "QueryChaincodeDefinitions";
        let asked = question.ask(channel, function, &args, FAILED);
        let (_, result): (_, QueryChaincodeDefinitionsResult) = asked.await?;
        let all = result.chaincode_definitions;
        if is_json {
            let all = all.iter().map(|one| definition_as_json(one).done());
            let list = Object::default().list("chaincode_definitions", all);
            return print(&list.done(), report);
        }
        let title = format_args!("Committed chaincode definitions on channel '{channel}':\n");
        report.print(title)?;
        for one in &all {
            report.print(format_args!(
                "Name: {}, {}\n",
                one.name,
                definition_as_text(one)
            ))?;
        }
        return Ok(());
    }
    let args = QueryChaincodeDefinitionArgs { name: name.clone() };
    let function = "QueryChaincodeDefinition";
    let asked = question.ask(channel, function, &args, FAILED);
    let (_, result): (_, QueryChaincodeDefinitionResult) = asked.await?;
    let approvals = result.approvals.clone();
    let definition = unnamed(result);
    if is_json {
        let object = definition_as_json(&definition);
        let object = object.map("approvals", &approvals, |approves| (*approves).into());
        return print(&object.done(), report);
    }
    let approvals = approvals
        .iter()
        .map(|(name, approves)| format!("{name}: {approves}"));
    report.print(format_args!(
        "Committed chaincode definition for chaincode '{name}' on channel '{channel}':\n{}, Approvals: [{}]\n",
        definition_as_text(&definition),
        approvals.collect::<Vec<_>>().join(", ")
    ))
}

/// The answer to a question for one name does not repeat it.
fn unnamed(result: QueryChaincodeDefinitionResult) -> ChaincodeDefinition {
    ChaincodeDefinition {
        name: String::new(),
        sequence: result.sequence,
        version: result.version,
        endorsement_plugin: result.endorsement_plugin,
        validation_plugin: result.validation_plugin,
        validation_parameter: result.validation_parameter,
        collections: result.collections,
        init_required: result.init_required,
    }
}

fn definition_as_text(one: &ChaincodeDefinition) -> String {
    format!(
        "Version: {}, Sequence: {}, Endorsement Plugin: {}, Validation Plugin: {}",
        one.version, one.sequence, one.endorsement_plugin, one.validation_plugin
    )
}

fn definition_as_json(one: &ChaincodeDefinition) -> Object {
    Object::default()
        .text("name", &one.name)
        .number("sequence", one.sequence)
        .text("version", &one.version)
        .text("endorsement_plugin", &one.endorsement_plugin)
        .text("validation_plugin", &one.validation_plugin)
        .bytes("validation_parameter", &one.validation_parameter)
        .maybe(
            "collections",
            one.collections.as_ref().map(go_json::collections),
        )
        .flag("init_required", one.init_required)
}

/// Which organisations approved a definition.
pub(super) async fn readiness(
    question: Question<'_>,
    definition: &DefinitionOptions,
    inspect: bool,
    is_json: bool,
    report: &mut Report<'_, '_>,
) -> Result<(), PeerError> {
    let args = definition.definition()?;
    let channel = definition.channel();
    let asked = question.ask(channel, "CheckCommitReadiness", &args, FAILED);
    let (_, mut result): (_, CheckCommitReadinessResult) = asked.await?;
    if !inspect {
        result.mismatches.clear();
    }
    if is_json {
        for item in result
            .mismatches
            .values_mut()
            .flat_map(|one| &mut one.items)
        {
            *item = with_description(item);
        }
        return print(&go_json::readiness(&result), report);
    }
    let title = definition.title();
    report.print(format_args!("{title} approval status by org:\n"))?;
    for (organization, approves) in &result.approvals {
        let mismatches = result.mismatches.get(organization);
        let mismatches = mismatches.filter(|found| !found.items.is_empty());
        let mismatches = mismatches.map_or_else(String::new, |found| {
            format!(" (mismatch: [{}])", found.items.join(", "))
        });
        report.print(format_args!("{organization}: {approves}{mismatches}\n"))?;
    }
    Ok(())
}

/// What differs, and by which flags.
fn with_description(item: &str) -> String {
    let flags = match item {
        "ChaincodeParameters" => "Check the Sequence, ChaincodeName",
        "EndorsementInfo" => "Check the Version, InitRequired, EndorsementPlugin",
        "ValidationInfo" => "Check the ValidationParameter, ValidationPlugin",
        "Collections" => "Check the Collections",
        _ => return item.to_owned(),
    };
    format!("{item} ({flags})")
}

fn print(value: &Value, report: &mut Report<'_, '_>) -> Result<(), PeerError> {
    let text = indented(value)?;
    report.print(format_args!("{text}\n"))
}
