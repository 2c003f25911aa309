//! Gives verdicts on blocks, and keeps what it found out for the next blocks.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use quire_wire::common::metadata_slot;

use crate::commit_hash;
use crate::error::{CommitError, ReadError};
use crate::in_flight::Unseen;
use crate::model::block::Block;
use crate::model::examined::{Content, Examined, Origin};
use crate::model::updates::Updates;
use crate::observer::Stage;
use crate::ordered::{Linked, Ordered};
use crate::validation::expiry::Expiry;
use crate::validation::named_keys::named_keys;
use crate::validation::pending::Pending;
use crate::validation::recent::Recent;
use crate::validation::trust::{Checked, Trust};
use crate::validation::{configure_block, judge_block};
use crate::view::{Shared, Tip, View};

/// Blocks with verdicts and commit hashes.
pub(crate) struct Judged {
    pub(crate) blocks: Vec<Block>,
    /// The end of the chain with these blocks.
    pub(crate) end: Tip,
    /// What is known after these blocks.
    pub(crate) known: Known,
    /// The transactions of each block.
    pub(crate) transactions: Vec<Vec<Examined>>,
    pub(crate) unseen: Unseen,
}

/// What is known at the end of some blocks, so that state need not be asked again.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// When private keys expire; `None` if it must be read.
    expiry: Option<Expiry>,
    /// Who may sign; `None` if it must be read.
    trust: Option<Trust>,
}

/// Judges the blocks of one channel, in order.
#[derive(Debug)]
pub(crate) struct Judge {
    /// The rules that say who may sign; `None` if signatures are not checked.
    rules: Option<Origin>,
    /// Whether only configurations are judged.
    blocks_only: bool,
    /// What is known after the end of the chain.
    known: Known,
    /// What the newest blocks wrote, by which queries are judged.
    pub(crate) recent: Recent,
}

impl Judge {
    /// A judge that does not check signatures, or judges only configurations.
    pub(crate) fn new(recent: Recent, blocks_only: bool) -> Self {
        Self {
            rules: None,
            blocks_only,
            known: Known::default(),
            recent,
        }
    }

    /// Checks signatures by these rules from now on.
    pub(crate) fn go_by(&mut self, rules: Origin) {
        self.rules = Some(rules);
    }

    /// Keeps what is known: the blocks before it became the end of the chain.
    pub(crate) fn keep(&mut self, known: Known) {
        self.known = known;
    }

    /// Gives every transaction its code, and every block its codes and commit hash.
    ///
    /// `before` is the end of the chain that the blocks continue, and `unseen` the content of earlier blocks
    /// that reads may not see yet.
    pub(crate) fn judge(
        &mut self,
        Linked(batch): Linked,
        before: &Tip,
        shared: &Shared,
        unseen: &[&Unseen],
    ) -> Result<Judged, CommitError> {
        // It is kept again only if these blocks become the end: other blocks must not rely on it.
        let Known { expiry, trust } = std::mem::take(&mut self.known);
        let _judging = shared.files.observed.stopwatch(Stage::Judge);
        let view = Arc::clone(&shared.view.read());
        self.expect(&batch, trust.as_ref(), &view)?;
        let indexed = shared.index.known(&view.derived, looked_up_tx_ids(&batch));
        let indexed = indexed.map_err(CommitError::Judge)?;
        let changes = unseen.iter().map(|blocks| blocks.changes.as_ref());
        let mut pending = Pending::new(view.state.as_ref())
            .after(changes.collect())
            .with_expiry(expiry);
        let mut trust = self
            .trusted(&shared.channel, trust, &pending)
            .map_err(CommitError::Judge)?;
        self.recent.begin_batch(before.height, view.tip.height);
        let mut tx_ids: HashSet<String> = HashSet::new();
        let mut end = before.clone();
        let mut blocks = Vec::with_capacity(batch.len());
        let mut judged = Vec::with_capacity(batch.len());
        let mut checked = VecDeque::new();
        let mut batch = batch.into_iter();
        loop {
            if let (Some(trust), true) = (&trust, checked.is_empty()) {
                checked = if self.blocks_only {
                    batch.as_slice().iter().map(|_| Vec::new()).collect()
                } else {
                    check_signatures(trust, batch.as_slice())
                };
            }
            let Some(ordered) = batch.next() else { break };
            let Ordered {
                mut block,
                mut transactions,
                ..
            } = ordered;
            let is_known = |tx_id: &str| {
                tx_ids.contains(tx_id)
                    || indexed.contains(tx_id)
                    || unseen.iter().any(|blocks| blocks.tx_ids.contains(tx_id))
            };
            let signers = trust.as_mut().zip(checked.pop_front());
            let recent = &mut self.recent;
            let judged_block = if self.blocks_only {
                let (trust, _) = signers.unzip();
                configure_block(&block, &mut transactions, trust, &mut pending)
            } else {
                judge_block(
                    &block,
                    &mut transactions,
                    signers,
                    &mut pending,
                    recent,
                    is_known,
                )
            };
            let updates = judged_block.map_err(CommitError::Judge)?;
            end = seal(&mut block, &transactions, updates, &end);
            tx_ids.extend(transactions.iter().filter_map(|tx| tx.tx_id.clone()));
            blocks.push(block);
            judged.push(transactions);
        }
        self.recent.end_batch();
        let expiry = pending.take_expiry();
        let changes = Arc::new(pending.into_changes());
        Ok(Judged {
            blocks,
            end,
            known: Known { expiry, trust },
            transactions: judged,
            unseen: Unseen { changes, tx_ids },
        })
    }

    /// Who may sign, as it is known already or as state says; `None` if signatures are not checked.
    fn trusted(
        &self,
        channel: &str,
        known: Option<Trust>,
        pending: &Pending<'_>,
    ) -> Result<Option<Trust>, ReadError> {
        match (self.rules, known) {
            (Some(origin), None) => Trust::in_state(channel, pending, origin).map(Some),
            (_, known) => Ok(known),
        }
    }

    /// Asks state once for all keys that judging will read, because each question would cost a round trip.
    fn expect(
        &self,
        batch: &[Ordered],
        trust: Option<&Trust>,
        view: &View,
    ) -> Result<(), CommitError> {
        if !view.state.is_remote() {
            return Ok(());
        }
        let transactions = || batch.iter().flat_map(|ordered| &ordered.transactions);
        let keys = named_keys(transactions(), view.state.as_ref());
        let mut keys = keys.map_err(CommitError::Judge)?;
        if self.rules.is_some() {
            keys.extend(Trust::named_keys(trust, transactions()));
        }
        view.state.expect(&keys).map_err(CommitError::Judge)
    }
}

/// Puts the verdicts and the commit hash into a block. Returns the end of the chain with it.
fn seal(block: &mut Block, transactions: &[Examined], updates: &Updates, before: &Tip) -> Tip {
    let codes: Vec<u8> = transactions
        .iter()
        .map(|transaction| transaction.code.0)
        .collect();
    let hash = commit_hash::next(block.number, &codes, updates, before.commit_hash.as_deref());
    block.set_metadata(metadata_slot::TRANSACTIONS_FILTER, codes.into());
    let slot = hash.map(commit_hash::slot).unwrap_or_default();
    block.set_metadata(metadata_slot::COMMIT_HASH, slot);
    Tip {
        height: block.number + 1,
        hash: block.hash(),
        commit_hash: hash.map(|hash| Bytes::copy_from_slice(&hash)),
    }
}

/// Checks the signatures of blocks together, as far as one configuration judges them: up to and including the
/// first block that may bring another configuration.
fn check_signatures(trust: &Trust, blocks: &[Ordered]) -> VecDeque<Vec<Checked>> {
    let configures = |ordered: &Ordered| {
        let mut transactions = ordered.transactions.iter();
        transactions.any(|one| matches!(one.content, Content::Config(_)))
    };
    let count = blocks.iter().position(configures);
    let count = count.map_or(blocks.len(), |position| position + 1);
    let transactions = blocks.iter().take(count).flat_map(|ordered| {
        let transactions = ordered.transactions.iter();
        transactions.map(|transaction| (transaction, ordered.signatures))
    });
    let mut checked = trust.check(transactions).into_iter();
    let blocks = blocks.iter().take(count);
    blocks
        .map(|ordered| checked.by_ref().take(ordered.transactions.len()).collect())
        .collect()
}

/// The ids of the transactions to look for in earlier blocks.
fn looked_up_tx_ids(batch: &[Ordered]) -> impl Iterator<Item = &str> {
    let transactions = batch.iter().flat_map(|ordered| &ordered.transactions);
    let looked_up = transactions.filter(|transaction| transaction.is_looked_up());
    looked_up.filter_map(|transaction| transaction.tx_id.as_deref())
}
