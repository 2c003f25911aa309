//! Judging a block: every transaction gets a code, and the valid ones take effect in order.
//!
//! Reads only. What the verdicts change is returned, for the ledger to write.

pub(crate) mod examine;
pub(crate) mod expiry;
pub(crate) mod mvcc;
pub(crate) mod phantom;
pub(crate) mod rich;
pub(crate) mod signatures;
pub(crate) mod updates;
pub(crate) mod writes;

use std::collections::HashSet;

use quire_wire::Code;

use crate::block::Height;
use crate::error::ReadError;
use examine::{Content, Examined};
use updates::{Pending, Updates};

/// Gives each transaction of the next block its final code, and returns what the block changes.
///
/// `transactions` come with the verdict of the checks that need no state (form, signatures,
/// policies); `is_known` tells whether an earlier block has a transaction id.
pub(crate) fn judge_block<'a>(
    number: u64,
    transactions: &mut [Examined],
    pending: &'a mut Pending<'_>,
    is_known: impl Fn(&str) -> bool,
) -> Result<&'a Updates, ReadError> {
    pending.begin_block(number);
    mark_duplicates(transactions, is_known);
    for (tx, transaction) in transactions.iter_mut().enumerate() {
        if !transaction.code.is_valid() {
            continue;
        }
        if let Content::Endorsed(endorsed) = &transaction.content {
            transaction.code = mvcc::judge(&endorsed.read_write_set, pending)?;
        }
        if transaction.code.is_valid() {
            pending.apply(transaction, Height::new(number, tx as u64))?;
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

/// A transaction whose id an earlier block has, or an earlier transaction of this block that was
/// sound so far, is a duplicate.
fn mark_duplicates(transactions: &mut [Examined], is_known: impl Fn(&str) -> bool) {
    let mut in_block = HashSet::with_capacity(transactions.len());
    for Examined { tx_id, code, .. } in transactions {
        let Some(tx_id) = tx_id.as_deref().filter(|_| code.is_valid()) else {
            continue;
        };
        if in_block.contains(tx_id) || is_known(tx_id) {
            *code = Code::DUPLICATE_TXID;
        } else {
            in_block.insert(tx_id);
        }
    }
}
