//! `peer chaincode`: calls of chaincodes.

use std::time::{Duration, SystemTime};

use quire_wire::peer::ProposalResponse;

use super::caller::{Caller, Input};
use super::endpoint::PeerOptions;
use super::error::PeerError;
use super::flags::{PassedOver, duration};
use super::orderer::OrdererOptions;
use super::report::{CHAINCODE, Report};
use super::settings::Settings;
use super::transaction::Transaction;
use super::{input, prototext};

/// Fabric's lowest status of a failure.
const FAILURE: i32 = 400;

#[derive(Debug, clap::Subcommand)]
pub(super) enum ChaincodeCommand {
    /// Invoke the specified chaincode. It will try to commit the endorsed transaction to the network.
    Invoke {
        #[command(flatten)]
        call: CallOptions,
        /// Is this invocation for init (useful for supporting legacy chaincodes in the new lifecycle)
        #[arg(short = 'I', long = "isInit", num_args = 0..=1, require_equals = true,
            default_missing_value = "true", default_value = "false", action = clap::ArgAction::Set)]
        is_init: bool,
        /// Whether to wait for the event from each peer's deliver filtered service signifying that the 'invoke'
        /// transaction has been committed successfully
        #[arg(long = "waitForEvent", num_args = 0..=1, require_equals = true,
            default_missing_value = "true", default_value = "false", action = clap::ArgAction::Set)]
        wait: bool,
        /// Time to wait for that event
        #[arg(long = "waitForEventTimeout", default_value = "30s", value_parser = duration)]
        patience: Duration,
    },
    /// Get endorsed result of chaincode function call and print it. It won't generate transaction.
    Query {
        #[command(flatten)]
        call: CallOptions,
        /// If true, output the query value as raw bytes, otherwise format as a printable string
        #[arg(short = 'r', long)]
        raw: bool,
        /// If true, output the query value byte array in hexadecimal. Incompatible with --raw
        #[arg(short = 'x', long, conflicts_with = "raw")]
        hex: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct CallOptions {
    /// The channel on which this command should be executed
    #[arg(short = 'C', long = "channelID", default_value = "")]
    channel: String,
    /// Name of the chaincode
    #[arg(short = 'n', long, default_value = "")]
    name: String,
    /// Constructor message for the chaincode in JSON format
    #[arg(short = 'c', long, default_value = "{}")]
    ctor: String,
    /// Transient map of arguments in JSON encoding
    #[arg(long, default_value = "")]
    transient: String,
    #[command(flatten)]
    peers: PeerOptions,
    #[command(flatten)]
    passed_over: PassedOver,
}

impl CallOptions {
    fn input(&self, is_init: bool) -> Result<Input, PeerError> {
        if self.channel.is_empty() {
            return Err(PeerError::Missing {
                name: "channelID",
                flag: "-C",
            });
        }
        if self.name.is_empty() {
            return Err(PeerError::Usage(
                "must supply value for chaincode name parameter".to_owned(),
            ));
        }
        Ok(Input {
            chaincode: self.name.clone(),
            args: input::arguments(&self.ctor)?,
            is_init,
            transient: input::transient(&self.transient)?,
        })
    }
}

impl ChaincodeCommand {
    pub(super) async fn act(
        &self,
        report: &mut Report<'_, '_>,
        settings: Settings<'_>,
        now: SystemTime,
        orderer: &OrdererOptions,
    ) -> Result<(), PeerError> {
        match self {
            Self::Invoke {
                call,
                is_init,
                wait,
                patience,
            } => {
                let input = call.input(*is_init)?;
                let caller = Caller::new(settings, now)?;
                let transaction = Transaction {
                    channel: &call.channel,
                    peers: &call.peers.all(settings)?,
                    orderer,
                    call: caller.call(&call.channel, input)?,
                    patience: wait.then_some(*patience),
                };
                let may_be_ordered = |answer: &ProposalResponse| endorsed(answer, "invoke");
                let what = "error endorsing invoke";
                let submitted = transaction.submit(&caller, report, what, may_be_ordered);
                let answer = submitted.await?.response.unwrap_or_default();
                let line = format!(
                    "Chaincode invoke successful. result: {}",
                    prototext::response(&answer)
                );
                report.log(CHAINCODE, "chaincodeInvokeOrQuery", &line);
                Ok(())
            }
            Self::Query { call, raw, hex } => {
                let input = call.input(false)?;
                let caller = Caller::new(settings, now)?;
                let client = call.peers.one("query", settings)?.connect().await?;
                let signed = caller.call(&call.channel, input)?;
                let answer = client.process_proposal(signed.proposal).await;
                let answer = answer.map_err(PeerError::rpc("error endorsing query"))?;
                endorsed(&answer, "query")?;
                let payload = answer.response.unwrap_or_default().payload;
                if *raw {
                    let numbers: Vec<_> = payload.iter().map(u8::to_string).collect();
                    return report.print(format_args!("[{}]\n", numbers.join(" ")));
                }
                if *hex {
                    for byte in &payload {
                        report.print(format_args!("{byte:02x}"))?;
                    }
                    return report.print(format_args!("\n"));
                }
                report.print_bytes(&payload)
            }
        }
    }
}

/// Whether a peer signed that the call went well.
fn endorsed(answer: &ProposalResponse, what: &'static str) -> Result<(), PeerError> {
    let response = answer.response.clone().unwrap_or_default();
    if response.status < FAILURE && answer.endorsement.is_some() {
        return Ok(());
    }
    Err(PeerError::NotEndorsed { what, response })
}
