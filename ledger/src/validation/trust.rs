//! Who may sign in a channel, by one configuration of it, and which signatures are valid.
//!
//! The check of signatures needs only the configuration, and takes most of the time of a verdict: it is done
//! for many blocks at once, on every core ([`Trust::check`]). Whether the signers suffice is judged for one
//! transaction after the other ([`Trust::judge`], in [`super::endorsement`]).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use quire_identity::config::{check_configuration_fields, check_succession};
use quire_identity::{Bundle, Identity, Policy};
use quire_wire::Message as _;
use quire_wire::config::ConfigEnvelope;
use quire_wire::transaction::Opened;

use super::block_signatures::BlockVerifier;
use super::definitions::{self, Definition};
use super::endorsement::{self, ENDORSEMENT_POLICY, KeyPlace};
use crate::error::{ReadError, chain_of};
use crate::model::block::Block;
use crate::model::examined::{Content, Endorsed, Examined, Origin};
use crate::model::namespace::{CONFIG_KEY, CONFIG_NAMESPACE};
use crate::model::updates::Updates;
use crate::validation::pending::Pending;

/// Transactions that a thread takes at a time: with tens of milliseconds of work, the wait for the slowest
/// thread would be too long; one transaction alone is not worth the lock.
const TAKEN_AT_A_TIME: usize = 8;

/// Why a configuration cannot be used.
#[derive(Debug)]
pub(crate) struct Unusable(pub(crate) String);

fn unusable(error: &dyn std::error::Error) -> Unusable {
    Unusable(chain_of(error))
}

/// The origin of the signatures of a block's transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signatures {
    /// This process made each of them, or verified it when it came: they need no further proof. It is still
    /// checked who signed and whether they may, so that no verdict depends on the process that gives it.
    Proven,
    /// Others made them: every signature is verified.
    OfOthers,
}

/// A transaction's signatures, each checked by itself.
#[derive(Debug)]
pub(crate) enum Checked {
    /// There is nothing to check: the headers are not sound, or it is a first block, which nobody signs.
    NotLookedAt,
    /// The creator is not valid, or did not sign.
    BadCreator(String),
    /// The creator's signature is valid, and no endorsement was needed.
    Creator,
    /// The creator's signature is valid.
    Endorsed {
        /// The endorsers whose endorsements are valid.
        endorsers: Vec<Arc<Identity>>,
        /// Why the first invalid endorsement is invalid, and how many there are.
        refused: Option<(String, u64)>,
    },
}

/// A channel's configuration, and what follows from it and from the definitions of its chaincodes, as of the
/// next block.
#[derive(Debug)]
pub(crate) struct Trust {
    pub(super) bundle: Arc<Bundle>,
    /// Who may sign blocks.
    pub(crate) blocks: BlockVerifier,
    pub(super) origin: Origin,
    /// By the serialized `ApplicationPolicy`; `None` if it cannot be evaluated.
    pub(super) policies: HashMap<Bytes, Option<Policy>>,
    /// The definitions of chaincodes that were read so far.
    pub(super) definitions: HashMap<String, Option<Arc<Definition>>>,
    /// Keys whose policies a transaction of the judged block changed.
    pub(super) changed_policies: BTreeSet<KeyPlace>,
}

impl Trust {
    /// Reads a serialized `ConfigEnvelope` of `channel`. `origin` gives the rule for a chaincode that nobody
    /// defined.
    pub(crate) fn new(channel: &str, config: Bytes, origin: Origin) -> Result<Self, Unusable> {
        let envelope = ConfigEnvelope::decode(config).map_err(|error| unusable(&error))?;
        Self::of_envelope(channel, envelope, origin)
    }

    fn of_envelope(
        channel: &str,
        envelope: ConfigEnvelope,
        origin: Origin,
    ) -> Result<Self, Unusable> {
        let none = || Unusable("there is no configuration in it".to_owned());
        let config = envelope.config.ok_or_else(none)?;
        let bundle = Bundle::new(channel, config).map_err(|error| unusable(&error))?;
        if origin == Origin::Quire {
            // This policy governs undefined chaincodes.
            let policy = bundle.policy(ENDORSEMENT_POLICY);
            policy.map_err(|error| unusable(&error))?;
        }
        let bundle = Arc::new(bundle);
        Ok(Self {
            blocks: BlockVerifier::new(Arc::clone(&bundle)),
            bundle,
            origin,
            policies: HashMap::new(),
            definitions: HashMap::new(),
            changed_policies: BTreeSet::new(),
        })
    }

    /// Uses the configuration in state. Without one, nothing can be judged.
    pub(crate) fn in_state(
        channel: &str,
        pending: &Pending<'_>,
        origin: Origin,
    ) -> Result<Self, ReadError> {
        let config = pending.public(CONFIG_NAMESPACE, CONFIG_KEY)?;
        let config = config.ok_or_else(|| ReadError::Config("there is none".to_owned()))?;
        let trust = Self::new(channel, config.value, origin);
        trust.map_err(|Unusable(reason)| ReadError::Config(reason))
    }

    /// The next configuration, from a serialized `ConfigEnvelope`. The update in it must turn this
    /// configuration into it, and this release must be able to judge by it. If not, Fabric's peers stop
    /// before the block.
    pub(crate) fn next(&self, config: &Bytes) -> Result<Self, Unusable> {
        check_configuration_fields(config).map_err(|error| unusable(&error))?;
        let envelope = ConfigEnvelope::decode(config.clone());
        let envelope = envelope.map_err(|error| unusable(&error))?;
        check_succession(&self.bundle, &envelope).map_err(|error| unusable(&error))?;
        let next = Self::of_envelope(self.bundle.channel(), envelope, self.origin)?;
        let follows = self.bundle.check_next(&next.bundle);
        follows.map_err(|error| unusable(&error))?;
        let known = next.bundle.check_capabilities();
        known.map_err(|error| unusable(&error))?;
        Ok(next)
    }

    /// Notes what a block changed: definitions of chaincodes may be different now.
    pub(crate) fn end_block(&mut self, updates: &Updates) {
        if definitions::may_be_redefined_by(updates) {
            self.definitions.clear();
        }
        self.changed_policies.clear();
    }

    /// The keys, each with its namespace in state, that judging these transactions will read from state.
    pub(crate) fn named_keys<'t>(
        known: Option<&Self>,
        transactions: impl Iterator<Item = &'t Examined>,
    ) -> Vec<(String, String)> {
        let mut keys = Vec::new();
        if known.is_none() {
            keys.push((CONFIG_NAMESPACE.to_owned(), CONFIG_KEY.to_owned()));
        }
        let mut chaincodes = BTreeSet::new();
        for transaction in transactions {
            if let Content::Endorsed(endorsed) = &transaction.content {
                chaincodes.extend(endorsement::named(endorsed));
            }
        }
        let is_known =
            |chaincode: &str| known.is_some_and(|known| known.definitions.contains_key(chaincode));
        for chaincode in chaincodes
            .into_iter()
            .filter(|chaincode| !is_known(chaincode))
        {
            let asked = definitions::keys_of(chaincode).into_iter();
            keys.extend(asked.map(|(namespace, key)| (namespace.to_owned(), key)));
        }
        keys
    }

    /// Checks the signatures of transactions, in their order, on every core.
    pub(crate) fn check<'t>(
        &self,
        transactions: impl Iterator<Item = (&'t Examined, Signatures)>,
    ) -> Vec<Checked> {
        let transactions: Vec<_> = transactions.collect();
        let mut checked: Vec<Checked> = Vec::new();
        checked.resize_with(transactions.len(), || Checked::NotLookedAt);
        let is_others = |(_, signatures): &&(_, Signatures)| *signatures == Signatures::OfOthers;
        let others = transactions.iter().filter(is_others).count();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = cores.min(others / TAKEN_AT_A_TIME);
        let shares = transactions
            .chunks(TAKEN_AT_A_TIME)
            .zip(checked.chunks_mut(TAKEN_AT_A_TIME));
        let waiting = Mutex::new(shares);
        let work = || {
            loop {
                let Some((transactions, checked)) = waiting.lock().next() else {
                    return;
                };
                for ((transaction, signatures), checked) in transactions.iter().zip(checked) {
                    *checked = self.check_one(transaction, *signatures);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                let helper = std::thread::Builder::new().name("verify".to_owned());
                // Without a helper this thread does everything.
                if let Err(error) = helper.spawn_scoped(scope, work) {
                    tracing::warn!(%error, "no thread can be started to verify signatures");
                }
            }
            work();
        });
        checked
    }

    /// The same for a configuration in a first block, which is not examined. Fabric's tools make one that
    /// nobody signed.
    pub(crate) fn check_first(&self, envelope: &Bytes) -> Checked {
        match Opened::read(envelope) {
            Ok(opened) if !opened.signature_header.creator.is_empty() => {
                self.check_creator(&opened, Signatures::OfOthers)
            }
            _ => Checked::NotLookedAt,
        }
    }

    /// Follows Fabric's order: the creator first, whatever is wrong with the signed content; then, if nothing
    /// is wrong with it, the endorsements.
    fn check_one(&self, transaction: &Examined, signatures: Signatures) -> Checked {
        let Some(opened) = transaction.signed_by_creator() else {
            return Checked::NotLookedAt;
        };
        match (self.check_creator(opened, signatures), &transaction.content) {
            (Checked::Creator, Content::Endorsed(endorsed)) if transaction.code.is_valid() => {
                self.check_endorsements(endorsed, signatures)
            }
            (checked, _) => checked,
        }
    }

    fn check_creator(&self, opened: &Opened, signatures: Signatures) -> Checked {
        let creator = &opened.signature_header.creator;
        let signer = match signatures {
            Signatures::Proven => self.valid(creator),
            Signatures::OfOthers => self
                .valid(creator)
                .and_then(|signer| verified(signer, &opened.payload, &opened.signature)),
        };
        signer.map_or_else(Checked::BadCreator, |_| Checked::Creator)
    }

    fn check_endorsements(&self, endorsed: &Endorsed, signatures: Signatures) -> Checked {
        let call = &endorsed.call;
        let mut endorsers = Vec::with_capacity(call.endorsements.len());
        let mut refused: Option<(String, u64)> = None;
        for endorsement in &call.endorsements {
            let identity = &endorsement.endorser;
            let message = || [&call.proposal_response_payload[..], identity].concat();
            let signer = match signatures {
                Signatures::Proven => known(&self.bundle, identity),
                Signatures::OfOthers => {
                    signer(&self.bundle, identity, message, &endorsement.signature)
                }
            };
            match signer {
                Ok(signer) => endorsers.push(signer),
                Err(reason) => match &mut refused {
                    Some((_, count)) => *count += 1,
                    None => refused = Some((reason, 1)),
                },
            }
        }
        Checked::Endorsed { endorsers, refused }
    }

    /// An identity that its organisation accepts now.
    fn valid(&self, identity: &[u8]) -> Result<Arc<Identity>, String> {
        let valid = self.bundle.msps().validate(identity);
        valid.map_err(|error| error.to_string())
    }
}

/// An identity that an organisation issued, even if it is revoked: policies decide what that is worth.
fn known(bundle: &Bundle, identity: &[u8]) -> Result<Arc<Identity>, String> {
    let known = bundle.msps().deserialize(identity);
    known.map_err(|error| error.to_string())
}

/// The same, if it signed the message.
pub(super) fn signer<M: AsRef<[u8]>>(
    bundle: &Bundle,
    identity: &[u8],
    message: impl FnOnce() -> M,
    signature: &[u8],
) -> Result<Arc<Identity>, String> {
    verified(known(bundle, identity)?, message().as_ref(), signature)
}

/// Whether the signatures in a channel's first block hold: its creator's and its orderers', each where there
/// is one. They are judged by the configuration in it.
///
/// # Errors
/// Why one of them does not, or why nobody can be judged.
pub fn check_first_block(channel: &str, block: &Block) -> Result<(), String> {
    let envelope = block.envelopes.first().ok_or("it has no envelope")?;
    let Content::Config(config) = Examined::read(envelope).content else {
        return Err("it holds no configuration".to_owned());
    };
    let trust = Trust::new(channel, config, Origin::Quire);
    let trust = trust.map_err(|Unusable(reason)| reason)?;
    trust.blocks.verify(block)?;
    match trust.check_first(envelope) {
        Checked::BadCreator(reason) => Err(reason),
        _ => Ok(()),
    }
}

fn verified(
    signer: Arc<Identity>,
    message: &[u8],
    signature: &[u8],
) -> Result<Arc<Identity>, String> {
    match signer.verify(message, signature) {
        Ok(()) => Ok(signer),
        Err(error) => Err(format!("{}: {error}", signer.name())),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use prost::encoding::{WireType, encode_key, encode_varint};
    use quire_testkit::conformance;
    use quire_wire::common::{Envelope, Payload};
    use quire_wire::config::{Config, ConfigGroup, ConfigUpdate, ConfigUpdateEnvelope};

    use super::*;

    fn delimited(number: u32, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_key(number, WireType::LengthDelimited, &mut bytes);
        encode_varint(content.len() as u64, &mut bytes);
        bytes.extend_from_slice(content);
        bytes
    }

    /// The first group or value of a map, once more and with a field that nobody knows, as bytes that are put
    /// together with the root's. The later entry of a map counts.
    fn with_unknown(root: &ConfigGroup) -> Vec<u8> {
        let unknown = delimited(9, b"of a later release");
        let (name, value) = root.values.first_key_value().unwrap();
        let value = [&value.encode_to_vec()[..], &unknown].concat();
        let entry = [delimited(1, name.as_bytes()), delimited(2, &value)].concat();
        delimited(3, &entry)
    }

    #[test]
    fn a_configuration_with_fields_that_nobody_here_knows_stops_the_channel() {
        let base = Config::decode(&conformance::read("rules/configtx/bases/genesis.pb")[..]);
        let base = ConfigEnvelope {
            config: Some(base.unwrap()),
            last_update: None,
        };
        let trust = Trust::new("mychannel", base.encode_to_vec().into(), Origin::Fabric).unwrap();
        let case = &conformance::read_lines("rules/configtx/updates.jsonl")[0];
        let bytes = |name: &str| STANDARD.decode(case[name].as_str().unwrap()).unwrap();
        let envelope = Envelope::decode(&bytes("envelope_b64")[..]).unwrap();
        let config = Config::decode(&bytes("new_config_b64")[..]).unwrap();
        let sound = ConfigEnvelope {
            config: Some(config.clone()),
            last_update: Some(envelope.clone()),
        };
        let sound = sound.encode_to_vec();
        trust.next(&sound.clone().into()).unwrap();
        let stops = |config: Vec<u8>| {
            let Err(Unusable(reason)) = trust.next(&config.into()) else {
                panic!("it goes on");
            };
            assert!(
                reason.contains("field 9 of a common.ConfigValue"),
                "{reason}"
            );
        };
        // In the configuration, with the rest that is put together with what stands before.
        let root = with_unknown(config.channel_group.as_ref().unwrap());
        let more = delimited(1, &delimited(2, &root));
        stops([&sound[..], &more].concat());
        // In its update, where a peer of Fabric would find another configuration than this one.
        let payload = Payload::decode(envelope.payload.clone()).unwrap();
        let mut update = ConfigUpdateEnvelope::decode(payload.data.clone()).unwrap();
        let read = ConfigUpdate::decode(update.config_update.clone()).unwrap();
        assert!(read.write_set.is_some());
        let more = delimited(3, &root);
        update.config_update = [&update.config_update[..], &more].concat().into();
        let payload = Payload {
            data: update.encode_to_vec().into(),
            ..payload
        };
        let updated = ConfigEnvelope {
            config: Some(config),
            last_update: Some(Envelope {
                payload: payload.encode_to_vec().into(),
                ..envelope
            }),
        };
        stops(updated.encode_to_vec());
    }
}
