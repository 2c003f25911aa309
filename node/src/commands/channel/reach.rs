//! The node that has a channel: stopped, and then opened here, or running, and then asked on its socket.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use quire_ledger::OpenError;
use quire_peer::config::InState;
use quire_wire::config::{Config, ConfigUpdateEnvelope};
use quire_wire::{DecodeError, Message as _};

use super::stopped;
use crate::admin::client::{self, AskError};
use crate::admin::{self, Failure, Message};
use crate::advice;
use crate::arguments::DataArguments;
use crate::commands::verb::Needs;
use crate::exit::{print_failure, print_not_asked};
use crate::node::{ConfigurationError, FIRST_CHANNEL, Node, NodeError};

/// A channel that is looked at.
#[derive(Clone, Debug, Args)]
pub(super) struct ChannelArguments {
    /// The channel.
    #[arg(long, value_name = "NAME", default_value = FIRST_CHANNEL)]
    channel: String,
    #[command(flatten)]
    data: DataArguments,
}

impl ChannelArguments {
    pub(super) fn name(&self) -> &str {
        &self.channel
    }

    pub(super) fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.data.data)
    }

    /// The configuration in force.
    pub(super) fn configuration(&self) -> Result<Config, ReachError> {
        let reach = Reach::open(&self.data)?;
        let shown = reach.configuration(&self.channel);
        reach.close();
        Ok(shown?.config)
    }
}

/// A node within reach.
pub(super) enum Reach<'a> {
    Stopped(Box<Node>),
    Running(&'a Path),
}

/// Why a node did not do what it was asked for.
#[derive(Debug)]
pub(super) enum ReachError {
    Node(NodeError),
    Configuration(ConfigurationError),
    Asked(AskError),
    Failed(Failure),
    /// The node's answer cannot be read.
    Answer(DecodeError),
}

impl From<ConfigurationError> for ReachError {
    fn from(error: ConfigurationError) -> Self {
        Self::Configuration(error)
    }
}

impl ReachError {
    /// Prints why.
    pub(super) fn print(&self) -> std::process::ExitCode {
        match self {
            Self::Node(error) => crate::exit::failed(error, error.open().and_then(advice::of_open)),
            Self::Configuration(error) => crate::exit::failed(error, None),
            Self::Asked(error) => print_not_asked(error),
            Self::Failed(failure) => print_failure(failure),
            Self::Answer(error) => crate::exit::failed(error, None),
        }
    }
}

impl<'a> Reach<'a> {
    pub(super) fn open(data: &'a DataArguments) -> Result<Self, ReachError> {
        match open(data) {
            Ok(node) => Ok(Self::Stopped(Box::new(node))),
            Err(NodeError::Open(OpenError::InUse(_))) => Ok(Self::Running(&data.data)),
            Err(error) => Err(ReachError::Node(error)),
        }
    }

    /// The configuration of a channel.
    pub(super) fn configuration(&self, channel: &str) -> Result<InState, ReachError> {
        match self {
            Self::Stopped(node) => Ok(node.configuration(channel)?),
            Self::Running(data) => {
                let channel = channel.to_owned();
                let request = admin::OfChannel { channel };
                in_state(ask(data, "/config", &request)?)
            }
        }
    }

    /// Adds the signature of the organisation's administrator.
    pub(super) fn sign(&self, update: &mut ConfigUpdateEnvelope) -> Result<(), ReachError> {
        match self {
            Self::Stopped(node) => Ok(node.sign_update(update)?),
            Self::Running(data) => {
                let request = admin::Update {
                    channel: String::new(),
                    update: STANDARD.encode(update.encode_to_vec()),
                };
                match ask(data, "/config/sign", &request)? {
                    Message::SignedUpdate { update: signed } => {
                        *update = decoded(&signed)?;
                        Ok(())
                    }
                    other => Err(unexpected(&other)),
                }
            }
        }
    }

    /// Hands the update in, and waits until it is in force.
    pub(super) fn submit(
        &self,
        channel: &str,
        update: &ConfigUpdateEnvelope,
    ) -> Result<InState, ReachError> {
        match self {
            Self::Stopped(node) => Ok(node.submit_update(channel, update)?),
            Self::Running(data) => {
                let request = admin::Update {
                    channel: channel.to_owned(),
                    update: STANDARD.encode(update.encode_to_vec()),
                };
                in_state(ask(data, "/config/submit", &request)?)
            }
        }
    }

    /// Ends what was begun here.
    pub(super) fn close(self) {
        if let Self::Stopped(node) = self {
            node.stop();
        }
    }
}

fn open(data: &DataArguments) -> Result<Node, NodeError> {
    let node = stopped::open(data)?;
    node.open_channels(&mut |_| {})?;
    Ok(node)
}

fn ask(data: &Path, path: &str, request: &impl serde::Serialize) -> Result<Message, ReachError> {
    match client::ask(data, "POST", path, request, &mut |_| {}) {
        Ok(Message::Failed(failure)) => Err(ReachError::Failed(failure)),
        Ok(answer) => Ok(answer),
        Err(error) => Err(ReachError::Asked(error)),
    }
}

fn in_state(answer: Message) -> Result<InState, ReachError> {
    match answer {
        Message::Config { block, config } => Ok(InState {
            number: block,
            config: decoded::<Config>(&config)?,
        }),
        other => Err(unexpected(&other)),
    }
}

fn decoded<M: quire_wire::Message + Default>(text: &str) -> Result<M, ReachError> {
    let bytes = STANDARD.decode(text).unwrap_or_default();
    M::decode(&bytes[..]).map_err(ReachError::Answer)
}

fn unexpected(answer: &Message) -> ReachError {
    ReachError::Asked(AskError::Refused(format!("{answer:?}")))
}
