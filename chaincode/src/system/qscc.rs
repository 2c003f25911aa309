//! `qscc`: blocks and transactions.

use std::sync::Arc;

use bytes::Bytes;
use quire_ledger::{ReadError, Reader, Simulator};
use quire_wire::Message as _;
use quire_wire::common::Envelope;
use quire_wire::query::{BlockchainInfo, BootstrappingSnapshotInfo, ProcessedTransaction};

use super::QSCC;
use super::call::{SystemCall, no, yes};
use super::host::Host;
use crate::lifecycle::VERSION;
use crate::{
    Answer, Call, Chaincode, ChaincodeError, Invocation, Proposed, Simulated, Transaction, Weight,
};

const CHAIN_INFO: &str = "GetChainInfo";
const BLOCK_BY_NUMBER: &str = "GetBlockByNumber";
const BLOCK_BY_HASH: &str = "GetBlockByHash";
const TRANSACTION_BY_ID: &str = "GetTransactionByID";
const BLOCK_BY_TX_ID: &str = "GetBlockByTxID";

/// `qscc`. The first argument of each function is the channel that it is about.
#[derive(Debug)]
pub struct Qscc {
    host: Arc<dyn Host>,
}

impl Qscc {
    /// `qscc` of a node.
    #[must_use]
    pub fn new(host: Arc<dyn Host>) -> Self {
        Self { host }
    }

    /// Answers a call.
    ///
    /// # Errors
    /// With Fabric's status and text, or the ledger could not be read.
    pub fn answer(&self, transaction: &Transaction) -> Result<Answer, ChaincodeError> {
        let call = SystemCall {
            host: &*self.host,
            transaction,
        };
        if call.len() < 2 {
            let text = format!("Incorrect number of arguments, {}", call.len());
            return Err(no(text));
        }
        let (function, channel) = (&*call.text(0), &*call.text(1));
        let rejected =
            "Rejecting invoke of QSCC from another chaincode because of potential for deadlocks";
        call.check_not_called_by_another(QSCC, rejected)?;
        if function != CHAIN_INFO && call.len() < 3 {
            return Err(no(format!("missing 3rd argument for {function}")));
        }
        let reader = self.host.reader(channel);
        let reader = reader.ok_or_else(|| no(format!("Invalid chain ID, {channel}")))?;
        call.check_access(&format!("{QSCC}/{function}"), channel, |why| {
            format!("access denied for [{function}][{channel}]: [{why}]")
        })?;
        match function {
            CHAIN_INFO => chain_info(&reader),
            BLOCK_BY_NUMBER => block_by_number(&reader, &call.text(2)),
            BLOCK_BY_HASH => block_by_hash(&reader, call.bytes(2)),
            TRANSACTION_BY_ID => transaction_by_id(&reader, &call.text(2)),
            BLOCK_BY_TX_ID => block_by_tx_id(&reader, &call.text(2)),
            other => Err(no(format!("Requested function {other} not found."))),
        }
    }
}

impl Chaincode for Qscc {
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

fn chain_info(reader: &Reader) -> Result<Answer, ChaincodeError> {
    let info = reader.info()?;
    // The first block names none.
    let previous = if info.height > 1 {
        Bytes::copy_from_slice(&info.previous_hash)
    } else {
        Bytes::new()
    };
    let last_block_in_snapshot = reader.base().checked_sub(1);
    Ok(yes(&BlockchainInfo {
        height: info.height,
        current_block_hash: Bytes::copy_from_slice(&info.current_hash),
        previous_block_hash: previous,
        bootstrapping_snapshot_info: last_block_in_snapshot.map(|last_block_in_snapshot| {
            BootstrappingSnapshotInfo {
                last_block_in_snapshot,
            }
        }),
    }))
}

fn block_by_number(reader: &Reader, text: &str) -> Result<Answer, ChaincodeError> {
    let number = number(text)?;
    // The greatest number stands for the newest block.
    let asked = match number {
        u64::MAX => reader.height().saturating_sub(1),
        given => given,
    };
    let failed = |why| no(format!("Failed to get block number {number}, error {why}"));
    block(reader, asked, failed, || {
        format!("no such block number [{asked}] in index")
    })
}

/// A number as Go reads it, or why it is none, in Go's words.
fn number(text: &str) -> Result<u64, ChaincodeError> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let why = match text.parse() {
        Ok(number) if is_digits => return Ok(number),
        _ if is_digits => "value out of range",
        _ => "invalid syntax",
    };
    Err(no(format!(
        "Failed to parse block number with error strconv.ParseUint: parsing {text:?}: {why}"
    )))
}

fn block_by_hash(reader: &Reader, hash: &[u8]) -> Result<Answer, ChaincodeError> {
    let failed = |why| {
        let hash = String::from_utf8_lossy(hash);
        no(format!("Failed to get block hash {hash}, error {why}"))
    };
    let none = || format!("no such block hash [{}] in index", hex::encode(hash));
    match reader.block_number_by_hash(hash)? {
        Some(number) => block(reader, number, failed, none),
        None => Err(failed(none())),
    }
}

fn block_by_tx_id(reader: &Reader, tx_id: &str) -> Result<Answer, ChaincodeError> {
    let failed = |why| no(format!("Failed to get block for txID {tx_id}, error {why}"));
    match reader.transaction(tx_id)? {
        Some(found) => block(reader, found.height.block, failed, || no_transaction(tx_id)),
        None => Err(failed(no_transaction(tx_id))),
    }
}

fn transaction_by_id(reader: &Reader, tx_id: &str) -> Result<Answer, ChaincodeError> {
    let failed = |why: String| {
        no(format!(
            "Failed to get transaction with id {tx_id}, error {why}"
        ))
    };
    let found = reader.transaction(tx_id)?;
    let found = found.ok_or_else(|| failed(no_transaction(tx_id)))?;
    let envelope = match reader.envelope(found.height) {
        Ok(envelope) => envelope.ok_or_else(|| failed(no_transaction(tx_id)))?,
        Err(error) => return Err(below_base(error, failed)),
    };
    let envelope = Envelope::decode(envelope).map_err(|error| failed(error.to_string()))?;
    Ok(yes(&ProcessedTransaction {
        transaction_envelope: Some(envelope),
        validation_code: i32::from(found.code.0),
    }))
}

fn no_transaction(tx_id: &str) -> String {
    format!("no such transaction ID [{tx_id}] in index")
}

/// A block as Fabric's tools exchange it. `failed` makes an answer of why there is none.
fn block(
    reader: &Reader,
    number: u64,
    failed: impl FnOnce(String) -> ChaincodeError,
    none: impl FnOnce() -> String,
) -> Result<Answer, ChaincodeError> {
    match reader.block(number) {
        Ok(Some(block)) => Ok(yes(&block.to_message())),
        Ok(None) => Err(failed(none())),
        Err(error) => Err(below_base(error, failed)),
    }
}

/// Blocks that a snapshot stands for are told of in Fabric's words.
fn below_base(error: ReadError, failed: impl FnOnce(String) -> ChaincodeError) -> ChaincodeError {
    match error {
        ReadError::BelowBase { number, base } => failed(format!(
            "cannot serve block [{number}]. The ledger is bootstrapped from a snapshot. First available block = [{base}]"
        )),
        error => error.into(),
    }
}
