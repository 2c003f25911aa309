//! `configtxlator`: messages to JSON and back, and the update between two configurations, as a command and over HTTP.

mod server;
mod update;

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use quire_wire::json;

use crate::arguments::parse;
use crate::files::{self, FileError};
use crate::streams::{FAILED, Streams};
use crate::version::version;

use update::UpdateError;

pub use server::router;

const NAME: &str = "configtxlator";

/// Utility for generating Hyperledger Fabric channel configurations
#[derive(Debug, clap::Parser)]
#[command(name = NAME)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
#[command(rename_all = "snake_case")]
enum Command {
    /// Converts a JSON document to protobuf.
    ProtoEncode(Conversion),
    /// Converts a proto message to JSON.
    ProtoDecode(Conversion),
    /// Takes two marshaled common.Config messages and computes the config update which transitions between the two.
    ComputeUpdate(Update),
    /// Start the configtxlator REST server
    Start(Server),
    /// Show version information
    Version,
}

#[derive(Debug, clap::Args)]
#[command(rename_all = "snake_case")]
struct Conversion {
    /// The type of protobuf structure. For example, 'common.Config'.
    #[arg(long)]
    r#type: String,
    /// The file to read; standard input where none is named.
    #[arg(long)]
    input: Option<PathBuf>,
    /// The file to write; standard output where none is named.
    #[arg(long)]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(rename_all = "snake_case")]
struct Update {
    /// The original config message.
    #[arg(long)]
    original: PathBuf,
    /// The updated config message.
    #[arg(long)]
    updated: PathBuf,
    /// The name of the channel for this update.
    #[arg(long)]
    channel_id: String,
    /// The file to write; standard output where none is named.
    #[arg(long)]
    output: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Server {
    /// The hostname or IP on which the REST server will listen
    #[arg(long, default_value = "0.0.0.0")]
    hostname: String,
    /// The port on which the REST server will listen
    #[arg(long, default_value_t = 7059)]
    port: u16,
    /// Allowable CORS domains, e.g. '*' or 'www.example.com' (may be repeated).
    #[arg(long = "CORS")]
    origins: Vec<String>,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
enum ToolError {
    #[error("there is no message type {0:?}")]
    NoType(String),
    #[error("{0}")]
    Json(#[from] json::Error),
    #[error("{0}")]
    Update(#[from] UpdateError),
    #[error("{0}")]
    File(#[from] FileError),
    #[error("{0}")]
    Stream(#[from] std::io::Error),
}

/// Runs the tool.
pub fn run(arguments: impl IntoIterator<Item = OsString>, streams: &mut Streams<'_>) -> u8 {
    let command = match parse::<Arguments>(NAME, arguments, FAILED, streams) {
        Ok(arguments) => arguments.command,
        Err(status) => return status,
    };
    let result = match command {
        Command::ProtoEncode(conversion) => convert(&conversion, encoded, streams),
        Command::ProtoDecode(conversion) => convert(&conversion, decoded, streams),
        Command::ComputeUpdate(update) => compute(&update, streams),
        Command::Start(server) => serve(server, streams),
        Command::Version => write(None, version(NAME).as_bytes(), streams),
    };
    streams.finish(NAME, result)
}

type Converter = fn(&'static json::MessageType, &Bytes) -> Result<Vec<u8>, json::Error>;

fn encoded(
    message_type: &'static json::MessageType,
    input: &Bytes,
) -> Result<Vec<u8>, json::Error> {
    json::read(message_type, input)
}

fn decoded(
    message_type: &'static json::MessageType,
    input: &Bytes,
) -> Result<Vec<u8>, json::Error> {
    json::print(message_type, input.clone()).map(String::into_bytes)
}

fn convert(
    conversion: &Conversion,
    converter: Converter,
    streams: &mut Streams<'_>,
) -> Result<(), ToolError> {
    let message_type = message_type(&conversion.r#type)?;
    let input = match &conversion.input {
        Some(path) => files::read(path)?,
        None => files::read_all(streams.input)?,
    };
    let output = converter(message_type, &input.into())?;
    write(conversion.output.as_deref(), &output, streams)
}

fn message_type(name: &str) -> Result<&'static json::MessageType, ToolError> {
    json::message_type(name).ok_or_else(|| ToolError::NoType(name.to_owned()))
}

fn compute(arguments: &Update, streams: &mut Streams<'_>) -> Result<(), ToolError> {
    let original = files::read(&arguments.original)?;
    let updated = files::read(&arguments.updated)?;
    let update = update::between(original.into(), updated.into(), &arguments.channel_id)?;
    write(arguments.output.as_deref(), &update, streams)
}

/// Serves until the process ends.
fn serve(server: Server, streams: &mut Streams<'_>) -> Result<(), ToolError> {
    let listener = TcpListener::bind((&*server.hostname, server.port))?;
    listener.set_nonblocking(true)?;
    streams.tell(&format!(
        "Serving HTTP requests on {}",
        listener.local_addr()?
    ));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Ok(axum::serve(listener, server::router(server.origins)).await?)
    })
}

fn write(path: Option<&Path>, output: &[u8], streams: &mut Streams<'_>) -> Result<(), ToolError> {
    let Some(path) = path else {
        streams.output.write_all(output)?;
        streams.output.flush()?;
        return Ok(());
    };
    Ok(files::write(path, output, 0o600)?)
}
