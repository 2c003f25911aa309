//! `cscc`: the channels of a node, and their configurations.

use std::sync::Arc;

use bytes::Bytes;
use quire_ledger::{CONFIG_KEY, CONFIG_NAMESPACE, Reader, Simulator};
use quire_wire::Message as _;
use quire_wire::config::ConfigEnvelope;
use quire_wire::query::{ChannelInfo, ChannelQueryResponse};

use super::CSCC;
use super::call::{SystemCall, no, yes};
use super::host::Host;
use crate::lifecycle::VERSION;
use crate::{
    Answer, Call, Chaincode, ChaincodeError, Invocation, Proposed, Simulated, Transaction, Weight,
};

const JOIN: &str = "JoinChain";
const JOIN_BY_SNAPSHOT: &str = "JoinChainBySnapshot";
const SNAPSHOT_STATUS: &str = "JoinBySnapshotStatus";
pub(super) const CONFIG_BLOCK: &str = "GetConfigBlock";
pub(super) const CHANNEL_CONFIG: &str = "GetChannelConfig";
const CHANNELS: &str = "GetChannels";

/// `cscc`.
#[derive(Debug)]
pub struct Cscc {
    host: Arc<dyn Host>,
}

impl Cscc {
    /// `cscc` of a node.
    #[must_use]
    pub fn new(host: Arc<dyn Host>) -> Self {
        Self { host }
    }

    /// Answers a call. To join a channel is refused: the node's operator does that.
    ///
    /// # Errors
    /// With Fabric's status and text, or the ledger could not be read.
    pub fn answer(&self, transaction: &Transaction) -> Result<Answer, ChaincodeError> {
        let call = SystemCall {
            host: &*self.host,
            transaction,
        };
        let function = &*call.text(0);
        let least = match function {
            CHANNELS | SNAPSHOT_STATUS => 1,
            _ => 2,
        };
        if call.len() < least {
            let text = format!("Incorrect number of arguments, {}", call.len());
            return Err(no(text));
        }
        call.check_not_called_by_another(CSCC, "Rejecting invoke of CSCC from another chaincode")?;
        let resource = format!("{CSCC}/{function}");
        let channel = &*call.text(1);
        match function {
            JOIN | JOIN_BY_SNAPSHOT => {
                call.check_access(&resource, "", |why| denied(function, &why))?;
                Err(no(format!(
                    "{function} is not served: a channel is joined by the node's operator, with `quire channel join`"
                )))
            }
            SNAPSHOT_STATUS => {
                call.check_access(&resource, "", |why| denied(function, &why))?;
                // Nothing is ever under way.
                Ok(Answer::of(Bytes::new()))
            }
            CHANNELS => {
                call.check_access(&resource, "", |why| denied(function, &why))?;
                Ok(self.channels())
            }
            CONFIG_BLOCK => {
                call.check_access(&resource, channel, |why| denied_in(function, channel, &why))?;
                let reader = self.host.reader(channel);
                let unknown = || no(format!("Unknown channel ID, {channel}"));
                config_block(&reader.ok_or_else(unknown)?)
            }
            CHANNEL_CONFIG if channel.is_empty() => Err(no("empty channel name provided")),
            CHANNEL_CONFIG => {
                call.check_access(&resource, channel, |why| denied_in(function, channel, &why))?;
                let reader = self.host.reader(channel);
                let unknown = || no(format!("unknown channel ID, {channel}"));
                channel_config(&reader.ok_or_else(unknown)?)
            }
            other => Err(no(format!("Requested function {other} not found."))),
        }
    }

    fn channels(&self) -> Answer {
        let channels = self.host.channels().into_iter();
        let channels = channels.map(|channel_id| ChannelInfo { channel_id });
        yes(&ChannelQueryResponse {
            channels: channels.collect(),
        })
    }
}

impl Chaincode for Cscc {
    fn invoke(
        &self,
        _: &Call,
        proposed: &dyn Proposed,
        simulator: Simulator,
    ) -> Invocation<Simulated> {
        let answer = self.answer(&proposed.transaction());
        Invocation::Done(Simulated { simulator, answer })
    }

    fn version(&self) -> String {
        VERSION.to_owned()
    }

    fn weight(&self, _: &Call) -> Weight {
        Weight::Keys
    }
}

fn denied(function: &str, why: &str) -> String {
    format!("access denied for [{function}]: {why}")
}

fn denied_in(function: &str, channel: &str, why: &str) -> String {
    format!("access denied for [{function}][{channel}]: {why}")
}

/// The block of the configuration in force.
fn config_block(reader: &Reader) -> Result<Answer, ChaincodeError> {
    let found = reader.snapshot().get(CONFIG_NAMESPACE, CONFIG_KEY)?;
    let number = found.ok_or_else(without)?.version.block;
    let block = reader.block(number)?.ok_or_else(without)?;
    Ok(yes(&block.to_message()))
}

/// The configuration in force.
fn channel_config(reader: &Reader) -> Result<Answer, ChaincodeError> {
    let found = reader.snapshot().get(CONFIG_NAMESPACE, CONFIG_KEY)?;
    let envelope = ConfigEnvelope::decode(found.ok_or_else(without)?.value);
    let envelope = envelope.map_err(|error| no(error.to_string()))?;
    Ok(yes(&envelope.config.ok_or_else(without)?))
}

fn without() -> ChaincodeError {
    no("the channel has no configuration here")
}
