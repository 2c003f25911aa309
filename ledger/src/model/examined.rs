//! An envelope, taken apart.

use bytes::Bytes;
use quire_wire::common::Timestamp;
use quire_wire::rwset::{HashedRwSet, KvRwSet, TxReadWriteSet};
use quire_wire::transaction::{EndorsedCall, Opened};
use quire_wire::{Code, tolerant};

/// An envelope as the ledger sees it, with the verdict so far.
#[derive(Clone, Debug)]
pub struct Examined {
    /// The id under which the transaction is indexed; `None` if the envelope names none.
    pub tx_id: Option<String>,
    /// `VALID` until something is found.
    pub code: Code,
    /// What the transaction is, as far as it could be read.
    pub content: Content,
    /// The fault in the envelope itself, whatever the code has become.
    pub(crate) objection: Option<Objection>,
    /// The headers, if the content does not have them.
    pub(crate) opened: Option<Box<Opened>>,
}

/// What an envelope holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// A chaincode call with its outcome. It is boxed because it is large, and a block has many.
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
    /// Whether nothing but its version is missing of the chaincode that ran, which Fabric refuses.
    pub(crate) lacks_version: bool,
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
    /// In the order of the transaction, which is sorted if Fabric or Quire made it.
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
    /// `BAD_RWSET` if any part does not parse.
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

/// The step at which Fabric finds a fault in an envelope. What it checks between the steps takes precedence
/// over faults of later steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// The headers; after them the creator's signature is verified.
    Headers,
    /// The transaction as a whole; after it the id is looked for in earlier blocks.
    Transaction,
    /// The call and its outcome; after them the endorsements are checked against policies.
    Call,
}

/// A fault in an envelope itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Objection {
    pub(crate) stage: Stage,
    pub(crate) code: Code,
}

/// The rules of a channel, in which Quire and Fabric differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Quire's rules: a chaincode needs no version, and an undefined chaincode is the built-in one.
    Quire,
    /// Fabric's rules: a chaincode has a version and a definition.
    Fabric,
}

impl Examined {
    /// What its creator signed, if the signature decides: the headers are sound, and the transaction has no
    /// other code.
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

    /// Whether the transaction reaches the step at which its id is looked for in earlier blocks.
    pub(crate) fn is_looked_up(&self) -> bool {
        self.code.is_valid()
            || self.code == Code::ENDORSEMENT_POLICY_FAILURE
            || self.own_objection() == Some(Stage::Call)
    }

    /// The step in Fabric's order at which the code is found, if the fault is in the envelope itself.
    pub(crate) fn own_objection(&self) -> Option<Stage> {
        let objection = self.objection?;
        (objection.code == self.code).then_some(objection.stage)
    }
}

#[cfg(test)]
impl Examined {
    /// A transaction of which only its id and its code matter.
    pub(crate) fn bare(tx_id: &str, code: Code) -> Self {
        Self {
            tx_id: Some(tx_id.to_owned()),
            code,
            content: Content::Other,
            objection: None,
            opened: None,
        }
    }
}
