//! What may be ordered: the filters of Fabric's Broadcast, in its order, and one more.
//!
//! | filter | refuses |
//! |---|---|
//! | kind | envelopes of another channel, and configurations, which only orderers make, out of updates |
//! | empty | an envelope without a payload |
//! | size | payload and signature above `absolute_max_bytes` |
//! | expiration | a creator whose certificate has expired |
//! | signature | a creator that is not of the channel, did not sign, or is not one of its `Writers` |
//! | id | an envelope that claims the transaction id of another nonce or creator |
//!
//! The filter `id` is not Fabric's. Fabric's peers find such a transaction invalid later: then the id is used
//! up, and the transaction to which it belongs is a duplicate.
//!
//! Every envelope passes all filters. This process does not check again what it knows of an envelope that it
//! made: its kind and id, and that the signature holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use parking_lot::RwLock;
use quire_identity::{
    Identity, IdentityError, Msps, Policy, PolicyError, SignatureError, SigningIdentity,
};
use quire_wire::common::{Envelope, header_type};
use quire_wire::config::BatchSize;
use quire_wire::transaction::Opened;
use quire_wire::{Code, tolerant};

use crate::cutter::{EnvelopeTooLarge, envelope_size_bytes, exceeds};

/// The most identities of this process that are remembered as writers.
const REMEMBERED: usize = 1_000;
/// The most bytes of an envelope around its payload and its signature: two tags, two lengths, and some spare
/// bytes.
const FRAMING_BYTES: usize = 64;

/// What one configuration of a channel lets into its order.
#[derive(Debug)]
pub struct Admission {
    channel: Arc<str>,
    sequence: u64,
    limits: BatchSize,
    msps: Msps,
    writers: Result<Policy, PolicyError>,
    /// Identities of this process that may write. The key is the address of their serialized form, which is
    /// kept with them.
    members: RwLock<HashMap<usize, (Bytes, Arc<Identity>)>>,
}

/// Why an envelope is not let into the order. Its sender can mend all but [`Self::Policy`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It cannot be read as far as its headers.
    #[error("the envelope cannot be read: {0}")]
    Malformed(Code),
    /// Its payload has no bytes.
    #[error("the envelope has no payload")]
    Empty,
    /// It names another channel.
    #[error("the envelope is for channel {0:?}")]
    OtherChannel(String),
    /// It is a configuration, which only orderers make, or asks for another channel.
    #[error("envelopes of type {} cannot be ordered directly", header_type::name(*.0))]
    Kind(i32),
    /// Its transaction id is not that of its nonce and creator.
    #[error("the transaction id {0:?} belongs to another nonce or creator")]
    TxId(String),
    /// It is larger than the channel allows.
    #[error(transparent)]
    TooLarge(#[from] EnvelopeTooLarge),
    /// The channel does not know its creator.
    #[error("the creator is not a member of the channel")]
    Creator(#[from] IdentityError),
    /// Its creator's certificate has expired.
    #[error("the certificate of {0:?} has expired")]
    Expired(String),
    /// Its creator did not sign it.
    #[error("the creator's signature does not hold")]
    Signature(#[from] SignatureError),
    /// Its creator may not write.
    #[error("{0:?} is not one of the channel's writers")]
    NotAWriter(String),
    /// The channel's configuration does not say who may write.
    #[error("the channel's configuration does not say who may write")]
    Policy(#[from] PolicyError),
}

impl Admission {
    /// `sequence` is the configuration's. `writers` is its policy `/Channel/Writers`; if it cannot be
    /// evaluated, nobody may write.
    #[must_use]
    pub fn new(
        channel: Arc<str>,
        sequence: u64,
        limits: BatchSize,
        msps: Msps,
        writers: Result<Policy, PolicyError>,
    ) -> Self {
        Self {
            channel,
            sequence,
            limits,
            msps,
            writers,
            members: RwLock::default(),
        }
    }

    /// The configuration's sequence.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Puts an envelope through all filters, with nothing taken for granted. Returns what it holds.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn admit(&self, envelope: &Bytes, now: SystemTime) -> Result<Opened, Refused> {
        let message: Envelope = tolerant::decode(envelope.clone(), tolerant::ENVELOPE)
            .map_err(|_| Refused::Malformed(Code::INVALID_OTHER_REASON))?;
        if message.payload.is_empty() {
            return Err(Refused::Empty);
        }
        let opened = Opened::read(envelope).map_err(Refused::Malformed)?;
        self.check_kind(&opened)?;
        let size = size_bytes(&opened);
        // The cutter does not count the bytes around payload and signature.
        self.check_size(size.max(envelope.len().saturating_sub(FRAMING_BYTES)))?;
        let creator = self.msps.validate(&opened.signature_header.creator)?;
        check_expiration(&creator, now)?;
        creator.verify(&opened.payload, &opened.signature)?;
        self.check_writer(creator)?;
        check_id(&opened)?;
        Ok(opened)
    }

    /// Does the same with an envelope that this process has just made for this channel and signed as
    /// `creator`.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn admit_made_here(
        &self,
        creator: &SigningIdentity,
        size_bytes: usize,
        now: SystemTime,
    ) -> Result<(), Refused> {
        self.check_size(size_bytes)?;
        let serialized = creator.serialized();
        let place = serialized.as_ptr().addr();
        if let Some((_, creator)) = self.members.read().get(&place) {
            return check_expiration(creator, now);
        }
        let creator = self.msps.validate(serialized)?;
        check_expiration(&creator, now)?;
        let creator = self.check_writer(creator)?;
        let mut members = self.members.write();
        if members.len() < REMEMBERED {
            members.insert(place, (serialized.clone(), creator));
        }
        Ok(())
    }

    /// Checks the size of a configuration that this process has made out of an update.
    ///
    /// # Errors
    /// It is too large.
    pub fn admit_configuration(&self, envelope: &Bytes) -> Result<(), Refused> {
        self.check_size(envelope.len())
    }

    /// Puts an envelope through the filters that depend on the configuration, which has changed since the
    /// envelope was let in.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn admit_again(&self, envelope: &Bytes) -> Result<(), Refused> {
        let opened = Opened::read(envelope).map_err(Refused::Malformed)?;
        self.check_size(size_bytes(&opened))?;
        let creator = self.msps.validate(&opened.signature_header.creator)?;
        self.check_writer(creator).map(drop)
    }

    fn check_kind(&self, opened: &Opened) -> Result<(), Refused> {
        let header = &opened.channel_header;
        if header.channel_id != *self.channel {
            return Err(Refused::OtherChannel(header.channel_id.clone()));
        }
        match header.r#type {
            header_type::CONFIG | header_type::ORDERER_TRANSACTION => {
                Err(Refused::Kind(header.r#type))
            }
            _ => Ok(()),
        }
    }

    fn check_size(&self, size_bytes: usize) -> Result<(), Refused> {
        let limit_bytes = self.limits.absolute_max_bytes;
        if exceeds(size_bytes, limit_bytes) {
            let too_large = EnvelopeTooLarge {
                size_bytes,
                limit_bytes,
            };
            return Err(too_large.into());
        }
        Ok(())
    }

    fn check_writer(&self, creator: Arc<Identity>) -> Result<Arc<Identity>, Refused> {
        let writers = self.writers.as_ref().map_err(Clone::clone)?;
        let creator = [creator];
        let may_write = writers.is_satisfied_by(&creator);
        let [creator] = creator;
        if may_write {
            Ok(creator)
        } else {
            Err(Refused::NotAWriter(creator.name().to_owned()))
        }
    }
}

fn check_id(opened: &Opened) -> Result<(), Refused> {
    let header = &opened.channel_header;
    match header.r#type {
        // Its creator does not matter; the signatures of the update in it do.
        header_type::CONFIG_UPDATE => Ok(()),
        _ if header.tx_id.is_empty() || header.tx_id == opened.derived_tx_id() => Ok(()),
        _ => Err(Refused::TxId(header.tx_id.clone())),
    }
}

fn check_expiration(creator: &Identity, now: SystemTime) -> Result<(), Refused> {
    if creator.has_expired_at(now) {
        return Err(Refused::Expired(creator.name().to_owned()));
    }
    Ok(())
}

fn size_bytes(opened: &Opened) -> usize {
    envelope_size_bytes(&opened.payload, &opened.signature)
}

#[cfg(test)]
mod tests;
