//! `cryptogen`: keys and certificates for the organisations of a test network.
//!
//! * `spec`: the network, as `crypto-config.yaml` describes it.
//! * `organization`: the folders of an organisation.
//! * `authority`, `certificate`, `key`: what is in them.

mod authority;
mod certificate;
mod error;
mod key;
mod organization;
mod spec;
mod template;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use time::OffsetDateTime;

use crate::arguments::parse;
use crate::files;
use crate::streams::{FAILED, Streams};
use crate::version::version;

use error::GenerateError;
use organization::Kind;
use spec::Network;

const NAME: &str = "cryptogen";

/// The network that is made where no file describes one.
const DEFAULT_NETWORK: &str = include_str!("default.yaml");

/// Utility for generating Hyperledger Fabric key material
#[derive(Debug, clap::Parser)]
#[command(name = NAME)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
#[command(rename_all = "lower")]
enum Command {
    /// Generate key material
    Generate {
        /// The output directory in which to place artifacts
        #[arg(long, default_value = "crypto-config")]
        output: PathBuf,
        /// The configuration template to use
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Show the default configuration template
    ShowTemplate,
    /// Show version information
    Version,
    /// Extend existing network
    Extend {
        /// The input directory in which existing network place
        #[arg(long, default_value = "crypto-config")]
        input: PathBuf,
        /// The configuration template to use
        #[arg(long)]
        config: Option<PathBuf>,
    },
}

/// Runs the tool. What it certifies begins at `now`.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    streams: &mut Streams<'_>,
    now: SystemTime,
) -> u8 {
    let command = match parse::<Arguments>(NAME, arguments, FAILED, streams) {
        Ok(arguments) => arguments.command,
        Err(status) => return status,
    };
    let result = match command {
        Command::Generate { output, config } => make(
            &output,
            config.as_deref(),
            organization::generate,
            now,
            streams,
        ),
        Command::Extend { input, config } => make(
            &input,
            config.as_deref(),
            organization::extend,
            now,
            streams,
        ),
        Command::ShowTemplate => print(DEFAULT_NETWORK, streams),
        Command::Version => print(&version(NAME), streams),
    };
    streams.finish(NAME, result)
}

type Maker = fn(&Path, &spec::OrganizationSpec, Kind, OffsetDateTime) -> Result<(), GenerateError>;

/// Makes every organisation of a network, or adds to it.
fn make(
    folder: &Path,
    config: Option<&Path>,
    maker: Maker,
    now: SystemTime,
    streams: &mut Streams<'_>,
) -> Result<(), GenerateError> {
    let network = match config {
        Some(path) => Network::from_yaml(&files::read(path)?)?,
        None => Network::from_yaml(DEFAULT_NETWORK.as_bytes())?,
    };
    let begin = authority::beginning(OffsetDateTime::from(now));
    for (kind, specs) in [
        (Kind::Peer, network.peer_orgs),
        (Kind::Orderer, network.orderer_orgs),
    ] {
        for spec in specs {
            let spec = spec.rendered(kind.names().0)?;
            // As Fabric does, for organisations of peers that are new.
            if kind == Kind::Peer && !organization::folder(folder, &spec, kind).exists() {
                print(&format!("{}\n", spec.domain), streams)?;
            }
            maker(folder, &spec, kind, begin)?;
        }
    }
    Ok(())
}

fn print(text: &str, streams: &mut Streams<'_>) -> Result<(), GenerateError> {
    streams.output.write_all(text.as_bytes())?;
    Ok(())
}
