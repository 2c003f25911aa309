//! What can be said of an envelope without a key, a policy or any state: does it parse, and does it
//! agree with itself?

use std::collections::HashSet;

use bytes::Bytes;
use quire_wire::common::{ChannelHeader, Envelope, Payload, Timestamp, header_type};
use quire_wire::config::ConfigEnvelope;
use quire_wire::hash::proposal_hash;
use quire_wire::peer::{ChaincodeEvent, ChaincodeHeaderExtension, ChaincodeId};
use quire_wire::rwset::{HashedRwSet, KvRwSet, TxReadWriteSet};
use quire_wire::transaction::{EndorsedAction, EndorsedCall, Opened, names_signer};
use quire_wire::{Code, DecodeError, Message as _, tolerant};

use super::rich;

/// An envelope as the ledger sees it, with the verdict so far.
#[derive(Clone, Debug)]
pub struct Examined {
    /// The id under which the transaction is indexed; `None` where the envelope names none.
    pub tx_id: Option<String>,
    /// `VALID` until something is found.
    pub code: Code,
    /// What the transaction is, as far as it could be read.
    pub content: Content,
    /// What it says against itself, whatever the code has become.
    objection: Option<Objection>,
    /// The headers, where the content does not have them.
    opened: Option<Box<Opened>>,
}

/// What an envelope holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// A chaincode call with its outcome. Boxed: it is large, and a block has many.
    Endorsed(Box<Endorsed>),
    /// A channel configuration: a serialized `common.ConfigEnvelope`.
    Config(Bytes),
    /// Something that cannot take effect.
    Other,
}

/// A chaincode call with its outcome.
#[derive(Clone, Debug)]
pub struct Endorsed {
    /// Headers and signature.
    pub opened: Opened,
    /// The call, its outcome and its endorsements.
    pub call: EndorsedCall,
    /// What it read and wrote.
    pub read_write_set: ReadWriteSet,
}

impl Endorsed {
    /// When the creator says it made the transaction.
    #[must_use]
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.opened.channel_header.timestamp
    }
}

/// A read-write set with nothing left serialized.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadWriteSet {
    /// In the order of the transaction, which is sorted where Fabric or Quire made it.
    pub namespaces: Vec<NamespaceSet>,
}

/// What happened in one namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct NamespaceSet {
    /// The namespace.
    pub namespace: String,
    /// Public keys.
    pub public: KvRwSet,
    /// Private collections, as hashes.
    pub collections: Vec<(String, HashedRwSet)>,
}

impl ReadWriteSet {
    /// Reads the bytes in `ChaincodeAction.results`.
    ///
    /// # Errors
    /// `BAD_RWSET` where any part does not parse.
    pub fn read(results: Bytes) -> Result<Self, Code> {
        let bad = |_| Code::BAD_RWSET;
        let message: TxReadWriteSet =
            tolerant::decode(results, tolerant::READ_WRITE_SET).map_err(bad)?;
        let namespaces = message.ns_rwset.into_iter().map(|namespace| {
            let collections = namespace
                .collection_hashed_rwset
                .into_iter()
                .map(|collection| {
                    let set = tolerant::decode(collection.hashed_rwset, tolerant::HASHED_KEYS)
                        .map_err(bad)?;
                    Ok((collection.collection_name, set))
                });
            Ok(NamespaceSet {
                public: tolerant::decode(namespace.rwset, tolerant::KEYS).map_err(bad)?,
                collections: collections.collect::<Result<_, Code>>()?,
                namespace: namespace.namespace,
            })
        });
        Ok(Self {
            namespaces: namespaces.collect::<Result<_, Code>>()?,
        })
    }
}

/// How far Fabric comes with an envelope before it finds something against it. What it asks in between
/// outranks what it would have found later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// To its headers; then the creator's signature is verified.
    Headers,
    /// To the transaction as a whole; then its id is looked for in earlier blocks.
    Transaction,
    /// To the call and its outcome; then the endorsements are held against policies.
    Call,
}

/// What an envelope says against itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Objection {
    stage: Stage,
    code: Code,
}

/// By which rules an envelope is judged.
#[derive(Clone, Copy, Debug)]
struct Rules<'a> {
    channel: &'a str,
    hashes: Hashes,
    origin: Origin,
    records: Records,
}

/// Whose word the transaction id and the proposal hash are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hashes {
    /// The envelope's.
    Claimed,
    /// This process's, which computed them.
    MadeHere,
}

/// Whose rules a channel has, where the two differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Quire's: a chaincode needs no version, and one that nobody defined is the built-in one.
    Quire,
    /// Fabric's: a chaincode has a version and a definition.
    Fabric,
}

/// Which records of rich queries are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Records {
    /// Those that are written now.
    OfNow,
    /// Those of earlier versions too, which blocks of before have.
    OfAnyVersion,
}

impl Examined {
    /// Reads an envelope of `channel` and applies the rules that need nothing but the envelope:
    /// Fabric's first phase of validation without signatures and policies.
    #[must_use]
    pub fn new(envelope: &Bytes, channel: &str) -> Self {
        Self::judged_by(envelope, channel, Origin::Quire, Records::OfNow)
    }

    /// The same of an envelope that this process made: its transaction id and its proposal hash are taken
    /// for what they were computed to be a moment ago, and not computed again.
    #[must_use]
    pub fn made_here(envelope: &Bytes, channel: &str) -> Self {
        let examined = Self::examine(
            envelope,
            Some(Rules {
                channel,
                hashes: Hashes::MadeHere,
                origin: Origin::Quire,
                records: Records::OfNow,
            }),
        );
        debug_assert_eq!(examined.code, Self::new(envelope, channel).code);
        examined
    }

    pub(crate) fn judged_by(
        envelope: &Bytes,
        channel: &str,
        origin: Origin,
        records: Records,
    ) -> Self {
        let hashes = Hashes::Claimed;
        Self::examine(
            envelope,
            Some(Rules {
                channel,
                hashes,
                origin,
                records,
            }),
        )
    }

    /// An envelope of a channel's first block. A configuration is not judged there: nobody was there to
    /// sign it, and what comes after is judged by it.
    pub(crate) fn first(envelope: &Bytes, channel: &str) -> Self {
        let read = Self::read(envelope);
        match read.content {
            Content::Config(_) => Self {
                opened: None,
                ..read
            },
            Content::Endorsed(_) | Content::Other => Self::new(envelope, channel),
        }
    }

    /// Reads an envelope without judging it, for blocks whose verdicts are stored.
    #[must_use]
    pub fn read(envelope: &Bytes) -> Self {
        Self::examine(envelope, None)
    }

    fn examine(envelope: &Bytes, rules: Option<Rules<'_>>) -> Self {
        let mut found = Found::default();
        let opened = match Opened::read(envelope) {
            Ok(opened) => opened,
            Err(code) => {
                found.object(Stage::Headers, code);
                return found.in_envelope(claimed_tx_id(envelope), Content::Other, None);
            }
        };
        let tx_id = Some(opened.indexed_tx_id());
        let header_type = opened.channel_header.r#type;
        if rules.is_some() || !is_known(header_type) {
            found.object_if(Stage::Headers, header_objection(&opened));
        }
        match header_type {
            header_type::ENDORSER_TRANSACTION => match endorsed(opened, rules, &mut found) {
                Ok(endorsed) => found.in_envelope(tx_id, Content::Endorsed(endorsed), None),
                Err(opened) => found.in_envelope(tx_id, Content::Other, Some(opened)),
            },
            header_type::CONFIG => {
                let config = ConfigEnvelope::decode(opened.data.clone()).ok();
                if config.is_some_and(|envelope| envelope.config.is_some()) {
                    if let Some(rules) = rules {
                        found.object_if(Stage::Transaction, channel_objection(&opened, rules));
                    }
                    let config = Content::Config(opened.data.clone());
                    return found.in_envelope(tx_id, config, Some(Box::new(opened)));
                }
                found.object(Stage::Transaction, Code::INVALID_CONFIG_TRANSACTION);
                found.in_envelope(tx_id, Content::Other, Some(Box::new(opened)))
            }
            // A wish for another configuration, which only orderers grant.
            _ => {
                found.object(Stage::Transaction, Code::UNSUPPORTED_TX_PAYLOAD);
                found.in_envelope(tx_id, Content::Other, Some(Box::new(opened)))
            }
        }
    }

    /// What its creator signed, where that decides: the headers are sound, and nobody else gave the
    /// transaction a code.
    pub(crate) fn signed_by_creator(&self) -> Option<&Opened> {
        let decides = self.code.is_valid()
            || self
                .own_objection()
                .is_some_and(|stage| stage > Stage::Headers);
        let opened = match &self.content {
            Content::Endorsed(endorsed) => Some(&endorsed.opened),
            Content::Config(_) | Content::Other => self.opened.as_deref(),
        };
        opened.filter(|_| decides)
    }

    /// Whether the transaction came so far that its id is looked for in earlier blocks.
    pub(crate) fn is_looked_up(&self) -> bool {
        self.code.is_valid()
            || self.code == Code::ENDORSEMENT_POLICY_FAILURE
            || self.own_objection() == Some(Stage::Call)
    }

    /// Where in Fabric's order the code is found, if it is the envelope that says it against itself.
    pub(crate) fn own_objection(&self) -> Option<Stage> {
        let objection = self.objection?;
        (objection.code == self.code).then_some(objection.stage)
    }
}

#[cfg(test)]
impl Examined {
    /// A transaction of which only its id and what was said of it matters.
    pub(crate) fn bare(tx_id: &str, code: Code) -> Self {
        let found = Found::default();
        Self {
            code,
            ..found.in_envelope(Some(tx_id.to_owned()), Content::Other, None)
        }
    }
}

/// The first objection to an envelope.
#[derive(Debug, Default)]
struct Found(Option<Objection>);

impl Found {
    fn object(&mut self, stage: Stage, code: Code) {
        self.0.get_or_insert(Objection { stage, code });
    }

    fn object_if(&mut self, stage: Stage, code: Option<Code>) {
        if let Some(code) = code {
            self.object(stage, code);
        }
    }

    fn in_envelope(
        self,
        tx_id: Option<String>,
        content: Content,
        opened: Option<Box<Opened>>,
    ) -> Examined {
        Examined {
            tx_id,
            code: self.0.map_or(Code::VALID, |objection| objection.code),
            content,
            objection: self.0,
            opened,
        }
    }
}

fn is_known(header_type: i32) -> bool {
    matches!(
        header_type,
        header_type::ENDORSER_TRANSACTION | header_type::CONFIG | header_type::CONFIG_UPDATE
    )
}

/// The id that an envelope claims whose headers cannot both be read. Fabric finds it by that.
fn claimed_tx_id(envelope: &Bytes) -> Option<String> {
    let envelope: Envelope = tolerant::decode(envelope.clone(), tolerant::ENVELOPE).ok()?;
    let payload: Payload = tolerant::decode(envelope.payload, tolerant::PAYLOAD).ok()?;
    let header = payload.header?.channel_header;
    let header: ChannelHeader = tolerant::decode(header, tolerant::CHANNEL_HEADER).ok()?;
    let tx_id = header.tx_id;
    (!tx_id.is_empty()).then_some(tx_id)
}

fn header_objection(opened: &Opened) -> Option<Code> {
    let header = &opened.channel_header;
    let creator = &opened.signature_header;
    let is_sound = is_known(header.r#type)
        && header.epoch == 0
        && !creator.nonce.is_empty()
        && !creator.creator.is_empty();
    (!is_sound).then_some(Code::BAD_COMMON_HEADER)
}

/// Fabric looks for the creator among the organisations of the channel that is named, and so finds none
/// for a channel it has not joined.
fn channel_objection(opened: &Opened, rules: Rules<'_>) -> Option<Code> {
    let is_ours = opened.channel_header.channel_id == rules.channel;
    (!is_ours).then_some(Code::TARGET_CHAIN_NOT_FOUND)
}

/// Takes an endorser transaction apart. What cannot be read is an objection and comes back.
fn endorsed(
    opened: Opened,
    rules: Option<Rules<'_>>,
    found: &mut Found,
) -> Result<Box<Endorsed>, Box<Opened>> {
    let claims = rules.filter(|rules| rules.hashes == Hashes::Claimed);
    if claims.is_some() && opened.channel_header.tx_id != opened.derived_tx_id() {
        found.object(Stage::Transaction, Code::BAD_PROPOSAL_TXID);
    }
    let action = match opened.endorsed_action() {
        Ok(action) => action,
        Err(code) => {
            found.object(Stage::Transaction, code);
            return Err(Box::new(opened));
        }
    };
    let mut called = None;
    if let Some(rules) = rules {
        found.object_if(
            Stage::Transaction,
            action_objection(&opened, &action, rules),
        );
        found.object_if(Stage::Transaction, channel_objection(&opened, rules));
        match extension_of(&opened) {
            Ok(extension) => called = extension.chaincode_id,
            Err(_) => found.object(Stage::Call, Code::BAD_HEADER_EXTENSION),
        }
    }
    let read = action.call().and_then(|call| {
        let read_write_set = ReadWriteSet::read(call.action.results.clone())?;
        Ok((call, read_write_set))
    });
    match read {
        Ok((call, read_write_set)) => {
            let endorsed = Endorsed {
                opened,
                call,
                read_write_set,
            };
            if let Some(rules) = rules {
                found.object_if(Stage::Call, endorsed.objection(called, rules));
            }
            Ok(Box::new(endorsed))
        }
        Err(code) => {
            found.object(Stage::Call, code);
            Err(Box::new(opened))
        }
    }
}

fn extension_of(opened: &Opened) -> Result<ChaincodeHeaderExtension, DecodeError> {
    let extension = opened.channel_header.extension.clone();
    tolerant::decode(extension, tolerant::HEADER_EXTENSION)
}

/// What binds a transaction's action to its proposal.
fn action_objection(opened: &Opened, action: &EndorsedAction, rules: Rules<'_>) -> Option<Code> {
    // Mostly the proposal's own, which is sound.
    let has_signer = action.header == opened.signature_header_bytes || names_signer(&action.header);
    let is_hashed = || {
        rules.hashes == Hashes::MadeHere
            || action.response.proposal_hash[..]
                == proposal_hash(
                    &opened.channel_header_bytes,
                    &action.header,
                    &action.proposal_payload,
                )
    };
    let is_bound = has_signer && !action.proposal_payload.is_empty() && is_hashed();
    (!is_bound).then_some(Code::INVALID_ENDORSER_TRANSACTION)
}

impl Endorsed {
    /// The first of Fabric's rules of a call and its outcome that the transaction breaks on its own; then
    /// ours, of queries. `called` is the chaincode that the header names.
    fn objection(&self, called: Option<ChaincodeId>, rules: Rules<'_>) -> Option<Code> {
        let Self { call, .. } = self;
        let (Some(called), Some(ran)) = (called, &call.action.chaincode_id) else {
            return Some(Code::INVALID_OTHER_REASON);
        };
        let has_version = rules.origin == Origin::Quire || !ran.version.is_empty();
        if called.name.is_empty() || called.name != ran.name || !has_version {
            return Some(Code::INVALID_CHAINCODE);
        }
        if !call.action.events.is_empty() {
            let event = tolerant::decode(call.action.events.clone(), tolerant::EVENT);
            if !event.is_ok_and(|event: ChaincodeEvent| event.chaincode_id == called.name) {
                return Some(Code::INVALID_OTHER_REASON);
            }
        }
        let sets = &self.read_write_set.namespaces;
        let mut namespaces = HashSet::new();
        // Most have one, and need no set of names.
        if sets.len() > 1
            && !sets
                .iter()
                .all(|set| namespaces.insert(set.namespace.as_str()))
        {
            return Some(Code::ILLEGAL_WRITESET);
        }
        rich::objection(&self.read_write_set, rules.records)
    }
}
