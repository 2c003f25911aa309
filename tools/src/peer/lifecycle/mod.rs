//! `peer lifecycle chaincode`: how chaincodes come to peers and channels.

mod collections;
mod definition;
mod go_json;
mod package;
mod queries;
mod question;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use quire_wire::peer::ProposalResponse;

use super::caller::{Caller, Input};
use super::endpoint::PeerOptions;
use super::error::PeerError;
use super::flags::{PassedOver, duration};
use super::orderer::OrdererOptions;
use super::report::Report;
use super::settings::Settings;
use super::transaction::Transaction;

use definition::DefinitionOptions;
use queries::NameOptions;
use question::{Question, call, succeeded};

#[derive(Debug, clap::Subcommand)]
#[command(rename_all = "lower")]
pub(super) enum LifecycleCommand {
    /// Package the chaincode and write the package to a file.
    Package {
        /// The file to write.
        file: PathBuf,
        /// The package label contains a human-readable description of the package
        #[arg(long)]
        label: String,
        /// Language the chaincode is written in
        #[arg(short = 'l', long, default_value = "golang")]
        lang: String,
        /// Path to the chaincode
        #[arg(short = 'p', long)]
        path: PathBuf,
    },
    /// Calculate the package ID for a packaged chaincode.
    CalculatePackageId {
        /// The package.
        file: PathBuf,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Install a chaincode on a peer.
    Install {
        /// The package.
        file: PathBuf,
        #[command(flatten)]
        peers: PeerOptions,
        #[command(flatten)]
        passed_over: PassedOver,
    },
    /// Query the installed chaincodes on a peer.
    QueryInstalled {
        #[command(flatten)]
        output: OutputOption,
        #[command(flatten)]
        peers: PeerOptions,
        #[command(flatten)]
        passed_over: PassedOver,
    },
    /// Get an installed chaincode package from a peer.
    GetInstalledPackage {
        /// The identifier of the chaincode install package
        #[arg(long = "package-id")]
        package_id: String,
        /// The output directory to use when writing a chaincode install package to disk. Default is the current
        /// working directory.
        #[arg(long = "output-directory", default_value = "")]
        output_directory: PathBuf,
        #[command(flatten)]
        peers: PeerOptions,
        #[command(flatten)]
        passed_over: PassedOver,
    },
    /// Approve the chaincode definition for my organization.
    ApproveForMyOrg {
        #[command(flatten)]
        definition: DefinitionOptions,
        /// The identifier of the chaincode install package
        #[arg(long = "package-id", default_value = "")]
        package_id: String,
        #[command(flatten)]
        submission: Submission,
    },
    /// Query an organization's approved chaincode definition(s) from its peer.
    QueryApproved {
        #[command(flatten)]
        name: NameOptions,
        /// The sequence number of the chaincode definition for the channel
        #[arg(long, default_value_t = 0)]
        sequence: i64,
        #[command(flatten)]
        output: OutputOption,
        #[command(flatten)]
        peers: PeerOptions,
        #[command(flatten)]
        passed_over: PassedOver,
    },
    /// Check whether a chaincode definition is ready to be committed on a channel.
    CheckCommitReadiness {
        #[command(flatten)]
        definition: DefinitionOptions,
        /// If inspect is enabled, output additional information to identify discrepancies when an organization's
        /// approval is false
        #[arg(long)]
        inspect: bool,
        #[command(flatten)]
        output: OutputOption,
        #[command(flatten)]
        peers: PeerOptions,
        #[command(flatten)]
        passed_over: PassedOver,
    },
    /// Commit the chaincode definition on the channel.
    Commit {
        #[command(flatten)]
        definition: DefinitionOptions,
        #[command(flatten)]
        submission: Submission,
    },
    /// Query the committed chaincode definitions by channel on a peer.
    QueryCommitted {
        #[command(flatten)]
        name: NameOptions,
        #[command(flatten)]
        output: OutputOption,
        #[command(flatten)]
        peers: PeerOptions,
        #[command(flatten)]
        passed_over: PassedOver,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct OutputOption {
    /// The output format for query results. Default is human-readable plain-text. json is currently the only
    /// supported format.
    #[arg(short = 'O', long, default_value = "")]
    output: String,
}

impl OutputOption {
    fn is_json(&self) -> bool {
        self.output.eq_ignore_ascii_case("json")
    }
}

/// How a transaction is sent.
#[derive(Debug, clap::Args)]
pub(super) struct Submission {
    #[command(flatten)]
    peers: PeerOptions,
    /// Whether to wait for the event from each peer's deliver filtered service signifying that the transaction has
    /// been committed successfully
    #[arg(long = "waitForEvent", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", default_value = "true", action = clap::ArgAction::Set)]
    wait: bool,
    /// Time to wait for that event
    #[arg(long = "waitForEventTimeout", default_value = "30s", value_parser = duration)]
    patience: Duration,
    #[command(flatten)]
    passed_over: PassedOver,
}

impl LifecycleCommand {
    pub(super) async fn act(
        &self,
        report: &mut Report<'_, '_>,
        settings: Settings<'_>,
        now: SystemTime,
        orderer: &OrdererOptions,
    ) -> Result<(), PeerError> {
        match self {
            Self::Package {
                file,
                label,
                lang,
                path,
            } => package::package(file, label, lang, path),
            Self::CalculatePackageId { file, output } => {
                package::print_id(file, output.is_json(), report)
            }
            Self::ApproveForMyOrg {
                definition,
                package_id,
                submission,
            } => {
                let args = definition.approval(package_id)?;
                let function = "ApproveChaincodeDefinitionForMyOrg";
                let call = call(function, &args);
                let caller = Caller::new(settings, now)?;
                let channel = definition.channel();
                submission
                    .submit(channel, call, &caller, report, orderer)
                    .await
            }
            Self::Commit {
                definition,
                submission,
            } => {
                let call = call("CommitChaincodeDefinition", &definition.definition()?);
                let caller = Caller::new(settings, now)?;
                let channel = definition.channel();
                submission
                    .submit(channel, call, &caller, report, orderer)
                    .await
            }
            _ => self.query(report, settings, now).await,
        }
    }

    /// What one peer answers alone.
    async fn query(
        &self,
        report: &mut Report<'_, '_>,
        settings: Settings<'_>,
        now: SystemTime,
    ) -> Result<(), PeerError> {
        let ask = |verb: &str, peers: &PeerOptions| {
            let peer = peers.one(verb, settings)?;
            let caller = Caller::new(settings, now)?;
            Ok::<_, PeerError>(Question { caller, peer })
        };
        match self {
            Self::Install { file, peers, .. } => {
                package::install(file, ask("install", peers)?, report).await
            }
            Self::QueryInstalled { output, peers, .. } => {
                let question = ask("queryinstalled", peers)?;
                queries::installed(question, output.is_json(), report).await
            }
            Self::GetInstalledPackage {
                package_id,
                output_directory,
                peers,
                ..
            } => {
                let question = ask("getinstalledpackage", peers)?;
                package::fetch(package_id, output_directory, question).await
            }
            Self::QueryApproved {
                name,
                sequence,
                output,
                peers,
                ..
            } => {
                let question = ask("queryapproved", peers)?;
                queries::approved(question, name, *sequence, output.is_json(), report).await
            }
            Self::CheckCommitReadiness {
                definition,
                inspect,
                output,
                peers,
                ..
            } => {
                let question = ask("checkcommitreadiness", peers)?;
                let is_json = output.is_json();
                queries::readiness(question, definition, *inspect, is_json, report).await
            }
            Self::QueryCommitted {
                name,
                output,
                peers,
                ..
            } => {
                let question = ask("querycommitted", peers)?;
                queries::committed(question, name, output.is_json(), report).await
            }
            Self::Package { .. }
            | Self::CalculatePackageId { .. }
            | Self::ApproveForMyOrg { .. }
            | Self::Commit { .. } => Ok(()),
        }
    }
}

impl Submission {
    async fn submit(
        &self,
        channel: &str,
        input: Input,
        caller: &Caller<'_>,
        report: &mut Report<'_, '_>,
        orderer: &OrdererOptions,
    ) -> Result<(), PeerError> {
        let transaction = Transaction {
            channel,
            peers: &self.peers.all(caller.settings)?,
            orderer,
            call: caller.call(channel, input)?,
            patience: self.wait.then_some(self.patience),
        };
        let what = "failed to endorse proposal";
        let may_be_ordered =
            |answer: &ProposalResponse| succeeded(answer, "proposal failed").map(drop);
        let submitted = transaction.submit(caller, report, what, may_be_ordered);
        submitted.await.map(drop)
    }
}
