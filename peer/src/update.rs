//! An update of the configuration that is to be ordered.
//!
//! It is treated as by Fabric's orderers: the configuration in force authorises it, it is applied, and the
//! result is ordered as a configuration that the orderer signed, with the update in it. Some updates that
//! Fabric lets through cannot be meant: they are refused here while they are new; in a block they are judged
//! as Fabric judges them.

use bytes::Bytes;
use quire_identity::config::{
    Bundle, BundleError, Place, SignedUpdate, SuccessionError, UpdateError, check_update_fields,
};
use quire_identity::policy::{PolicyError, Unsound, check_sound_changes};
use quire_ledger::{Block, Content, ENDORSEMENT_POLICY, Examined};
use quire_ordering::BlockSigner;
use quire_wire::common::Envelope;
use quire_wire::config::{Config, ConfigEnvelope, ConfigGroup};
use quire_wire::hash::sha256;
use quire_wire::{DecodeError, Message as _};

use crate::config::InForce;

/// Who must have signed a block.
const BLOCK_POLICY: &str = "/Channel/Orderer/BlockValidation";
/// The most bytes that a channel can allow a transaction: a block with such a transaction fits in a block
/// file of 64 MiB.
const MAX_ABSOLUTE_BYTES: u32 = 49 << 20;

/// The most signatures of an update: each is verified, whoever made it.
const MAX_SIGNATURES: usize = 1_000;
/// Policies that govern a channel: it could not be governed any more if one were missing, or if everybody
/// satisfied it.
const GUARDS: [&str; 4] = [
    "/Channel/Writers",
    "/Channel/Admins",
    "/Channel/Application/Admins",
    "/Channel/Orderer/Admins",
];

/// Why an update of the configuration is not ordered. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateRefused {
    /// The envelope cannot be read.
    #[error("the envelope cannot be read")]
    Decode(#[from] DecodeError),
    /// The update does not fit the configuration in force, or its signatures do not suffice.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// The configuration that it leads to cannot take effect.
    #[error("the new configuration cannot take effect: {0}")]
    Bundle(#[from] BundleError),
    /// It changes something that never changes.
    #[error(transparent)]
    Succession(#[from] SuccessionError),
    /// It writes something that would silently be left out.
    #[error(
        "{0} is in the update and would be left out: the version of the group around it is not raised"
    )]
    Dropped(Place),
    /// It has a policy that cannot be meant.
    #[error("the policy /Channel/{path}: {source}")]
    Unsound {
        /// The policy's path below the root.
        path: String,
        /// What is wrong with it.
        source: Unsound,
    },
    /// Nobody could endorse.
    #[error("the new configuration has no endorsement policy")]
    NoEndorsement(#[source] PolicyError),
    /// A policy that guards the channel would be satisfied without any signature, such as a policy that asks
    /// the organisations of an empty group.
    #[error("{0} would be missing, or be satisfied without any signature")]
    Unguarded(&'static str),
    /// This node could not sign blocks any more.
    #[error("the new configuration would not let this node sign the channel's blocks: {0}")]
    NotOrderer(String),
    /// The consensus type of a channel that is ordered here cannot change.
    #[error("the type of consensus cannot change from {from} to {to}: the channel is ordered here")]
    ConsensusType {
        /// The current type.
        from: String,
        /// The new type.
        to: String,
    },
    /// It has more signatures than any channel has organisations.
    #[error("the update has {0} signatures, more than {MAX_SIGNATURES}")]
    Signatures(usize),
    /// Transactions could be larger than a block file has room for.
    #[error("absolute_max_bytes is {0}, above {MAX_ABSOLUTE_BYTES}")]
    TooLarge(u32),
}

/// The data of the CONFIG envelope that a `CONFIG_UPDATE` envelope leads to.
///
/// # Errors
/// See [`UpdateRefused`].
pub(crate) fn configuration(
    envelope: &Bytes,
    current: &InForce,
    signer: &dyn BlockSigner,
) -> Result<ConfigEnvelope, UpdateRefused> {
    check_update_fields(envelope)?;
    let envelope = Envelope::decode(envelope.clone())?;
    let update = SignedUpdate::from_envelope(&envelope)?;
    if update.signature_count() > MAX_SIGNATURES {
        return Err(UpdateRefused::Signatures(update.signature_count()));
    }
    let config = update.apply(&current.bundle)?;
    if let Some(dropped) = update.dropped(&config)? {
        return Err(UpdateRefused::Dropped(dropped));
    }
    check_next(&current.bundle, &config, signer)?;
    Ok(ConfigEnvelope {
        config: Some(config),
        last_update: Some(envelope),
    })
}

/// Checks that the node can work with the new configuration.
fn check_next(
    current: &Bundle,
    config: &Config,
    signer: &dyn BlockSigner,
) -> Result<(), UpdateRefused> {
    let next = Bundle::new(current.channel(), config.clone())?;
    current.check_next(&next)?;
    next.check_capabilities()?;
    check_governed(Some(current), &next)?;
    if let (Some(before), Some(after)) = (current.orderer(), next.orderer()) {
        let (from, to) = (&before.consensus_type.r#type, &after.consensus_type.r#type);
        if from != to {
            let (from, to) = (from.clone(), to.clone());
            return Err(UpdateRefused::ConsensusType { from, to });
        }
        let bytes = after.batch_size.absolute_max_bytes;
        if bytes > MAX_ABSOLUTE_BYTES && bytes > before.batch_size.absolute_max_bytes {
            return Err(UpdateRefused::TooLarge(bytes));
        }
    }
    check_orders(&next, signer.creator()).map_err(UpdateRefused::NotOrderer)
}

/// Whether somebody can have meant the policies of `next`, and none that guards the channel is satisfied
/// without a signature. Those that were the same `before` are not looked at; without one before, all are.
pub(crate) fn check_governed(before: Option<&Bundle>, next: &Bundle) -> Result<(), UpdateRefused> {
    let nothing = ConfigGroup::default();
    let root = before.and_then(|before| before.config().channel_group.as_ref());
    if let Some(after) = &next.config().channel_group {
        check_sound_changes(root.unwrap_or(&nothing), after)
            .map_err(|(path, source)| UpdateRefused::Unsound { path, source })?;
    }
    for guard in GUARDS {
        let was_there = before.is_none_or(|before| before.policy(guard).is_ok());
        let holds_for_nobody = match next.policy(guard) {
            Ok(policy) => policy.is_satisfied_by(&[]),
            Err(_) => was_there,
        };
        if holds_for_nobody {
            return Err(UpdateRefused::Unguarded(guard));
        }
    }
    let endorsement = next.policy(ENDORSEMENT_POLICY);
    let endorsement = endorsement.map_err(UpdateRefused::NoEndorsement)?;
    if endorsement.is_satisfied_by(&[]) {
        return Err(UpdateRefused::Unguarded(ENDORSEMENT_POLICY));
    }
    match next.policy(BLOCK_POLICY) {
        Ok(blocks) if blocks.is_satisfied_by(&[]) => Err(UpdateRefused::Unguarded(BLOCK_POLICY)),
        _ => Ok(()),
    }
}

/// By what an update is known until the configuration that it leads to is in a block: the transaction ids of both
/// differ.
pub(crate) fn update_id(update: &Envelope) -> String {
    let Envelope { payload, signature } = update;
    let length = (payload.len() as u64).to_be_bytes();
    let digest = sha256([&length[..], payload, signature]);
    format!("update {}", hex::encode(digest))
}

/// The same of the update that led to a configuration, which is alone in its block.
pub(crate) fn update_in(block: &Block) -> Option<String> {
    let [envelope] = &block.envelopes[..] else {
        return None;
    };
    let Content::Config(config) = Examined::read(envelope).content else {
        return None;
    };
    let update = ConfigEnvelope::decode(config).ok()?.last_update?;
    Some(update_id(&update))
}

/// Whether blocks that this orderer alone signs are the channel's; why not, otherwise.
pub(crate) fn check_orders(bundle: &Bundle, orderer: &[u8]) -> Result<(), String> {
    let orderer = bundle.msps().validate(orderer);
    let orderer = orderer.map_err(|error| error.to_string())?;
    let blocks = bundle.policy(BLOCK_POLICY);
    let blocks = blocks.map_err(|error| error.to_string())?;
    match blocks.shortfall(&[orderer]) {
        Some(missing) => Err(missing.to_string()),
        None => Ok(()),
    }
}
