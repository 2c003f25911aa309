//! The orderer: which it is, and what it is sent.

use std::path::PathBuf;
use std::time::Duration;

use quire_wire::Message as _;
use quire_wire::common::Envelope;
use quire_wire::config::{Config, OrdererAddresses};
use quire_wire::deliver::status;

use super::caller::Caller;
use super::endpoint::{Endpoint, EndpointTls};
use super::error::PeerError;
use super::flags::duration;
use super::settings::ClientFiles;

/// The orderer of a command line.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Orderer")]
pub(super) struct OrdererOptions {
    /// Ordering service endpoint
    #[arg(short = 'o', long, global = true)]
    orderer: Option<String>,
    /// Use TLS when communicating with the orderer endpoint
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value = "false", action = clap::ArgAction::Set)]
    tls: bool,
    /// Use mutual TLS when communicating with the orderer endpoint
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        default_value = "false", action = clap::ArgAction::Set)]
    clientauth: bool,
    /// Path to file containing PEM-encoded trusted certificate(s) for the ordering endpoint
    #[arg(long, global = true)]
    cafile: Option<PathBuf>,
    /// Path to file containing PEM-encoded private key to use for mutual TLS communication with the orderer endpoint
    #[arg(long, global = true)]
    keyfile: Option<PathBuf>,
    /// Path to file containing PEM-encoded X509 public key to use for mutual TLS communication with the orderer
    /// endpoint
    #[arg(long, global = true)]
    certfile: Option<PathBuf>,
    /// The hostname override to use when validating the TLS connection to the orderer
    #[arg(long = "ordererTLSHostnameOverride", global = true)]
    hostname_override: Option<String>,
    /// Timeout for client to connect
    #[arg(long = "connTimeout", global = true, default_value = "3s", value_parser = duration)]
    connect_timeout: Duration,
}

impl OrdererOptions {
    /// The orderer that is named, if it is by `host:port`.
    pub(super) fn named(&self) -> Result<Option<Endpoint>, PeerError> {
        match self.orderer.as_deref() {
            Some(address) if address.split(':').count() == 2 => self.at(address).map(Some),
            _ => Ok(None),
        }
    }

    /// The orderer that must be named.
    pub(super) fn needed(&self) -> Result<Endpoint, PeerError> {
        let named = self.orderer.clone().unwrap_or_default();
        self.named()?.ok_or(PeerError::OrdererAddress(named))
    }

    /// Those that are named, apart by commas, or the first that a channel's configuration names.
    pub(super) async fn of_channel(
        &self,
        caller: &Caller<'_>,
        peer: &Endpoint,
        channel: &str,
    ) -> Result<Vec<Endpoint>, PeerError> {
        let addresses = match self.orderer.as_deref() {
            Some(addresses) if !addresses.is_empty() => addresses.to_owned(),
            _ => in_configuration(caller, peer, channel).await?,
        };
        addresses
            .split(',')
            .map(|address| self.at(address))
            .collect()
    }

    fn at(&self, address: &str) -> Result<Endpoint, PeerError> {
        Ok(Endpoint {
            address: address.to_owned(),
            dial_timeout: self.connect_timeout,
            tls: self.tls.then(|| self.endpoint_tls()).transpose()?,
        })
    }

    fn endpoint_tls(&self) -> Result<EndpointTls, PeerError> {
        let needed = |file: &Option<PathBuf>, name: &str| {
            let missing = || PeerError::Usage(format!("{name} is needed"));
            file.clone().ok_or_else(missing)
        };
        let client = if self.clientauth {
            Some(ClientFiles {
                certificate: needed(&self.certfile, "--certfile")?,
                key: needed(&self.keyfile, "--keyfile")?,
            })
        } else {
            None
        };
        Ok(EndpointTls {
            roots: needed(&self.cafile, "--cafile")?,
            host_override: self.hostname_override.clone(),
            client,
        })
    }
}

/// Asks a peer for the channel's configuration: the addresses of organisations count before those of the channel.
async fn in_configuration(
    caller: &Caller<'_>,
    peer: &Endpoint,
    channel: &str,
) -> Result<String, PeerError> {
    let arguments = ["GetChannelConfig".into(), channel.to_owned().into()];
    let what = format!("error getting channel ({channel}) orderer endpoint");
    let asked = caller
        .ask(peer, "", "cscc", arguments.into(), &what)
        .await?;
    let response = asked.response.unwrap_or_default();
    if !matches!(response.status, 0 | status::SUCCESS) {
        return Err(PeerError::BadResponse(response));
    }
    let config = Config::decode(response.payload).map_err(PeerError::decode("channel config"))?;
    let root = config.channel_group.unwrap_or_default();
    let organizations = root.groups.get("Orderer").into_iter();
    let organizations = organizations.flat_map(|orderer| orderer.groups.values());
    let values = organizations.filter_map(|organization| organization.values.get("Endpoints"));
    for value in values.chain(root.values.get("OrdererAddresses")) {
        let decoded = OrdererAddresses::decode(value.value.clone());
        let decoded = decoded.map_err(PeerError::decode("addresses of orderers"))?;
        if let Some(first) = decoded.addresses.into_iter().next() {
            return Ok(first);
        }
    }
    Err(PeerError::NoOrderer(channel.to_owned()))
}

/// Sends an envelope to each of the orderers, which all must take it.
pub(super) async fn broadcast(orderers: &[Endpoint], envelope: &Envelope) -> Result<(), PeerError> {
    for orderer in orderers {
        let client = orderer.connect().await?;
        let sent = client.broadcast(envelope.clone()).await;
        let answer = sent.map_err(PeerError::rpc("could not send to orderer node"))?;
        if answer.status != status::SUCCESS {
            return Err(PeerError::NotOrdered {
                status: status::name(answer.status),
                info: answer.info,
            });
        }
    }
    Ok(())
}
