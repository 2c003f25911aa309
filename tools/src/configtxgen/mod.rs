//! `configtxgen`: the first block of a channel, and first updates of it, from `configtx.yaml`.
//!
//! * `yaml`, `profile`, `consensus`: what the file says.
//! * `groups`: the tree of configuration that it makes.
//! * `transaction`: blocks and envelopes around it.

mod consensus;
mod duration;
mod error;
mod groups;
mod profile;
mod transaction;
mod yaml;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use quire_wire::json;
use serde_json::Value;

use crate::Environment;
use crate::arguments::{parse, with_double_dashes};
use crate::files;
use crate::streams::Streams;
use crate::version::version;

use error::GenerateError;
use profile::Profile;
use yaml::Node;

const NAME: &str = "configtxgen";

/// The status of wrong arguments.
const WRONG: u8 = 2;

/// Generates channel configuration artifacts from a configtx.yaml. Flags may have one dash or two.
#[derive(Debug, clap::Parser)]
#[command(name = NAME, rename_all = "camelCase")]
struct Arguments {
    /// Performs the config generation as a particular organization (by name), only including values in the write set
    /// that org (likely) has privilege to set
    #[arg(long)]
    as_org: Option<String>,
    /// Specifies a profile to consider as the orderer system channel current state to allow modification of
    /// non-application parameters during channel create tx generation. Only valid in conjunction with
    /// 'outputCreateChannelTx'.
    #[arg(long)]
    channel_create_tx_base_profile: Option<String>,
    /// The channel ID to use in the configtx
    #[arg(long = "channelID")]
    channel_id: Option<String>,
    /// The path containing the configuration to use (if set)
    #[arg(long)]
    config_path: Option<PathBuf>,
    /// Prints the configuration contained in the block at the specified path
    #[arg(long)]
    inspect_block: Option<PathBuf>,
    /// Prints the configuration contained in the transaction at the specified path
    #[arg(long)]
    inspect_channel_create_tx: Option<PathBuf>,
    /// Creates a config update to update an anchor peer (works only with the default channel creation, and only for
    /// the first update)
    #[arg(long)]
    output_anchor_peers_update: Option<PathBuf>,
    /// The path to write the genesis block to (if set)
    #[arg(long)]
    output_block: Option<PathBuf>,
    /// The path to write a channel creation configtx to (if set)
    #[arg(long)]
    output_create_channel_tx: Option<PathBuf>,
    /// Prints the definition of an organization as JSON. (useful for adding an org to a channel manually)
    #[arg(long)]
    print_org: Option<String>,
    /// The profile from configtx.yaml to use for generation.
    #[arg(long)]
    profile: Option<String>,
    /// Show version information
    #[arg(long)]
    version: bool,
}

/// Runs the tool. What it makes is dated `now`.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    streams: &mut Streams<'_>,
    environment: Environment<'_>,
    now: SystemTime,
) -> u8 {
    let arguments = with_double_dashes(arguments);
    let arguments = match parse::<Arguments>(NAME, arguments, WRONG, streams) {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    let result = arguments.act(streams, environment, now);
    streams.finish(NAME, result)
}

impl Arguments {
    /// Does everything that was asked for, in Fabric's order.
    fn act(
        &self,
        streams: &mut Streams<'_>,
        environment: Environment<'_>,
        now: SystemTime,
    ) -> Result<(), GenerateError> {
        if self.version {
            streams.output.write_all(version(NAME).as_bytes())?;
            return Ok(());
        }
        let outputs = [
            &self.output_block,
            &self.output_create_channel_tx,
            &self.output_anchor_peers_update,
        ];
        if outputs.into_iter().any(Option::is_some) {
            self.generate(streams, environment, now)?;
        }
        for (path, message) in [
            (&self.inspect_block, "common.Block"),
            (&self.inspect_channel_create_tx, "common.Envelope"),
        ] {
            if let (Some(path), Some(message_type)) = (path, json::message_type(message)) {
                let text = json::print(message_type, files::read(path)?.into())?;
                streams.output.write_all(text.as_bytes())?;
            }
        }
        if let Some(name) = &self.print_org {
            let text = self.file(environment)?.organization(name, environment)?;
            streams.output.write_all(text.as_bytes())?;
        }
        Ok(())
    }

    fn generate(
        &self,
        streams: &mut Streams<'_>,
        environment: Environment<'_>,
        now: SystemTime,
    ) -> Result<(), GenerateError> {
        let needed = |value: &Option<String>, flag: &str| {
            let value = value.clone().filter(|value| !value.is_empty());
            value.ok_or_else(|| GenerateError::Refused(format!("{flag} is needed")))
        };
        let channel = needed(&self.channel_id, "-channelID")?;
        let name = needed(&self.profile, "-profile")?;
        let file = self.file(environment)?;
        let profile = file.profile(&name, environment)?;
        if let Some(path) = &self.output_block {
            let block = transaction::genesis_block(&profile, &channel, now)?;
            write(path, &block, streams)?;
        }
        if let Some(path) = &self.output_create_channel_tx {
            let base = self.channel_create_tx_base_profile.as_ref();
            let base = base
                .map(|base| file.profile(base, environment))
                .transpose()?;
            let envelope = transaction::channel_creation(&profile, base.as_ref(), &channel, now)?;
            write(path, &envelope, streams)?;
        }
        if let Some(path) = &self.output_anchor_peers_update {
            let organization = needed(&self.as_org, "-asOrg")?;
            let envelope = transaction::anchor_peers(&profile, &organization, &channel, now)?;
            write(path, &envelope, streams)?;
        }
        Ok(())
    }

    fn file(&self, environment: Environment<'_>) -> Result<File, GenerateError> {
        if let Some(folder) = &self.config_path {
            return File::find(std::slice::from_ref(folder));
        }
        let named = environment("FABRIC_CFG_PATH").filter(|path| !path.is_empty());
        let usual = [".", "/etc/hyperledger/fabric"].map(PathBuf::from);
        let folders: Vec<_> = named.map(PathBuf::from).into_iter().chain(usual).collect();
        File::find(&folders)
    }
}

/// `configtx.yaml`, and the folder that it is in.
struct File {
    content: Value,
    folder: PathBuf,
}

impl File {
    fn find(folders: &[PathBuf]) -> Result<Self, GenerateError> {
        let names = ["configtx.yaml", "configtx.yml"];
        let paths = folders
            .iter()
            .flat_map(|folder| names.map(|name| folder.join(name)));
        let path = paths.into_iter().find(|path| path.is_file());
        let path = path.ok_or_else(|| {
            let folders: Vec<_> = folders
                .iter()
                .map(|folder| folder.display().to_string())
                .collect();
            GenerateError::NoFile(folders.join(", "))
        })?;
        let content = serde_saphyr::from_slice(&files::read(&path)?).map_err(|error| {
            GenerateError::Yaml {
                path: path.clone(),
                reason: error.to_string(),
            }
        })?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self { content, folder })
    }

    fn profile(&self, name: &str, environment: Environment<'_>) -> Result<Profile, GenerateError> {
        let root = Node::root(&self.content, environment);
        profile::read_profile(root, name, &self.folder)
    }

    /// An organisation as JSON: with addresses it is one that orders.
    fn organization(
        &self,
        name: &str,
        environment: Environment<'_>,
    ) -> Result<String, GenerateError> {
        let root = Node::root(&self.content, environment);
        let (organization, channel) = profile::read_organization(root, name, &self.folder)?;
        let (group, message_type) = if organization.endpoints.is_empty() {
            let group = groups::application_organization(&organization)?;
            (group, json::application_organization())
        } else {
            let group = groups::orderer_organization(&organization, &channel)?;
            (group, json::orderer_organization())
        };
        let bytes = json::read(message_type, group.to_string().as_bytes())?;
        Ok(json::print(message_type, bytes.into())?)
    }
}

fn write(path: &Path, content: &[u8], streams: &mut Streams<'_>) -> Result<(), GenerateError> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        files::make_folder(folder, 0o750)?;
    }
    files::write(path, content, 0o640)?;
    streams.tell(&format!("{NAME}: wrote {}", path.display()));
    Ok(())
}
