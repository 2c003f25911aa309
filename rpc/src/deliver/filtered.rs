//! A block's verdicts and the names of its events, as Fabric filters them.

use bytes::Bytes;
use quire_ledger::Block;
use quire_wire::common::{ChannelHeader, Envelope, Payload, header_type};
use quire_wire::deliver::{
    FilteredBlock, FilteredChaincodeAction, FilteredTransaction, FilteredTransactionActions,
};
use quire_wire::peer::{
    ChaincodeAction, ChaincodeActionPayload, ChaincodeEvent, ProposalResponsePayload, Transaction,
};
use quire_wire::{DecodeError, tolerant};

/// The verdicts of a block. A transaction whose envelope or header cannot be found is left out.
///
/// # Errors
/// A transaction cannot be read: Fabric sends a status in place of the block, and goes on.
pub(super) fn filtered(block: &Block) -> Result<FilteredBlock, DecodeError> {
    let mut filtered = FilteredBlock {
        number: block.number,
        ..FilteredBlock::default()
    };
    for (tx, envelope) in block.envelopes.iter().enumerate() {
        let envelope = tolerant::decode::<Envelope>(envelope.clone(), tolerant::ENVELOPE);
        let Ok(envelope) = envelope else {
            continue;
        };
        let payload: Payload = tolerant::decode(envelope.payload, tolerant::PAYLOAD)?;
        let Some(header) = payload.header else {
            continue;
        };
        let header: ChannelHeader =
            tolerant::decode(header.channel_header, tolerant::CHANNEL_HEADER)?;
        let is_endorsed = header.r#type == header_type::ENDORSER_TRANSACTION;
        let transaction_actions = is_endorsed.then(|| actions(payload.data)).transpose()?;
        filtered.channel_id = header.channel_id;
        filtered.filtered_transactions.push(FilteredTransaction {
            txid: header.tx_id,
            r#type: header.r#type,
            tx_validation_code: i32::from(block.code(tx).0),
            transaction_actions,
        });
    }
    Ok(filtered)
}

fn actions(transaction: Bytes) -> Result<FilteredTransactionActions, DecodeError> {
    let transaction: Transaction = tolerant::decode(transaction, tolerant::TRANSACTION)?;
    let mut actions = FilteredTransactionActions::default();
    for action in transaction.actions {
        let payload: ChaincodeActionPayload =
            tolerant::decode(action.payload, tolerant::ACTION_PAYLOAD)?;
        let Some(endorsed) = payload.action else {
            continue;
        };
        let response: ProposalResponsePayload = tolerant::decode(
            endorsed.proposal_response_payload,
            tolerant::RESPONSE_PAYLOAD,
        )?;
        let action: ChaincodeAction =
            tolerant::decode(response.extension, tolerant::CHAINCODE_ACTION)?;
        let event: ChaincodeEvent = tolerant::decode(action.events, tolerant::EVENT)?;
        if event.chaincode_id.is_empty() {
            continue;
        }
        let chaincode_event = Some(ChaincodeEvent {
            payload: Bytes::new(),
            ..event
        });
        let told = FilteredChaincodeAction { chaincode_event };
        actions.chaincode_actions.push(told);
    }
    Ok(actions)
}
