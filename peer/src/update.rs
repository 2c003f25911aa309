//! An update of the configuration on its way into the order.
//!
//! What Fabric's orderers do with one: it is authorised by the configuration in force and applied, and the
//! result travels through the order as a configuration that the orderer signed, with the update in it. What
//! Fabric lets through and nobody can have meant is refused here, where it is new; in a block it is judged
//! as Fabric judges it.

use std::sync::Arc;

use bytes::Bytes;
use quire_identity::config::{
    Bundle, BundleError, Place, SignedUpdate, SuccessionError, UpdateError,
};
use quire_identity::policy::{PolicyError, Unsound, check_sound_changes};
use quire_ledger::ENDORSEMENT_POLICY;
use quire_ordering::BlockSigner;
use quire_wire::common::Envelope;
use quire_wire::config::{Config, ConfigEnvelope};
use quire_wire::{DecodeError, Message as _};

use crate::config::InForce;

/// Who must have signed a block.
const BLOCK_POLICY: &str = "/Channel/Orderer/BlockValidation";
/// Most bytes that a channel can let a transaction have: a block file has 64 MiB, and a block with a
/// transaction of this size fits in.
const MAX_ABSOLUTE_BYTES: u32 = 49 << 20;

/// Most signatures of an update: each is verified, whoever made it.
const MAX_SIGNATURES: usize = 1_000;
/// Policies without which, or with which everybody satisfying them, a channel could not be governed any more.
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
    /// It writes something that would silently not be there.
    #[error(
        "{0} is in the update and would be left out: the version of the group around it is not raised"
    )]
    Dropped(Place),
    /// It has a policy that nobody can have meant.
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
    /// A policy that guards the channel would be satisfied without any signature, as one that asks the
    /// organisations of a group that has none.
    #[error("{0} would not be there, or be satisfied without any signature")]
    Unguarded(&'static str),
    /// This node could not sign blocks any more.
    #[error("the new configuration would not let this node sign the channel's blocks: {0}")]
    NotOrderer(String),
    /// Blocks are ordered here, by whatever is ordering them now.
    #[error("the type of consensus cannot change from {from} to {to}: the channel is ordered here")]
    ConsensusType {
        /// What it is.
        from: String,
        /// What it would be.
        to: String,
    },
    /// More signatures than any channel has organisations.
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

/// Whether the node can go on by the new configuration.
fn check_next(
    current: &Bundle,
    config: &Config,
    signer: &dyn BlockSigner,
) -> Result<(), UpdateRefused> {
    let next = Bundle::new(current.channel(), config.clone())?;
    current.check_next(&next)?;
    next.check_capabilities()?;
    let (before, after) = (
        &current.config().channel_group,
        &next.config().channel_group,
    );
    if let (Some(before), Some(after)) = (before, after) {
        check_sound_changes(before, after)
            .map_err(|(path, source)| UpdateRefused::Unsound { path, source })?;
    }
    for guard in GUARDS {
        let was_there = current.policy(guard).is_ok();
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
    let not_orderer = |error: &dyn std::fmt::Display| UpdateRefused::NotOrderer(error.to_string());
    let orderer = next.msps().validate(signer.creator());
    let orderer = orderer.map_err(|error| not_orderer(&error))?;
    let blocks = next.policy(BLOCK_POLICY);
    let blocks = blocks.map_err(|error| not_orderer(&error))?;
    if blocks.is_satisfied_by(&[]) {
        return Err(UpdateRefused::Unguarded(BLOCK_POLICY));
    }
    match blocks.shortfall(&[Arc::clone(&orderer)]) {
        Some(missing) => Err(not_orderer(&missing)),
        None => Ok(()),
    }
}
