//! Judges a block: every transaction gets a code, and the valid ones take effect in order.
//!
//! It only reads. The changes that follow from the verdicts are returned, for the ledger to write.

#[cfg(test)]
mod agreement;
mod block_signatures;
mod definitions;
mod endorsement;
pub(crate) mod examine;
pub(crate) mod expiry;
pub(crate) mod mvcc;
pub(crate) mod named_keys;
pub(crate) mod pending;
pub(crate) mod phantom;
mod policies;
pub(crate) mod recent;
pub(crate) mod record;
mod rescan;
pub(crate) mod rich;
pub(crate) mod trust;
pub(crate) mod writes;

use std::collections::HashSet;

use quire_wire::Code;

use crate::error::ReadError;
use crate::model::block::{Block, Height};
use crate::model::examined::{Content, Examined, Stage};
use crate::model::updates::Updates;
use crate::validation::pending::Pending;
pub use block_signatures::BlockVerifier;
pub(crate) use endorsement::Signed;
pub use endorsement::{ENDORSEMENT_POLICY, IMPLICIT_COLLECTION};
use recent::Recent;
use trust::{Checked, Trust, Unusable};

/// Gives each transaction of the next block its final code, and returns what the block changes.
///
/// `transactions` have the faults of their own envelopes; `checked` is the result of [`Trust::check`] by
/// `trust`, and both are missing if signatures are not checked. `is_known` tells whether an earlier block has
/// a transaction id.
pub(crate) fn judge_block<'a>(
    block: &Block,
    transactions: &mut [Examined],
    trust: Option<(&mut Trust, Vec<Checked>)>,
    pending: &'a mut Pending<'_>,
    recent: &mut Recent,
    is_known: impl Fn(&str) -> bool,
) -> Result<&'a Updates, ReadError> {
    let (mut trust, checked) = trust.unzip();
    let mut checked = checked.into_iter().flatten();
    pending.begin_block(block.number);
    recent.begin_block(block);
    let mut codes = Vec::with_capacity(transactions.len());
    let mut sound = HashSet::new();
    let mut next = None;
    for (tx, transaction) in (0..).zip(&*transactions) {
        let id = transaction.tx_id.as_deref();
        let meets = Meets {
            known: id.is_some_and(&is_known),
            repeats: id.is_some_and(|id| sound.contains(id)),
        };
        let signed = match (&mut trust, checked.next()) {
            (Some(trust), Some(checked)) => {
                trust.judge(checked, transaction, meets.known, pending)?
            }
            _ => Signed::NotLookedAt,
        };
        let code = judge(transaction, &signed, meets, pending, recent)?;
        if let (Code::VALID, Content::Config(config), Some(trust)) =
            (code, &transaction.content, &trust)
        {
            let current = next.as_ref().unwrap_or(&**trust);
            let following = current.next(config).map_err(|Unusable(reason)| {
                let number = block.number;
                ReadError::Config(format!("the configuration in block {number}: {reason}"))
            })?;
            next = Some(following);
        }
        if let Some(id) = id.filter(|_| was_sound(code)) {
            sound.insert(id);
        }
        if code.is_valid() {
            pending.apply(transaction, Height::new(block.number, tx))?;
            recent.note(transaction);
        }
        codes.push(code);
    }
    pending.end_block()?;
    for (transaction, code) in transactions.iter_mut().zip(codes) {
        transaction.code = code;
    }
    if let Some(trust) = trust {
        trust.end_block(&pending.block);
        if let Some(next) = next {
            *trust = next;
        }
    }
    Ok(&pending.block)
}

/// The same where only configurations are judged, as orderers do: whoever ordered one has made it out of the one before.
/// The other transactions are left to others.
pub(crate) fn configure_block<'a>(
    block: &Block,
    transactions: &mut [Examined],
    trust: Option<&mut Trust>,
    pending: &'a mut Pending<'_>,
) -> Result<&'a Updates, ReadError> {
    let number = block.number;
    pending.begin_block(number);
    let mut next = None;
    for (tx, transaction) in (0..).zip(&mut *transactions) {
        let Content::Config(config) = &transaction.content else {
            transaction.code = Code::NOT_VALIDATED;
            continue;
        };
        if !transaction.code.is_valid() {
            continue;
        }
        if let Some(trust) = &trust {
            let following =
                next.as_ref()
                    .unwrap_or(&**trust)
                    .next(config)
                    .map_err(|Unusable(reason)| {
                        ReadError::Config(format!("the configuration in block {number}: {reason}"))
                    })?;
            next = Some(following);
        }
        pending.apply(transaction, Height::new(number, tx))?;
    }
    pending.end_block()?;
    if let (Some(trust), Some(next)) = (trust, next) {
        *trust = next;
    }
    Ok(&pending.block)
}

/// The other transactions that have a transaction's id.
#[derive(Clone, Copy)]
pub(crate) struct Meets {
    /// Whether a transaction of an earlier block has it, whatever its code.
    pub(crate) known: bool,
    /// Whether an earlier transaction of the block has it, and [`was_sound`].
    pub(crate) repeats: bool,
}

/// The verdict on a transaction that comes next in its block, in Fabric's order: headers, creator, the
/// transaction's form, duplicates in earlier blocks, the call's form, endorsements, duplicates in the block,
/// and then what it read.
pub(crate) fn judge(
    transaction: &Examined,
    signed: &Signed,
    meets: Meets,
    pending: &Pending<'_>,
    recent: &mut Recent,
) -> Result<Code, ReadError> {
    match (
        before_reads(transaction, signed, meets),
        &transaction.content,
    ) {
        (Code::VALID, Content::Endorsed(endorsed)) => {
            mvcc::judge(&endorsed.read_write_set, pending, recent)
        }
        (code, _) => Ok(code),
    }
}

fn before_reads(transaction: &Examined, signed: &Signed, meets: Meets) -> Code {
    let (code, stage) = (transaction.code, transaction.own_objection());
    match (stage, signed) {
        (Some(Stage::Headers), _) => code,
        (_, Signed::BadCreator(_)) => Code::BAD_CREATOR_SIGNATURE,
        (Some(Stage::Transaction), _) => code,
        _ if meets.known => Code::DUPLICATE_TXID,
        (Some(Stage::Call) | None, Signed::Refused(code, _)) => *code,
        (Some(Stage::Call), _) => code,
        _ if meets.repeats => Code::DUPLICATE_TXID,
        (None, Signed::Sound { .. } | Signed::ByCreator | Signed::NotLookedAt) => Code::VALID,
    }
}

/// Whether a transaction with this verdict was sound before it was compared with others.
pub(crate) fn was_sound(code: Code) -> bool {
    matches!(
        code,
        Code::VALID | Code::MVCC_READ_CONFLICT | Code::PHANTOM_READ_CONFLICT
    )
}

/// What the next block changes according to the codes that are stored with it: replay never judges again.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use quire_disk::OsDisk;
    use quire_testkit::conformance;
    use quire_wire::Message as _;
    use quire_wire::common::Block as BlockMessage;
    use quire_wire::transaction::Opened;

    use super::*;
    use crate::derived::Purpose;
    use crate::id_store::CreateOptions;
    use crate::ledgers::Ledgers;
    use crate::model::block::Block;
    use crate::model::examined::Origin;
    use trust::Signatures;

    const CHANNEL: &str = "mychannel";

    /// If the code here differs from Fabric's, the code here, with the reason.
    fn departure(name: &str, fabric: &str) -> Option<Code> {
        // A chaincode without a version is accepted, because there are such blocks.
        if name.starts_with("no version") && fabric == "INVALID_CHAINCODE" {
            return Some(match name {
                name if name.contains("a namespace twice") => Code::ILLEGAL_WRITESET,
                name if name.ends_with("unendorsed") => Code::ENDORSEMENT_POLICY_FAILURE,
                _ => Code::VALID,
            });
        }
        // Fabric stops, and so does this ledger after a configuration that does not follow. For Fabric, bytes
        // that are not a configuration are one that lacks everything; here they are refused.
        if fabric == "STOPS" && name.starts_with("no ") {
            return Some(Code::NIL_TXACTION);
        }
        if fabric == "STOPS" && name.starts_with("header type CONFIG") {
            return Some(Code::INVALID_CONFIG_TRANSACTION);
        }
        None
    }

    fn genesis() -> Block {
        let genesis = conformance::read("fabric-network/two-orgs/genesis.block");
        BlockMessage::decode(Bytes::from(genesis)).unwrap().into()
    }

    /// The codes of a block, or a mark that the channel stops before it.
    fn told(judged: &Result<(), ReadError>, transactions: &[Examined]) -> Vec<String> {
        let code = |one: &Examined| match judged {
            Ok(()) => one.code.to_string(),
            Err(ReadError::Config(_)) => "STOPS".to_owned(),
            Err(error) => panic!("{error}"),
        };
        transactions.iter().map(code).collect()
    }

    #[test]
    fn every_malformed_envelope_has_the_code_that_fabrics_own_validator_gives_it() {
        let opened = Opened::read(&genesis().envelopes[0]).unwrap();
        let mut trust = Trust::new(CHANNEL, opened.data, Origin::Quire).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let ledgers = Ledgers::open(Arc::new(OsDisk), dir.path(), Purpose::Use).unwrap();
        let ledger = ledgers.create("main", genesis(), CreateOptions::default());
        let ledger = ledger.unwrap();
        let snapshot = ledger.followers.state.snapshot().unwrap();
        let mut recent = Recent::of(ledger.reader());
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
            let known = texts("known");
            let is_known = |id: &str| known.contains(&id);
            let transactions = block.envelopes.iter();
            let transactions = transactions.map(|envelope| Examined::new(envelope, CHANNEL));
            let mut transactions: Vec<Examined> = transactions.collect();
            let signed = transactions.iter().map(|one| (one, Signatures::OfOthers));
            let checked = trust.check(signed);
            let signers = Some((&mut trust, checked));
            let mut pending = Pending::new(snapshot.as_ref());
            recent.begin_batch(1, 1);
            let judged = judge_block(
                &block,
                &mut transactions,
                signers,
                &mut pending,
                &mut recent,
                is_known,
            );
            recent.end_batch();
            let stops = judged.map(drop);
            let found = told(&stops, &transactions);
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
