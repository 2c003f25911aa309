//! Judges again what was judged when the blocks were committed.
//!
//! A transaction is judged by what the ledger says happened before it: the stored verdicts, not those given
//! here, decide what took effect. So one wrong verdict is one finding.

use std::collections::HashSet;

use bytes::Bytes;
use quire_wire::Code;
use quire_wire::transaction::Opened;

use super::followers::Replayed;
use super::report::{Depth, Kind};
use crate::block_store::scan::Stored;
use crate::error::ReadError;
use crate::model::block::{Block, Height};
use crate::model::examined::{Content, Examined, Origin};
use crate::state::StateDb as _;
use crate::validation::pending::Pending;
use crate::validation::recent::Recent;
use crate::validation::record::Records;
use crate::validation::trust::{Checked, Signatures, Trust, Unusable};
use crate::validation::{Meets, Signed, judge, was_sound};

/// The most transactions with unconfirmed verdicts that are listed.
const MAX_TOLD: usize = 100;

/// Something that a block should not have.
pub(super) struct Objection {
    pub(super) kind: Kind,
    /// Position and id of the transaction, if it concerns one transaction.
    pub(super) transaction: Option<(u64, Option<String>)>,
    pub(super) expected: String,
    pub(super) found: String,
}

/// Judges blocks in order.
#[derive(Default)]
pub(super) struct Court {
    depth: Depth,
    /// Whether only configurations were judged.
    blocks_only: bool,
    /// The channel's name in its first block; here the channel may have another name. Empty before that
    /// block.
    pub(super) channel: String,
    /// `None` before the first configuration, and if the newest configuration cannot be used.
    trust: Option<Trust>,
    /// The channel's rules, which are those of the writer of its first block.
    origin: Option<Origin>,
    /// What the newest blocks wrote, by which queries are judged.
    recent: Recent,
    /// The number of valid signatures.
    pub(super) signatures: u64,
    /// The number of verdicts that were confirmed.
    pub(super) verdicts: u64,
    /// Transactions whose verdicts depend on something that was not checked.
    pub(super) unjudged: Vec<Height>,
    /// Transactions whose policy is not in the chain.
    pub(super) without_policy: u64,
    /// Invalid endorsements of transactions for which other endorsements suffice.
    pub(super) unneeded: u64,
}

impl Court {
    pub(super) fn new(depth: Depth, blocks_only: bool) -> Self {
        Self {
            depth,
            blocks_only,
            ..Self::default()
        }
    }

    /// Judges blocks that follow what was replayed, and returns objections with the positions of their
    /// blocks.
    pub(super) fn hear(
        &mut self,
        batch: &[Stored],
        replayed: &Replayed,
    ) -> Result<Vec<(usize, Objection)>, ReadError> {
        let mut objections = Vec::new();
        if self.depth == Depth::default() {
            return Ok(objections);
        }
        let state = replayed.state.snapshot()?;
        let mut pending = Pending::new(state.as_ref());
        let mut in_batch: HashSet<String> = HashSet::new();
        let first = batch.first().map_or(0, |stored| stored.block.number);
        self.recent.begin_batch(first, 0);
        for (position, stored) in batch.iter().enumerate() {
            let is_known = |tx_id: &str| Ok(in_batch.contains(tx_id) || replayed.knows(tx_id)?);
            let transactions = self.read_block(stored);
            let found = self.hear_block(&stored.block, &transactions, &mut pending, is_known)?;
            objections.extend(found.into_iter().map(|objection| (position, objection)));
            in_batch.extend(transactions.into_iter().filter_map(|one| one.tx_id));
        }
        self.recent.end_batch();
        Ok(objections)
    }

    /// The transactions of a block, with the fault that each has in itself.
    fn read_block(&mut self, Stored { block, seal, .. }: &Stored) -> Vec<Examined> {
        let origin = match seal {
            Some(_) => Origin::Quire,
            None => Origin::Fabric,
        };
        if self.origin.is_none() {
            self.origin = Some(origin);
            let first = block.envelopes.first().map(Opened::read);
            if let Some(Ok(first)) = first {
                self.channel = first.channel_header.channel_id;
            }
        }
        let envelopes = block.envelopes.iter().enumerate();
        let examined = envelopes.map(|(tx, envelope)| {
            if block.number == 0 {
                return Examined::first(envelope, &self.channel);
            }
            // If an earlier record was refused, the present rules applied to it.
            let records = match block.code(tx) {
                Code::BAD_RWSET => Records::OfNow,
                _ => Records::OfAnyVersion,
            };
            Examined::judged_by(envelope, &self.channel, origin, records)
        });
        examined.collect()
    }

    fn hear_block(
        &mut self,
        block: &Block,
        transactions: &[Examined],
        pending: &mut Pending<'_>,
        is_known: impl Fn(&str) -> Result<bool, ReadError>,
    ) -> Result<Vec<Objection>, ReadError> {
        let mut objections = Vec::new();
        if block.number == 0 {
            self.configure(block, &mut objections);
        }
        let mut checked = self
            .check_signatures(block, transactions, &mut objections)
            .into_iter();
        let mut in_block: HashSet<&str> = HashSet::new();
        pending.begin_block(block.number);
        self.recent.begin_block(block);
        for (tx, transaction) in (0..).zip(transactions) {
            let stored = block.code(usize::try_from(tx).unwrap_or(usize::MAX));
            let id = transaction.tx_id.as_deref();
            let known = id.map(&is_known).transpose()?.unwrap_or_default();
            let signed = match (checked.next(), &mut self.trust) {
                (Some(checked), Some(trust)) => {
                    trust.judge(checked, transaction, known, pending)?
                }
                _ => Signed::NotLookedAt,
            };
            let repeats = id.is_some_and(|id| in_block.contains(id));
            let mut object = |kind, (expected, found)| {
                objections.push(Objection {
                    kind,
                    transaction: Some((tx, transaction.tx_id.clone())),
                    expected,
                    found,
                });
            };
            self.count(&signed);
            let is_judged = !self.blocks_only || stored != Code::NOT_VALIDATED;
            if let Some(objection) = objection(&signed, stored).filter(|_| is_judged) {
                object(Kind::Signature, objection);
            } else if self.depth.verdicts && is_judged {
                if can_tell(&signed, stored, transaction) {
                    let meets = Meets { known, repeats };
                    let given = judge(transaction, &signed, meets, pending, &mut self.recent)?;
                    let is_unusable = || match (&transaction.content, &self.trust) {
                        (Content::Config(config), Some(trust)) => trust.next(config).is_err(),
                        _ => false,
                    };
                    // Fabric lets some configurations take effect that cannot be used to judge here.
                    let is_refused = stored == Code::INVALID_CONFIG_TRANSACTION
                        && given.is_valid()
                        && is_unusable();
                    if given == stored || is_refused {
                        self.verdicts += 1;
                    } else {
                        object(Kind::Verdict, (given.to_string(), stored.to_string()));
                    }
                } else {
                    self.unjudged.push(Height::new(block.number, tx));
                }
            }
            // A transaction that only lost to another one was sound when duplicates were looked for.
            if let Some(id) = id.filter(|_| was_sound(stored)) {
                in_block.insert(id);
            }
            if stored.is_valid() {
                pending.apply(transaction, Height::new(block.number, tx))?;
                self.recent.note(transaction);
            }
        }
        pending.end_block()?;
        if let Some(trust) = &mut self.trust {
            trust.end_block(&pending.block);
        }
        if block.number > 0 {
            self.configure(block, &mut objections);
        }
        Ok(objections)
    }

    /// Checks the signatures of a block and of its transactions, if that was asked for.
    fn check_signatures(
        &mut self,
        block: &Block,
        transactions: &[Examined],
        objections: &mut Vec<Objection>,
    ) -> Vec<Checked> {
        let Some(trust) = &self.trust else {
            return Vec::new();
        };
        match trust.blocks.verify(block) {
            Ok(count) => self.signatures += count,
            Err(found) => objections.push(Objection {
                kind: Kind::Signature,
                transaction: None,
                expected: "signatures of orderers who may sign blocks".to_owned(),
                found,
            }),
        }
        let mut checked = trust.check(transactions.iter().map(|one| (one, Signatures::OfOthers)));
        if block.number == 0 {
            let first = checked.iter_mut().zip(transactions).zip(&block.envelopes);
            for ((checked, transaction), envelope) in first {
                if matches!(transaction.content, Content::Config(_)) {
                    *checked = trust.check_first(envelope);
                }
            }
        }
        checked
    }

    /// Uses the configuration in a block from now on, if there is one.
    fn configure(&mut self, block: &Block, objections: &mut Vec<Objection>) {
        if !self.depth.signatures {
            return;
        }
        let origin = self.origin.unwrap_or(Origin::Fabric);
        for (tx, envelope) in block.envelopes.iter().enumerate() {
            let Content::Config(config) = Examined::read(envelope).content else {
                continue;
            };
            if block.code(tx).is_valid() {
                self.adopt(config, origin, tx, objections);
            }
        }
    }

    /// Takes a configuration into use. It is an objection if the configuration cannot be used to judge, or if
    /// its update does not turn the configuration before into it.
    fn adopt(&mut self, config: Bytes, origin: Origin, tx: usize, objections: &mut Vec<Objection>) {
        let mut object = |expected: &str, Unusable(found): Unusable| {
            objections.push(Objection {
                kind: Kind::Config,
                transaction: Some((tx as u64, None)),
                expected: expected.to_owned(),
                found,
            });
        };
        if let Some(known) = &self.trust {
            match known.next(&config) {
                Ok(next) => {
                    self.trust = Some(next);
                    return;
                }
                Err(unusable) => object("a configuration that follows the one before", unusable),
            }
        }
        self.trust = match Trust::new(&self.channel, config, origin) {
            Ok(trust) => Some(trust),
            Err(unusable) => {
                object(
                    "a configuration by which signatures can be judged",
                    unusable,
                );
                None
            }
        };
    }

    fn count(&mut self, signed: &Signed) {
        match signed {
            Signed::Sound {
                signatures,
                unneeded,
                by_policy,
            } => {
                self.signatures += signatures;
                self.unneeded += unneeded;
                self.without_policy += u64::from(!by_policy);
            }
            Signed::ByCreator => self.signatures += 1,
            Signed::NotLookedAt | Signed::BadCreator(_) | Signed::Refused(..) => {}
        }
    }

    /// What was asked for but not done.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let unjudged = self.unjudged.len();
        if unjudged > 0 {
            let told = self.unjudged.iter().take(MAX_TOLD);
            let told: Vec<String> = told.map(Height::to_string).collect();
            let more = if unjudged > MAX_TOLD { " and more" } else { "" };
            notes.push(format!(
                "{unjudged} verdicts rest on signatures, policies or chaincode that were not looked \
                 at{more}: {}",
                told.join(", ")
            ));
        }
        let mut note = |count: u64, text: &str| {
            if count > 0 {
                notes.push(format!("{count} {text}"));
            }
        };
        note(
            self.without_policy,
            "transactions have an endorsement policy that is not judged here (system chaincode, or \
             policies of single keys): their signatures hold",
        );
        note(
            self.unneeded,
            "endorsements are not valid, of transactions for which others suffice",
        );
        notes
    }
}

/// What is wrong if a transaction with this verdict has these signatures: expected and found.
fn objection(signed: &Signed, stored: Code) -> Option<(String, String)> {
    let has_creator = was_sound(stored)
        || matches!(
            stored,
            Code::DUPLICATE_TXID | Code::ENDORSEMENT_POLICY_FAILURE
        );
    match signed {
        Signed::BadCreator(found) if has_creator => {
            Some(("a valid creator's signature".to_owned(), found.clone()))
        }
        Signed::Refused(_, found) if was_sound(stored) => {
            let expected = "endorsements that satisfy the policy".to_owned();
            Some((expected, found.clone()))
        }
        Signed::Sound { .. } | Signed::ByCreator if stored == Code::BAD_CREATOR_SIGNATURE => {
            let expected = "an invalid creator's signature, as the verdict says";
            Some((expected.to_owned(), "one that holds".to_owned()))
        }
        Signed::Sound {
            by_policy: true, ..
        } if stored == Code::ENDORSEMENT_POLICY_FAILURE => {
            let expected = "endorsements that do not suffice, as the verdict says";
            Some((expected.to_owned(), "endorsements that do".to_owned()))
        }
        _ => None,
    }
}

/// Whether a stored verdict can be confirmed with what is known of the signatures.
fn can_tell(signed: &Signed, stored: Code, transaction: &Examined) -> bool {
    let is_sound = transaction.code.is_valid();
    match stored {
        Code::EXPIRED_CHAINCODE | Code::CHAINCODE_VERSION_CONFLICT | Code::INVALID_WRITESET => {
            false
        }
        // The envelope itself shows these.
        Code::ILLEGAL_WRITESET | Code::INVALID_OTHER_REASON => !is_sound,
        Code::BAD_CREATOR_SIGNATURE => !matches!(signed, Signed::NotLookedAt),
        // The definitions of chaincodes show these too.
        Code::ENDORSEMENT_POLICY_FAILURE | Code::INVALID_CHAINCODE => match signed {
            Signed::Sound { by_policy, .. } => *by_policy || !is_sound,
            Signed::Refused(..) | Signed::BadCreator(_) | Signed::ByCreator => true,
            Signed::NotLookedAt => !is_sound,
        },
        _ => true,
    }
}
