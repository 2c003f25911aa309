//! Judging a block: every transaction gets a code, and the valid ones take effect in order.
//!
//! Reads only. What the verdicts change is returned, for the ledger to write.

#[cfg(test)]
mod agreement;
pub(crate) mod examine;
pub(crate) mod expiry;
pub(crate) mod mvcc;
pub(crate) mod phantom;
pub(crate) mod recent;
mod rescan;
pub(crate) mod rich;
pub(crate) mod signatures;
pub(crate) mod updates;
pub(crate) mod writes;

use std::collections::HashSet;

use quire_wire::Code;

use crate::block::{Block, Height};
use crate::error::ReadError;
use examine::{Content, Examined};
use recent::Recent;
use updates::{Pending, Updates};

/// Gives each transaction of the next block its final code, and returns what the block changes.
///
/// `transactions` come with the verdict of the checks that need no state (form, signatures,
/// policies); `is_known` tells whether an earlier block has a transaction id.
pub(crate) fn judge_block<'a>(
    block: &Block,
    transactions: &mut [Examined],
    pending: &'a mut Pending<'_>,
    recent: &mut Recent,
    is_known: impl Fn(&str) -> bool,
) -> Result<&'a Updates, ReadError> {
    pending.begin_block(block.number);
    recent.begin_block(block);
    mark_duplicates(transactions, is_known);
    for (tx, transaction) in transactions.iter_mut().enumerate() {
        if !transaction.code.is_valid() {
            continue;
        }
        if let Content::Endorsed(endorsed) = &transaction.content {
            transaction.code = mvcc::judge(&endorsed.read_write_set, pending, recent)?;
        }
        if transaction.code.is_valid() {
            pending.apply(transaction, Height::new(block.number, tx as u64))?;
            recent.note(transaction);
        }
    }
    pending.end_block()?;
    Ok(&pending.block)
}

/// What the next block changes according to the codes that are stored with it: replay never re-judges.
pub(crate) fn replay_block<'a>(
    number: u64,
    transactions: &[Examined],
    pending: &'a mut Pending<'_>,
) -> Result<&'a Updates, ReadError> {
    pending.begin_block(number);
    for (tx, transaction) in transactions.iter().enumerate() {
        if transaction.code.is_valid() {
            pending.apply(transaction, Height::new(number, tx as u64))?;
        }
    }
    pending.end_block()?;
    Ok(&pending.block)
}

/// A transaction whose id an earlier block has is a duplicate, unless something was found before anybody
/// looks for it. So is one whose id an earlier transaction of this block has, if both are sound so far.
fn mark_duplicates(transactions: &mut [Examined], is_known: impl Fn(&str) -> bool) {
    let mut in_block = HashSet::with_capacity(transactions.len());
    for transaction in transactions {
        let is_looked_up = transaction.is_looked_up();
        let Examined { tx_id, code, .. } = transaction;
        let Some(tx_id) = tx_id.as_deref().filter(|_| is_looked_up) else {
            continue;
        };
        if is_known(tx_id) || (code.is_valid() && !in_block.insert(tx_id)) {
            *code = Code::DUPLICATE_TXID;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use quire_identity::{ChannelConfig, Policy};
    use quire_testkit::conformance;
    use quire_wire::Message as _;
    use quire_wire::common::Block as BlockMessage;
    use quire_wire::config::ConfigEnvelope;
    use quire_wire::transaction::Opened;

    use super::*;
    use crate::block::Block;
    use crate::ledger::Ordered;
    use signatures::{Signatures, Verifier};

    const CHANNEL: &str = "mychannel";

    /// Where the code here is not Fabric's, which of both it is instead, and why.
    fn departure(name: &str, fabric: &str) -> Option<Code> {
        // A signature is one sequence of two numbers and nothing else.
        if name.starts_with("envelope with trailing bytes in the signature") {
            return Some(Code::BAD_CREATOR_SIGNATURE);
        }
        // A chaincode without a version is taken: there are such blocks.
        if name.starts_with("no version") && fabric == "INVALID_CHAINCODE" {
            return Some(match name {
                name if name.contains("a namespace twice") => Code::ILLEGAL_WRITESET,
                name if name.ends_with("unendorsed") => Code::ENDORSEMENT_POLICY_FAILURE,
                _ => Code::VALID,
            });
        }
        // Fabric stops.
        if fabric == "STOPS" {
            return Some(match name {
                name if name.starts_with("no ") => Code::NIL_TXACTION,
                _ => Code::INVALID_CONFIG_TRANSACTION,
            });
        }
        None
    }

    fn verifier() -> Verifier {
        let genesis = conformance::read("fabric-network/two-orgs/genesis.block");
        let block = BlockMessage::decode(Bytes::from(genesis)).unwrap();
        let opened = Opened::read(&Block::from(block).envelopes[0]).unwrap();
        let config = ConfigEnvelope::decode(opened.data).unwrap().config.unwrap();
        let root = config.channel_group.unwrap();
        let msps = ChannelConfig::from_group(&root).unwrap().msps().unwrap();
        let policy = Policy::at(&root, "/Channel/Application/Endorsement").unwrap();
        Verifier::new(msps, policy)
    }

    #[test]
    fn every_malformed_envelope_has_the_code_that_fabrics_own_validator_gives_it() {
        let verifier = verifier();
        let mut wrong = Vec::new();
        let cases = conformance::fabric_verdicts();
        assert!(cases.len() > 400, "{}", cases.len());
        for case in &cases {
            let texts = |member: &str| -> Vec<&str> {
                let values = case[member].as_array().map_or(&[][..], Vec::as_slice);
                values.iter().map(|value| value.as_str().unwrap()).collect()
            };
            let envelopes = texts("envelopes").into_iter();
            let envelopes = envelopes.map(|envelope| hex::decode(envelope).unwrap().into());
            let block = Block {
                number: 1,
                previous_hash: Bytes::new(),
                data_hash: Bytes::new(),
                envelopes: envelopes.collect(),
                metadata: Vec::new(),
            };
            let mut batch = [Ordered::new(block, CHANNEL)];
            verifier.verify(&mut batch, Signatures::OfOthers);
            let known = texts("known");
            let transactions = batch[0].transactions_mut();
            mark_duplicates(transactions, |id| known.contains(&id));
            let found: Vec<String> = transactions
                .iter()
                .map(|one| one.code.to_string())
                .collect();
            let name = case["name"].as_str().unwrap();
            let expected = texts("codes").into_iter();
            let expected: Vec<String> = expected
                .map(|code| departure(name, code).map_or(code.to_owned(), |code| code.to_string()))
                .collect();
            if found != expected {
                wrong.push(format!("{name}: {found:?}, Fabric {:?}", texts("codes")));
            }
        }
        assert!(
            wrong.is_empty(),
            "{} of {}:\n{}",
            wrong.len(),
            cases.len(),
            wrong.join("\n")
        );
    }
}
