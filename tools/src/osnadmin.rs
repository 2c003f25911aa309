//! `osnadmin`: the channels of an orderer, over its participation API.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use quire_identity::config::parse_duration;
use quire_wire::common::{Block, ChannelHeader, Envelope, Payload};
use quire_wire::{DecodeError, Message as _};
use serde::Serialize as _;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::arguments::parse;
use crate::files::{self, FileError};
use crate::streams::{FAILED, Streams};

use crate::client::{self, Call, ClientError, Part, Reply, Tls};

const NAME: &str = "osnadmin";

/// Orderer Service Node (OSN) administration
#[derive(Debug, clap::Parser)]
#[command(name = NAME)]
struct Arguments {
    /// Admin endpoint of the OSN
    #[arg(short = 'o', long, global = true)]
    orderer_address: Option<String>,
    /// Path to file containing PEM-encoded TLS CA certificate(s) for the OSN
    #[arg(long, global = true)]
    ca_file: Option<PathBuf>,
    /// Path to file containing PEM-encoded X509 public key to use for mutual TLS communication with the OSN
    #[arg(long, global = true)]
    client_cert: Option<PathBuf>,
    /// Path to file containing PEM-encoded private key to use for mutual TLS communication with the OSN
    #[arg(long, global = true)]
    client_key: Option<PathBuf>,
    /// Remove the HTTP status message from the command output
    #[arg(long, global = true)]
    no_status: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Channel actions
    #[command(subcommand)]
    Channel(ChannelCommand),
}

#[derive(Debug, clap::Subcommand)]
enum ChannelCommand {
    /// Join an Ordering Service Node (OSN) to a channel. If the channel does not yet exist, it will be created.
    Join {
        /// Channel ID
        #[arg(short = 'c', long = "channelID")]
        channel: String,
        /// Path to the file containing an up-to-date config block for the channel
        #[arg(short = 'b', long)]
        config_block: PathBuf,
    },
    /// List channel information for an Ordering Service Node (OSN). If the channelID flag is set, more detailed
    /// information will be provided for that channel.
    List {
        /// Channel ID
        #[arg(short = 'c', long = "channelID")]
        channel: Option<String>,
    },
    /// Remove a channel from an Ordering Service Node (OSN).
    Remove {
        /// Channel ID
        #[arg(short = 'c', long = "channelID")]
        channel: String,
    },
    /// Update an Ordering Service Node (OSN) to a channel.
    Update {
        /// Channel ID
        #[arg(short = 'c', long = "channelID")]
        channel: String,
        /// Path to the file containing an up-to-date config update envelope for the channel
        #[arg(short = 'e', long)]
        config_update_envelope: PathBuf,
        /// The amount of time to shift backwards for certificate expiration checks during TLS handshakes with the
        /// orderer endpoint
        #[arg(short = 't', long = "tlsHandshakeTimeShift", value_parser = duration)]
        time_shift: Option<Duration>,
    },
    /// Fetch a specified block, writing it to a file.
    Fetch {
        /// Channel ID
        #[arg(short = 'c', long = "channelID")]
        channel: String,
        /// Block ID - <newest|oldest|config|(number)>
        #[arg(short = 'b', long = "blockID", value_parser = block_id)]
        block: String,
        /// Path to a file.
        #[arg(short = 'f', long = "outputfile")]
        output: PathBuf,
        /// The amount of time to shift backwards for certificate expiration checks during TLS handshakes with the
        /// orderer endpoint
        #[arg(short = 't', long = "tlsHandshakeTimeShift", value_parser = duration)]
        time_shift: Option<Duration>,
    },
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "not a duration such as 10m".to_owned())
}

fn block_id(text: &str) -> Result<String, String> {
    let named = matches!(text, "newest" | "oldest" | "config");
    if named || text.parse::<u64>().is_ok() {
        return Ok(text.to_owned());
    }
    Err("neither newest, oldest, config nor a number".to_owned())
}

/// Why an orderer was not asked, or did not answer.
#[derive(Debug, thiserror::Error)]
enum AdminError {
    #[error("{0} is needed")]
    Missing(&'static str),
    #[error("{} is no block with a configuration, and no envelope with one: {reason}", path.display())]
    NoConfiguration { path: PathBuf, reason: DecodeError },
    #[error("{} has no envelope", .0.display())]
    NoEnvelope(PathBuf),
    #[error("specified --channelID {asked} does not match channel ID {found} in {}", path.display())]
    OtherChannel {
        path: PathBuf,
        asked: String,
        found: String,
    },
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error("{0}")]
    File(#[from] FileError),
    #[error("{0}")]
    Stream(#[from] std::io::Error),
}

/// Runs the tool. Certificates are judged as of `now`.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    streams: &mut Streams<'_>,
    now: SystemTime,
) -> u8 {
    let arguments = match parse::<Arguments>(NAME, arguments, FAILED, streams) {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    let result = arguments.act(streams, now);
    streams.finish(NAME, result)
}

impl Arguments {
    fn act(&self, streams: &mut Streams<'_>, now: SystemTime) -> Result<(), AdminError> {
        let Command::Channel(command) = &self.command;
        let address = self.orderer_address.as_deref();
        let address = address.ok_or(AdminError::Missing("--orderer-address"))?;
        let call = command.call()?;
        let shifted = now.checked_sub(command.time_shift()).unwrap_or(now);
        let tls = self.tls(shifted)?;
        let reply = client::send(address, tls, call)?;
        if !self.no_status {
            writeln!(streams.output, "Status: {}", reply.status)?;
        }
        match command {
            ChannelCommand::Fetch { output, .. } if reply.status == 200 => {
                files::write(output, &reply.body, 0o644)?;
            }
            _ => show(&reply, streams)?,
        }
        Ok(())
    }

    /// Without a CA it is plain HTTP, as with Fabric's tool.
    fn tls(&self, now: SystemTime) -> Result<Option<Tls>, AdminError> {
        let Some(authority) = &self.ca_file else {
            return Ok(None);
        };
        let certificate = self.client_cert.as_deref();
        let key = self.client_key.as_deref();
        Ok(Some(Tls {
            authorities: files::read(authority)?,
            client: Some((
                files::read(certificate.ok_or(AdminError::Missing("--client-cert"))?)?,
                files::read(key.ok_or(AdminError::Missing("--client-key"))?)?,
            )),
            now,
        }))
    }
}

impl ChannelCommand {
    fn time_shift(&self) -> Duration {
        match self {
            Self::Update { time_shift, .. } | Self::Fetch { time_shift, .. } => {
                time_shift.unwrap_or_default()
            }
            Self::Join { .. } | Self::List { .. } | Self::Remove { .. } => Duration::ZERO,
        }
    }

    fn call(&self) -> Result<Call, AdminError> {
        const CHANNELS: &str = "/participation/v1/channels";
        let one = |channel: &str| format!("{CHANNELS}/{channel}");
        Ok(match self {
            Self::Join {
                channel,
                config_block,
            } => {
                let content = files::read(config_block)?;
                check_channel(config_block, channel, || {
                    let block = Block::decode(content.as_slice())?;
                    Ok(block.data.and_then(|data| data.data.into_iter().next()))
                })?;
                let part = Part {
                    name: "config-block",
                    file: "config.block",
                    content,
                };
                Call::new("POST", CHANNELS.to_owned(), Some(part))
            }
            Self::Update {
                channel,
                config_update_envelope,
                ..
            } => {
                let content = files::read(config_update_envelope)?;
                let envelope = content.clone().into();
                check_channel(config_update_envelope, channel, || Ok(Some(envelope)))?;
                let part = Part {
                    name: "config-update-envelope",
                    file: "config-update.envelope",
                    content,
                };
                Call::new("PUT", CHANNELS.to_owned(), Some(part))
            }
            Self::List { channel: None } => Call::new("GET", CHANNELS.to_owned(), None),
            Self::List {
                channel: Some(channel),
            } => Call::new("GET", one(channel), None),
            Self::Remove { channel } => Call::new("DELETE", one(channel), None),
            Self::Fetch { channel, block, .. } => {
                let path = format!("{}/blocks/{block}", one(channel));
                Call::new("GET", path, None)
            }
        })
    }
}

/// Makes sure that a file is of the channel that it is sent for.
fn check_channel(
    path: &Path,
    asked: &str,
    envelope: impl FnOnce() -> Result<Option<bytes::Bytes>, DecodeError>,
) -> Result<(), AdminError> {
    let no_configuration = |reason| AdminError::NoConfiguration {
        path: path.to_owned(),
        reason,
    };
    let envelope = envelope().map_err(no_configuration)?;
    let envelope = envelope.ok_or_else(|| AdminError::NoEnvelope(path.to_owned()))?;
    let found = channel_of(envelope).map_err(no_configuration)?;
    if found == asked {
        return Ok(());
    }
    Err(AdminError::OtherChannel {
        path: path.to_owned(),
        asked: asked.to_owned(),
        found,
    })
}

fn channel_of(envelope: bytes::Bytes) -> Result<String, DecodeError> {
    let envelope = Envelope::decode(envelope)?;
    let payload = Payload::decode(envelope.payload)?;
    let header = payload.header.unwrap_or_default();
    Ok(ChannelHeader::decode(header.channel_header)?.channel_id)
}

/// JSON with a tabulator a level; what is no JSON as it is.
fn show(reply: &Reply, streams: &mut Streams<'_>) -> std::io::Result<()> {
    if reply.body.is_empty() {
        return writeln!(streams.output);
    }
    let Ok(value) = serde_json::from_slice::<Value>(&reply.body) else {
        streams.output.write_all(&reply.body)?;
        return writeln!(streams.output);
    };
    let mut text = Vec::new();
    let formatter = PrettyFormatter::with_indent(b"\t");
    value.serialize(&mut Serializer::with_formatter(&mut text, formatter))?;
    streams.output.write_all(&text)?;
    writeln!(streams.output)
}
