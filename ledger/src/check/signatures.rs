//! Who signed what, and whether they might: by the organisations and policies of the channel's own
//! configurations, and by the policies of its chaincodes as state has them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use quire_identity::{ChannelConfig, Msps, Policy, ValidIdentity};
use quire_wire::common::{Metadata, SignatureHeader, metadata_slot};
use quire_wire::config::{ConfigEnvelope, ConfigGroup, SignaturePolicyEnvelope};
use quire_wire::hash::header_der;
use quire_wire::transaction::Opened;
use quire_wire::{Code, Message as _};

use super::Kind;
use super::verdicts::Objection;
use crate::block::Block;
use crate::error::ReadError;
use crate::validation::examine::{Content, Endorsed, Examined};
use crate::validation::updates::{Pending, hashed_namespace};

/// Who must sign a block.
const BLOCK_POLICY: &str = "/Channel/Orderer/BlockValidation";
/// Who must endorse, where a chaincode has no policy of its own.
const ENDORSEMENT_POLICY: &str = "/Channel/Application/Endorsement";
/// Namespaces of Fabric's own chaincodes, with rules of their own.
const SYSTEM: [&str; 5] = ["_lifecycle", "lscc", "cscc", "qscc", ""];

/// Why a configuration cannot be gone by.
pub(super) struct Unusable(pub(super) String);

/// What can be said of a transaction's signatures.
pub(super) enum Signed {
    /// They were not looked at: nobody asked, or there is nothing to look at.
    NotLookedAt,
    /// They hold.
    Sound {
        /// How many.
        signatures: u64,
        /// Endorsements that do not hold, and need not.
        unneeded: u64,
        /// Whether the endorsers were held against a policy.
        by_policy: bool,
    },
    /// The creator's does, and something else is wrong with what it signed.
    ByCreator,
    /// The creator is none, or did not sign.
    BadCreator(String),
    /// The endorsers do not suffice.
    Unendorsed(String),
}

impl Signed {
    /// What is wrong where a transaction with this verdict is signed so: expected and found.
    pub(super) fn objection(&self, stored: Code) -> Option<(String, String)> {
        let took_part = matches!(
            stored,
            Code::VALID | Code::MVCC_READ_CONFLICT | Code::PHANTOM_READ_CONFLICT
        );
        let has_creator = took_part
            || matches!(
                stored,
                Code::DUPLICATE_TXID | Code::ENDORSEMENT_POLICY_FAILURE
            );
        match self {
            Self::BadCreator(found) if has_creator => {
                Some(("a creator's signature that holds".to_owned(), found.clone()))
            }
            Self::Unendorsed(found) if took_part => {
                let expected = "endorsements that satisfy the policy".to_owned();
                Some((expected, found.clone()))
            }
            Self::Sound { .. } | Self::ByCreator if stored == Code::BAD_CREATOR_SIGNATURE => {
                let expected = "a creator's signature that does not hold, as the verdict says";
                Some((expected.to_owned(), "one that holds".to_owned()))
            }
            Self::Sound {
                by_policy: true, ..
            } if stored == Code::ENDORSEMENT_POLICY_FAILURE => {
                let expected = "endorsements that do not suffice, as the verdict says";
                Some((expected.to_owned(), "endorsements that do".to_owned()))
            }
            _ => None,
        }
    }

    /// Whether a stored verdict can be given again with what is known of the signatures.
    pub(super) fn can_tell(&self, stored: Code, transaction: &Examined) -> bool {
        let is_sound = transaction.code.is_valid();
        match stored {
            Code::EXPIRED_CHAINCODE | Code::CHAINCODE_VERSION_CONFLICT | Code::INVALID_WRITESET => {
                false
            }
            // The envelope says so itself, or the definitions of chaincodes do.
            Code::ILLEGAL_WRITESET | Code::INVALID_CHAINCODE | Code::INVALID_OTHER_REASON => {
                !is_sound
            }
            Code::BAD_CREATOR_SIGNATURE => !matches!(self, Self::NotLookedAt),
            Code::ENDORSEMENT_POLICY_FAILURE => match self {
                Self::Sound { by_policy, .. } => *by_policy,
                Self::Unendorsed(_) | Self::BadCreator(_) | Self::ByCreator => true,
                Self::NotLookedAt => !is_sound,
            },
            _ => true,
        }
    }
}

/// A transaction's signatures, each checked by itself.
pub(super) enum Checked {
    NotLookedAt,
    BadCreator(String),
    Creator,
    Endorsed {
        endorsers: Vec<Arc<ValidIdentity>>,
        /// Why the first endorsement that does not hold does not, and how many there are.
        refused: Option<(String, u64)>,
    },
}

/// One configuration, ready to judge by.
pub(super) struct Trust {
    root: ConfigGroup,
    msps: Msps,
    blocks: Policy,
    /// By the bytes that define them.
    policies: HashMap<Bytes, Option<Policy>>,
}

impl Trust {
    /// From a serialized `ConfigEnvelope`.
    pub(super) fn new(config: Bytes) -> Result<Self, Unusable> {
        let unusable = |error: &dyn std::error::Error| Unusable(error.to_string());
        let envelope = ConfigEnvelope::decode(config).map_err(|error| unusable(&error))?;
        let root = envelope.config.and_then(|config| config.channel_group);
        let root = root.ok_or_else(|| Unusable("no channel group".to_owned()))?;
        let config = ChannelConfig::from_group(&root).map_err(|error| unusable(&error))?;
        Ok(Self {
            msps: config.msps().map_err(|error| unusable(&error))?,
            blocks: Policy::at(&root, BLOCK_POLICY).map_err(|error| unusable(&error))?,
            root,
            policies: HashMap::new(),
        })
    }

    /// The orderers' signatures in slot 0; how many there are. A first block may have none: no
    /// orderer was there yet.
    pub(super) fn check_block(&self, block: &Block) -> Result<u64, Objection> {
        let object = |found: String| Objection {
            kind: Kind::Signature,
            transaction: None,
            expected: "signatures of orderers who may sign blocks".to_owned(),
            found,
        };
        let slot = block.metadata.get(metadata_slot::SIGNATURES).cloned();
        let metadata = Metadata::decode(slot.unwrap_or_default())
            .map_err(|error| object(format!("slot 0: {error}")))?;
        if metadata.signatures.is_empty() && block.number == 0 {
            return Ok(0);
        }
        let header = header_der(block.number, &block.previous_hash, &block.data_hash);
        let mut signers = Vec::new();
        let mut refused = None;
        for signature in &metadata.signatures {
            let message = [&metadata.value[..], &signature.signature_header, &header].concat();
            let creator = SignatureHeader::decode(signature.signature_header.clone());
            let creator = creator.map(|header| header.creator).unwrap_or_default();
            match self.signer(&creator, &message, &signature.signature) {
                Ok(signer) => signers.push(signer),
                Err(reason) => refused = refused.or(Some(reason)),
            }
        }
        if self.blocks.is_satisfied_by(&signers) {
            Ok(signers.len() as u64)
        } else {
            let count = signers.len();
            let reason = refused.map(|reason| format!("; one does not: {reason}"));
            Err(object(format!(
                "{count} that hold and do not satisfy {BLOCK_POLICY}{}",
                reason.unwrap_or_default()
            )))
        }
    }

    fn signer(
        &self,
        identity: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<Arc<ValidIdentity>, String> {
        let signer = self.msps.validate(identity);
        let signer = signer.map_err(|error| error.to_string())?;
        match signer.verify(message, signature) {
            Ok(()) => Ok(signer),
            Err(error) => Err(format!("{}: {error}", signer.name())),
        }
    }

    /// Checks the signatures of a block's transactions, on every core.
    pub(super) fn check_transactions(
        &self,
        block: &Block,
        transactions: &[Examined],
    ) -> Vec<Checked> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = transactions.len().div_ceil(threads).max(1);
        let shares = transactions
            .chunks(share)
            .zip(block.envelopes.chunks(share));
        let check = |(transactions, envelopes): (&[Examined], &[Bytes])| -> Vec<Checked> {
            let pairs = transactions.iter().zip(envelopes);
            pairs
                .map(|(transaction, envelope)| self.check(block.number, transaction, envelope))
                .collect()
        };
        if transactions.len() < 2 * threads {
            return shares.flat_map(check).collect();
        }
        std::thread::scope(|scope| {
            let workers: Vec<_> = shares
                .map(|share| scope.spawn(move || check(share)))
                .collect();
            let checked = workers.into_iter().map(|worker| match worker.join() {
                Ok(checked) => checked,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            checked.flatten().collect()
        })
    }

    fn check(&self, block: u64, transaction: &Examined, envelope: &Bytes) -> Checked {
        let in_first = match &transaction.content {
            Content::Config(_) if block == 0 => Opened::read(envelope).ok(),
            _ => None,
        };
        let Some(opened) = in_first.as_ref().or(transaction.signed_by_creator()) else {
            return Checked::NotLookedAt;
        };
        // Fabric's tools make a first block that nobody signed. Who may sign in another channel is not
        // known here.
        let is_unsigned = in_first.is_some() && opened.signature_header.creator.is_empty();
        if is_unsigned || transaction.code == Code::TARGET_CHAIN_NOT_FOUND {
            return Checked::NotLookedAt;
        }
        let creator = &opened.signature_header.creator;
        if let Err(reason) = self.signer(creator, &opened.payload, &opened.signature) {
            return Checked::BadCreator(reason);
        }
        match &transaction.content {
            Content::Endorsed(endorsed) if transaction.code.is_valid() => {
                self.check_endorsements(endorsed)
            }
            Content::Endorsed(_) | Content::Config(_) | Content::Other => Checked::Creator,
        }
    }

    fn check_endorsements(&self, endorsed: &Endorsed) -> Checked {
        let call = &endorsed.call;
        let mut endorsers = Vec::with_capacity(call.endorsements.len());
        let mut refused: Option<(String, u64)> = None;
        for endorsement in &call.endorsements {
            let identity = &endorsement.endorser;
            let message = [&call.proposal_response_payload[..], identity].concat();
            match self.signer(identity, &message, &endorsement.signature) {
                Ok(signer) => endorsers.push(signer),
                Err(reason) => match &mut refused {
                    Some((_, count)) => *count += 1,
                    None => refused = Some((reason, 1)),
                },
            }
        }
        Checked::Endorsed { endorsers, refused }
    }

    /// Holds a transaction's endorsers against the policies of the chaincodes that it writes to.
    pub(super) fn judge(
        &mut self,
        checked: Checked,
        transaction: &Examined,
        pending: &mut Pending<'_>,
    ) -> Result<Signed, ReadError> {
        let (endorsers, refused) = match checked {
            Checked::NotLookedAt => return Ok(Signed::NotLookedAt),
            Checked::BadCreator(reason) => return Ok(Signed::BadCreator(reason)),
            Checked::Creator if !transaction.code.is_valid() => return Ok(Signed::ByCreator),
            Checked::Creator => {
                return Ok(Signed::Sound {
                    signatures: 1,
                    unneeded: 0,
                    by_policy: true,
                });
            }
            Checked::Endorsed { endorsers, refused } => (endorsers, refused),
        };
        let Content::Endorsed(endorsed) = &transaction.content else {
            return Ok(Signed::NotLookedAt);
        };
        let reason = refused
            .as_ref()
            .map(|(reason, _)| format!("; one does not hold: {reason}"));
        let reason = reason.unwrap_or_default();
        let mut by_policy = true;
        for chaincode in written(endorsed) {
            match self.policy_of(chaincode, endorsed, pending)? {
                None => by_policy = false,
                Some(policy) if policy.is_satisfied_by(&endorsers) => {}
                Some(_) => {
                    let count = endorsers.len();
                    return Ok(Signed::Unendorsed(format!(
                        "{count} that hold and do not satisfy the policy of {chaincode:?}{reason}"
                    )));
                }
            }
        }
        // Without a policy nobody can say that one is not needed.
        match refused {
            Some(_) if !by_policy => Ok(Signed::Unendorsed(format!("some{reason}"))),
            refused => Ok(Signed::Sound {
                signatures: 1 + endorsers.len() as u64,
                unneeded: refused.map_or(0, |(_, count)| count),
                by_policy,
            }),
        }
    }

    /// The policy of a chaincode when the transaction is judged; none where it is not judged here.
    fn policy_of(
        &mut self,
        chaincode: &str,
        endorsed: &Endorsed,
        pending: &mut Pending<'_>,
    ) -> Result<Option<&Policy>, ReadError> {
        if SYSTEM.contains(&chaincode) || may_have_key_policies(chaincode, endorsed, pending)? {
            return Ok(None);
        }
        let definition = definition(chaincode, pending)?;
        let key = definition.clone().unwrap_or_default();
        let root = &self.root;
        let policy = self
            .policies
            .entry(key)
            .or_insert_with(|| match definition {
                Some(definition) => compile(&definition, root),
                None => Policy::at(root, ENDORSEMENT_POLICY).ok(),
            });
        Ok(policy.as_ref())
    }
}

/// Whether keys of a chaincode that a transaction may write can have policies of their own: where metadata
/// was ever written.
fn may_have_key_policies(
    chaincode: &str,
    endorsed: &Endorsed,
    pending: &mut Pending<'_>,
) -> Result<bool, ReadError> {
    let sets = endorsed.read_write_set.namespaces.iter();
    let collections = sets
        .filter(|set| set.namespace == chaincode)
        .flat_map(|set| &set.collections);
    for (collection, _) in collections {
        if pending.may_have_metadata(&hashed_namespace(chaincode, collection))? {
            return Ok(true);
        }
    }
    pending.may_have_metadata(chaincode)
}

/// The chaincodes whose policies a transaction must satisfy: the one called, and those it writes to.
fn written(endorsed: &Endorsed) -> BTreeSet<&str> {
    let called = endorsed.call.action.chaincode_id.as_ref();
    let called = called.map(|chaincode| chaincode.name.as_str());
    let sets = endorsed.read_write_set.namespaces.iter();
    let written = sets.filter(|set| {
        let collections = set.collections.iter();
        !set.public.writes.is_empty()
            || !set.public.metadata_writes.is_empty()
            || collections
                .into_iter()
                .any(|(_, set)| !set.hashed_writes.is_empty())
    });
    // What a chaincode is deployed with is written under the rules of deployment.
    match called {
        Some(system) if SYSTEM.contains(&system) => BTreeSet::from([system]),
        called => written
            .map(|set| set.namespace.as_str())
            .chain(called)
            .collect(),
    }
}

/// `lifecycle.StateData`, of which only bytes matter here.
#[derive(Clone, PartialEq, prost::Message)]
struct StateData {
    #[prost(bytes = "bytes", optional, tag = "2")]
    bytes: Option<Bytes>,
}

/// `lifecycle.ChaincodeValidationInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct ValidationInfo {
    #[prost(bytes = "bytes", tag = "2")]
    validation_parameter: Bytes,
}

/// `common.ApplicationPolicy`.
#[derive(Clone, PartialEq, prost::Message)]
struct ApplicationPolicy {
    #[prost(message, optional, tag = "1")]
    signature_policy: Option<SignaturePolicyEnvelope>,
    #[prost(string, optional, tag = "2")]
    channel_config_policy_reference: Option<String>,
}

/// `ccprovider.ChaincodeData` of Fabric 1, of which only the policy matters here.
#[derive(Clone, PartialEq, prost::Message)]
struct ChaincodeData {
    #[prost(bytes = "bytes", tag = "5")]
    policy: Bytes,
}

/// The serialized `ApplicationPolicy` with which a chaincode was committed; none where it was not.
fn definition(chaincode: &str, pending: &mut Pending<'_>) -> Result<Option<Bytes>, ReadError> {
    let key = format!("namespaces/fields/{chaincode}/ValidationInfo");
    if let Some(value) = pending.public("_lifecycle", &key)? {
        let info = StateData::decode(value.value).ok();
        let info = ValidationInfo::decode(info.and_then(|data| data.bytes).unwrap_or_default());
        return Ok(info.ok().map(|info| info.validation_parameter));
    }
    let Some(value) = pending.public("lscc", chaincode)? else {
        return Ok(None);
    };
    let policy = ChaincodeData::decode(value.value).map(|data| data.policy);
    let policy = policy.and_then(SignaturePolicyEnvelope::decode).ok();
    let application = policy.map(|policy| ApplicationPolicy {
        signature_policy: Some(policy),
        channel_config_policy_reference: None,
    });
    // One that does not parse has neither form of policy, and is not judged.
    Ok(Some(application.unwrap_or_default().encode_to_vec().into()))
}

fn compile(definition: &Bytes, root: &ConfigGroup) -> Option<Policy> {
    let policy = ApplicationPolicy::decode(definition.clone()).ok()?;
    match (
        policy.signature_policy,
        policy.channel_config_policy_reference,
    ) {
        (Some(envelope), _) => Policy::from_envelope(&envelope).ok(),
        (None, Some(path)) => Policy::at(root, &path).ok(),
        (None, None) => None,
    }
}
