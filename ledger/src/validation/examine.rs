//! What can be said of an envelope without a key, a policy or any state: does it parse, and does it
//! agree with itself?

use bytes::Bytes;
use quire_wire::common::{Timestamp, header_type};
use quire_wire::config::ConfigEnvelope;
use quire_wire::hash::{Hash, proposal_hash};
use quire_wire::peer::ChaincodeHeaderExtension;
use quire_wire::rwset::{HashedRwSet, KvRwSet, TxReadWriteSet};
use quire_wire::transaction::{EndorsedCall, Opened};
use quire_wire::{Code, Message as _};

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
        let message = TxReadWriteSet::decode(results).map_err(bad)?;
        let namespaces = message.ns_rwset.into_iter().map(|namespace| {
            let collections = namespace
                .collection_hashed_rwset
                .into_iter()
                .map(|collection| {
                    let set = HashedRwSet::decode(collection.hashed_rwset).map_err(bad)?;
                    Ok((collection.collection_name, set))
                });
            Ok(NamespaceSet {
                public: KvRwSet::decode(namespace.rwset).map_err(bad)?,
                collections: collections.collect::<Result<_, Code>>()?,
                namespace: namespace.namespace,
            })
        });
        Ok(Self {
            namespaces: namespaces.collect::<Result<_, Code>>()?,
        })
    }
}

/// Whose word the transaction id and the proposal hash are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hashes {
    /// The envelope's.
    Claimed,
    /// This process's, which computed them.
    MadeHere,
}

impl Examined {
    /// Reads an envelope of `channel` and applies the rules that need nothing but the envelope:
    /// Fabric's first phase of validation without signatures and policies.
    #[must_use]
    pub fn new(envelope: &Bytes, channel: &str) -> Self {
        Self::read(envelope).judged(channel, Hashes::Claimed)
    }

    /// The same of an envelope that this process made: its transaction id and its proposal hash are taken
    /// for what they were computed to be a moment ago, and not computed again.
    #[must_use]
    pub fn made_here(envelope: &Bytes, channel: &str) -> Self {
        let examined = Self::read(envelope).judged(channel, Hashes::MadeHere);
        debug_assert_eq!(examined.code, Self::new(envelope, channel).code);
        examined
    }

    fn judged(mut self, channel: &str, hashes: Hashes) -> Self {
        if self.code.is_valid() {
            let objection = match &self.content {
                Content::Endorsed(endorsed) => endorsed.objection(channel, hashes),
                Content::Config(_) => None,
                Content::Other => Some(Code::UNKNOWN_TX_TYPE),
            };
            self.code = objection.unwrap_or(Code::VALID);
        }
        self
    }

    /// Reads an envelope without judging it, for blocks whose verdicts are stored.
    #[must_use]
    pub fn read(envelope: &Bytes) -> Self {
        let invalid = |tx_id, code| Self {
            tx_id,
            code,
            content: Content::Other,
        };
        let opened = match Opened::read(envelope) {
            Ok(opened) => opened,
            Err(code) => return invalid(None, code),
        };
        let tx_id = Some(opened.indexed_tx_id());
        match opened.channel_header.r#type {
            header_type::ENDORSER_TRANSACTION => match Endorsed::read(opened) {
                Ok(endorsed) => Self {
                    tx_id,
                    code: Code::VALID,
                    content: Content::Endorsed(Box::new(endorsed)),
                },
                Err(code) => invalid(tx_id, code),
            },
            header_type::CONFIG => {
                let config = ConfigEnvelope::decode(opened.data.clone()).ok();
                if config.is_some_and(|envelope| envelope.config.is_some()) {
                    Self {
                        tx_id,
                        code: Code::VALID,
                        content: Content::Config(opened.data),
                    }
                } else {
                    invalid(tx_id, Code::INVALID_CONFIG_TRANSACTION)
                }
            }
            _ => invalid(tx_id, Code::UNKNOWN_TX_TYPE),
        }
    }
}

impl Endorsed {
    fn read(opened: Opened) -> Result<Self, Code> {
        let call = opened.endorsed_call()?;
        let read_write_set = ReadWriteSet::read(call.action.results.clone())?;
        Ok(Self {
            opened,
            call,
            read_write_set,
        })
    }

    /// The first of Fabric's rules that the transaction breaks on its own; then ours, of queries.
    fn objection(&self, channel: &str, hashes: Hashes) -> Option<Code> {
        let Self { opened, call, .. } = self;
        let header = &opened.channel_header;
        let creator = &opened.signature_header;
        if header.epoch != 0 || creator.nonce.is_empty() || creator.creator.is_empty() {
            return Some(Code::BAD_COMMON_HEADER);
        }
        if header.channel_id != channel {
            return Some(Code::TARGET_CHAIN_NOT_FOUND);
        }
        if hashes == Hashes::Claimed && header.tx_id != opened.derived_tx_id() {
            return Some(Code::BAD_PROPOSAL_TXID);
        }
        // The action repeats the proposal's signature header; another one would be another caller.
        if call.action_header != opened.signature_header_bytes {
            return Some(Code::INVALID_ENDORSER_TRANSACTION);
        }
        if hashes == Hashes::Claimed && call.proposal_hash[..] != self.computed_proposal_hash() {
            return Some(Code::INVALID_ENDORSER_TRANSACTION);
        }
        let extension = ChaincodeHeaderExtension::decode(header.extension.clone());
        let called = extension.ok().and_then(|extension| extension.chaincode_id);
        let Some(called) = called.filter(|called| !called.name.is_empty()) else {
            return Some(Code::BAD_HEADER_EXTENSION);
        };
        let ran = call.action.chaincode_id.as_ref();
        if ran.is_none_or(|ran| ran.name != called.name) {
            return Some(Code::INVALID_CHAINCODE);
        }
        rich::objection(&self.read_write_set)
    }

    fn computed_proposal_hash(&self) -> Hash {
        proposal_hash(
            &self.opened.channel_header_bytes,
            &self.opened.signature_header_bytes,
            &self.call.proposal_payload,
        )
    }
}
