//! `quire chaincode`: the chaincodes of a running node's channels.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use quire_gateway::chaincodes::{DefinedChaincode, DeployedChaincode};

use crate::admin::client::{self, AskError};
use crate::admin::{Message, OfChannel};
use crate::arguments::DataArguments;
use crate::commands::verb::{Needs, Verb};
use crate::exit::print_other_answer;
use crate::node::{Wanted, WantedSource};
use crate::settings::Settings;
use crate::terminal::say;

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ChaincodeCommand {
    /// Install a chaincode on the node, approve it for the node's organisation, and commit its definition if that
    /// suffices. With another folder, version or policy it is an upgrade.
    Deploy {
        /// The chaincode's name, which is the namespace that it governs.
        name: String,
        /// A folder with the chaincode: a package.json, a go.mod, a jar or an executable file; or a package
        /// (.tar.gz) of Fabric's.
        #[arg(required_unless_present = "address")]
        source: Option<PathBuf>,
        /// Where the chaincode waits to be dialled, if somebody else runs it: `HOST:PORT`, in plain. For TLS, make
        /// a package with a connection.json.
        #[arg(long, value_name = "HOST:PORT", conflicts_with = "source")]
        address: Option<String>,
        /// The channel.
        #[arg(long, default_value = "main")]
        channel: String,
        /// The version, any text; without it, the number of the definition.
        #[arg(long)]
        version: Option<String>,
        /// Who must endorse: a policy, such as "AND('Org1MSP.peer','Org2MSP.peer')", or the path of one of the
        /// channel's. Without it, that of the definition in force, and for a first one the channel's default.
        #[arg(long)]
        policy: Option<String>,
        /// Let the first call of this version be an initialisation: a transaction with `isInit`. Without it, it is as
        /// in the definition in force.
        #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        init_required: Option<bool>,
        #[command(flatten)]
        data: DataArguments,
    },
    /// Print the chaincodes that a channel defines, and whether they run here.
    List {
        /// The channel.
        #[arg(long, default_value = "main")]
        channel: String,
        #[command(flatten)]
        data: DataArguments,
    },
}

impl Verb for ChaincodeCommand {
    fn needs(&self) -> Needs<'_> {
        match self {
            Self::Deploy { data, .. } | Self::List { data, .. } => Needs::DataDirectory(&data.data),
        }
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        match self {
            Self::Deploy {
                name,
                source,
                address,
                channel,
                version,
                policy,
                init_required,
                data,
            } => {
                let wanted = Wanted {
                    channel: channel.clone(),
                    name: name.clone(),
                    source: wanted_source(source.as_deref(), address.as_deref()),
                    version: version.clone(),
                    policy: policy.clone(),
                    init_required: *init_required,
                };
                match ask(data, "/chaincodes/deploy", &wanted) {
                    Ok(Message::Deployed(deployed)) => print_deployed(name, channel, &deployed),
                    other => print_other_answer(other),
                }
            }
            Self::List { channel, data } => {
                let channel = channel.clone();
                match ask(data, "/chaincodes", &OfChannel { channel }) {
                    Ok(Message::Chaincodes(defined)) => print_list(&defined),
                    other => print_other_answer(other),
                }
            }
        }
    }
}

/// Paths as the node sees them, which runs on this machine and elsewhere than this command.
fn wanted_source(source: Option<&Path>, address: Option<&str>) -> WantedSource {
    let path = source.unwrap_or(Path::new("."));
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match address {
        Some(address) => WantedSource::Service(address.to_owned()),
        None if path.is_file() => WantedSource::Package(path),
        None => WantedSource::Folder(path),
    }
}

fn ask(
    data: &DataArguments,
    path: &str,
    request: &impl serde::Serialize,
) -> Result<Message, AskError> {
    client::ask(&data.data, "POST", path, request, &mut |_| {})
}

fn print_deployed(name: &str, channel: &str, deployed: &DeployedChaincode) -> ExitCode {
    let DeployedChaincode {
        package_id,
        sequence,
        version,
        ..
    } = deployed;
    say(format_args!("package     {package_id}"));
    say(format_args!("definition  {sequence}, version {version}"));
    for (organization, approves) in &deployed.approvals {
        let approves = if *approves {
            "approves"
        } else {
            "has not approved"
        };
        say(format_args!("{organization}  {approves}"));
    }
    if deployed.was_there {
        say(format_args!(
            "chaincode {name} is deployed on channel {channel} already: nothing was done"
        ));
        if !deployed.is_running {
            say(format_args!(
                "its process is not connected: the log of the node says why"
            ));
        }
    } else if deployed.is_committed {
        say(format_args!(
            "chaincode {name} is deployed on channel {channel}"
        ));
    } else {
        say(format_args!(
            "chaincode {name} is approved on channel {channel}, not yet deployed: the other organisations \
             approve the same definition, and one of them commits it with the endorsements of enough of them"
        ));
    }
    ExitCode::SUCCESS
}

fn print_list(defined: &[DefinedChaincode]) -> ExitCode {
    for one in defined {
        let runs = match (&one.package_id, one.is_running) {
            (Some(_), true) => "runs",
            (Some(_), false) => "does not run: the log of the node says why",
            (None, _) => "not approved here",
        };
        let package = one.package_id.as_deref().unwrap_or("-");
        say(format_args!(
            "{}\t{}\t{}\t{package}\t{runs}",
            one.name, one.sequence, one.version
        ));
    }
    ExitCode::SUCCESS
}
