//! A change of a channel's configuration on its way: computed, shown, signed, and handed in or written to
//! a file for others to sign.
//!
//! The file holds a `common.Envelope` of type `CONFIG_UPDATE`, as `peer channel signconfigtx` takes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytes::Bytes;
use clap::Args;
use quire_disk::{FileError, replace_file};
use quire_identity::config::edit::EditError;
use quire_identity::config::{
    Bundle, BundleError, ComputeError, SignedUpdate, UpdateError, compute_update, difference, words,
};
use quire_peer::config::InState;
use quire_wire::Message as _;
use quire_wire::common::{ChannelHeader, Envelope, Header, Payload, header_type};
use quire_wire::config::{Config, ConfigUpdate, ConfigUpdateEnvelope};
use quire_wire::transaction::seal;

use super::reach::Reach;
use crate::arguments::DataArguments;
use crate::exit::{FAILED, failed};
use crate::node::FIRST_CHANNEL;

/// Most bytes of a file with an update.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Which channel, and what becomes of the update.
#[derive(Clone, Debug, Args)]
pub(super) struct ProposalArguments {
    /// The channel.
    #[arg(long, value_name = "NAME", default_value = FIRST_CHANNEL)]
    pub(super) channel: String,
    /// Write the signed update to this file, for others to sign, in place of handing it in.
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    #[command(flatten)]
    pub(super) data: DataArguments,
}

/// Why there is no proposal.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProposalError {
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error(transparent)]
    Compute(#[from] ComputeError),
    #[error("the channel's configuration cannot be used")]
    Bundle(#[from] BundleError),
    #[error("the update cannot be made")]
    Update(#[from] UpdateError),
    #[error("the file {} cannot be read", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    #[error("the file {} has more than {MAX_FILE_BYTES} bytes", .0.display())]
    TooLarge(PathBuf),
    #[error("the file cannot be written")]
    Write(#[from] FileError),
}

/// Changes the configuration as `edit` says, and prints what came of it.
pub(super) fn propose(
    arguments: &ProposalArguments,
    edit: impl FnOnce(&mut Config) -> Result<(), EditError>,
) -> ExitCode {
    let reach = match Reach::open(&arguments.data) {
        Ok(reach) => reach,
        Err(error) => return error.print(),
    };
    let code = propose_at(&reach, arguments, edit);
    reach.close();
    code
}

fn propose_at(
    reach: &Reach<'_>,
    arguments: &ProposalArguments,
    edit: impl FnOnce(&mut Config) -> Result<(), EditError>,
) -> ExitCode {
    let channel = &arguments.channel;
    let current = match reach.configuration(channel) {
        Ok(current) => current.config,
        Err(error) => return error.print(),
    };
    let mut update = match computed(channel, &current, edit) {
        Ok(update) => update,
        Err(error) => return failed(&error, None),
    };
    if let Err(error) = reach.sign(&mut update) {
        return error.print();
    }
    match &arguments.output {
        Some(file) => match write(file, channel, &update) {
            Ok(()) => {
                println!("signed, and written to {}", file.display());
                println!(
                    "`quire channel sign {0}` signs it elsewhere, `quire channel submit {0}` hands it in",
                    file.display()
                );
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error, None),
        },
        None => match missing(channel, &current, &update) {
            Ok(None) => submit(reach, channel, &update),
            Ok(Some(missing)) => {
                eprintln!("quire: {missing}");
                eprintln!("  --output FILE writes the update to a file, for others to sign.");
                ExitCode::from(FAILED)
            }
            Err(error) => failed(&error, None),
        },
    }
}

/// The update, unsigned; what it changes is printed.
fn computed(
    channel: &str,
    current: &Config,
    edit: impl FnOnce(&mut Config) -> Result<(), EditError>,
) -> Result<ConfigUpdateEnvelope, ProposalError> {
    let mut changed = current.clone();
    edit(&mut changed)?;
    let update = ConfigUpdate {
        channel_id: channel.to_owned(),
        ..compute_update(current, &changed)?
    };
    for line in difference(current, &changed) {
        println!("{line}");
    }
    Ok(ConfigUpdateEnvelope {
        config_update: update.encode_to_vec().into(),
        signatures: Vec::new(),
    })
}

/// Who must sign besides those who have; none where they suffice.
pub(super) fn missing(
    channel: &str,
    current: &Config,
    update: &ConfigUpdateEnvelope,
) -> Result<Option<String>, ProposalError> {
    let bundle = Bundle::new(channel, current.clone())?;
    match SignedUpdate::read(update.clone())?.apply(&bundle) {
        Ok(_) => Ok(None),
        Err(error @ UpdateError::NotSatisfied { .. }) => Ok(Some(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// What an update sets, a line each.
pub(super) fn sets(update: &ConfigUpdateEnvelope) -> Result<Vec<String>, ProposalError> {
    let update = SignedUpdate::read(update.clone())?.update;
    let written = Config {
        channel_group: update.write_set,
        ..Config::default()
    };
    // What stays as it is stands there by its version alone.
    let said = words(&written).into_iter().filter(|(name, value)| {
        !value.is_empty() && value != "nothing" && !name.starts_with("value ")
    });
    let lines = said.map(|(name, value)| format!("sets {name}: {value}"));
    Ok(lines.collect())
}

/// Hands the update in, and prints what came of it.
pub(super) fn submit(reach: &Reach<'_>, channel: &str, update: &ConfigUpdateEnvelope) -> ExitCode {
    match reach.submit(channel, update) {
        Ok(InState { number, config }) => {
            let sequence = config.sequence;
            println!("configuration {sequence} of {channel} is in force from block {number} on");
            ExitCode::SUCCESS
        }
        Err(error) => error.print(),
    }
}

/// Reads a file with an update: the channel that it is for, and the update.
pub(super) fn read(file: &Path) -> Result<(String, ConfigUpdateEnvelope), ProposalError> {
    let unreadable = |source| ProposalError::Read(file.to_owned(), source);
    if fs::metadata(file).map_err(unreadable)?.len() > MAX_FILE_BYTES {
        return Err(ProposalError::TooLarge(file.to_owned()));
    }
    let bytes = Bytes::from(fs::read(file).map_err(unreadable)?);
    let envelope = Envelope::decode(bytes).map_err(UpdateError::from)?;
    let channel = SignedUpdate::from_envelope(&envelope)?.update.channel_id;
    let payload = Payload::decode(envelope.payload).map_err(UpdateError::from)?;
    let update = ConfigUpdateEnvelope::decode(payload.data).map_err(UpdateError::from)?;
    Ok((channel, update))
}

/// Writes an update to a file, durable on return.
pub(super) fn write(
    file: &Path,
    channel: &str,
    update: &ConfigUpdateEnvelope,
) -> Result<(), ProposalError> {
    let header = ChannelHeader {
        r#type: header_type::CONFIG_UPDATE,
        channel_id: channel.to_owned(),
        ..ChannelHeader::default()
    };
    let payload = Payload {
        header: Some(Header {
            channel_header: header.encode_to_vec().into(),
            ..Header::default()
        }),
        data: update.encode_to_vec().into(),
    };
    let envelope = seal(payload.encode_to_vec().into(), Bytes::new());
    let whole = std::path::absolute(file);
    let whole = whole.map_err(|source| ProposalError::Read(file.to_owned(), source))?;
    replace_file(quire_disk::os().as_ref(), &whole, &envelope)?;
    Ok(())
}
