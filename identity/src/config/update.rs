//! Changing a channel's configuration by signature.
//!
//! An update names what it was computed from (the read set) and what should be (the write set), both as
//! trees with versions. What has another version in the write set than in the read set changes: it must
//! have the version after the current one, or 0 if it is new, and the policy that governs the *current*
//! element must be satisfied by the update's signatures. The rules are those of Fabric's `configtx`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use quire_wire::common::{ChannelHeader, Envelope, Payload, SignatureHeader, header_type};
use quire_wire::config::{Config, ConfigEnvelope, ConfigGroup, ConfigUpdate, ConfigUpdateEnvelope};
use quire_wire::json::{self, UnknownField};
use quire_wire::{DecodeError, Message as _};

use super::bundle::Bundle;
use super::elements::{self, Element, Elements, Kind, Place, Unlisted};
use crate::identity::Identity;
use crate::policy::{Policy, Shortfall};

/// Why an update was refused. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The envelope does not hold an update.
    #[error("the envelope is of type {0}, not CONFIG_UPDATE")]
    Type(i32),
    /// Its bytes cannot be read.
    #[error("the update cannot be read")]
    Decode(#[from] DecodeError),
    /// It is no protobuf message.
    #[error("the update cannot be read: {0}")]
    Malformed(#[from] json::Error),
    /// It has a field that nobody here knows, and that would be left out of the configuration.
    #[error("{0} is not known to this release, and would be left out")]
    Unknown(UnknownField),
    /// The envelope or its payload lacks its header.
    #[error("the envelope has no header")]
    NoHeader,
    /// It is for another channel.
    #[error("the update is for the channel {0:?}")]
    Channel(String),
    /// An element has a name that none can have.
    #[error("the name of {0} is not allowed: letters, digits, '.' and '-', up to 249")]
    Name(Place),
    /// Its elements have more bytes of paths than any configuration's.
    #[error("the update has too many elements, or too deep ones")]
    TooLarge,
    /// What the update was computed from is not there.
    #[error("the update was computed from {0}, which is not there; compute it again")]
    ReadMissing(Place),
    /// What the update was computed from has changed.
    #[error(
        "the update was computed from version {read} of {place}, which is at {current} now; compute it again"
    )]
    ReadVersion {
        /// Where.
        place: Place,
        /// The version that the update was computed from.
        read: u64,
        /// The version that is there.
        current: u64,
    },
    /// Nothing would change.
    #[error("the update changes nothing")]
    NoChange,
    /// What changes must say by which policy it can be changed again.
    #[error("{place} would have the mod_policy {policy:?}, which is not a path of a policy")]
    ModPolicy {
        /// Where.
        place: Place,
        /// What it would have.
        policy: String,
    },
    /// What changes has the wrong version.
    #[error("{place} would have version {version}; the next is {next}")]
    Version {
        /// Where.
        place: Place,
        /// What it would have.
        version: u64,
        /// The only version it can have.
        next: u64,
    },
    /// The policy that governs an element is not there, so nobody can change it.
    #[error("{place} is governed by the policy {policy:?}, which is not there")]
    NoPolicy {
        /// Where.
        place: Place,
        /// Its path as the element has it.
        policy: String,
    },
    /// The signatures do not suffice. More signatures may.
    #[error("the signatures do not suffice to change {place}: {missing}")]
    NotSatisfied {
        /// Where.
        place: Place,
        /// Who is missing.
        missing: Shortfall,
    },
    /// An element that is in the write set would not be in the new configuration: no group of it names
    /// the element.
    #[error("{0} is in the write set, and no group there names it")]
    Lost(Place),
    /// The configuration is not what its update leads to.
    #[error("the configuration is not what its update makes of the one before")]
    NotTheResult,
    /// The configuration does not follow the current one.
    #[error("the configuration has sequence {sequence}; the next is {next}")]
    Sequence {
        /// What it has.
        sequence: u64,
        /// What follows the current one.
        next: u64,
    },
}

/// An update with its signatures.
#[derive(Clone, Debug)]
pub struct SignedUpdate {
    bytes: Bytes,
    /// The update itself.
    pub update: ConfigUpdate,
    /// Each signature's serialized identity, with the message it is over.
    signatures: Vec<Signed>,
}

#[derive(Clone, Debug)]
struct Signed {
    identity: Bytes,
    header: Bytes,
    signature: Bytes,
}

impl SignedUpdate {
    /// Reads an envelope of type `CONFIG_UPDATE`. Its own signature is not looked at here.
    ///
    /// # Errors
    /// If it does not hold an update, or holds a signature without a readable header.
    pub fn from_envelope(envelope: &Envelope) -> Result<Self, UpdateError> {
        let payload = Payload::decode(envelope.payload.clone())?;
        let header = payload.header.ok_or(UpdateError::NoHeader)?;
        let header = ChannelHeader::decode(header.channel_header)?;
        if header.r#type != header_type::CONFIG_UPDATE {
            return Err(UpdateError::Type(header.r#type));
        }
        Self::read(ConfigUpdateEnvelope::decode(payload.data)?)
    }

    /// Reads an update with its signatures.
    ///
    /// # Errors
    /// If it cannot be read, or holds a signature without a readable header.
    pub fn read(envelope: ConfigUpdateEnvelope) -> Result<Self, UpdateError> {
        let update = ConfigUpdate::decode(envelope.config_update.clone())?;
        let signed = envelope.signatures.into_iter().map(|one| {
            let header = SignatureHeader::decode(one.signature_header.clone())?;
            Ok::<_, DecodeError>(Signed {
                identity: header.creator,
                header: one.signature_header,
                signature: one.signature,
            })
        });
        Ok(Self {
            bytes: envelope.config_update,
            update,
            signatures: signed.collect::<Result<_, _>>()?,
        })
    }

    /// Who signed, as far as their signatures hold by the configuration `bundle`; each once.
    #[must_use]
    pub fn signers(&self, bundle: &Bundle) -> Vec<Arc<Identity>> {
        let mut signers: Vec<Arc<Identity>> = Vec::new();
        for signed in &self.signatures {
            let Ok(identity) = bundle.msps().deserialize(&signed.identity) else {
                continue;
            };
            // Before the signature is checked: the same one a thousand times costs nothing.
            if signers.contains(&identity) {
                continue;
            }
            let message = [&signed.header[..], &self.bytes].concat();
            if identity.verify(&message, &signed.signature).is_ok() {
                signers.push(identity);
            }
        }
        signers
    }

    /// How many signatures there are, of whomever.
    #[must_use]
    pub fn signature_count(&self) -> usize {
        self.signatures.len()
    }

    /// The configuration that the update makes of `current`.
    ///
    /// # Errors
    /// If the update does not fit, or its signatures do not suffice.
    pub fn apply(&self, current: &Bundle) -> Result<Config, UpdateError> {
        self.lead_to(current, true)
    }

    /// The configuration that the update would make of `current`, whoever has signed so far.
    ///
    /// # Errors
    /// If the update does not fit.
    pub fn preview(&self, current: &Bundle) -> Result<Config, UpdateError> {
        self.lead_to(current, false)
    }

    fn lead_to(&self, current: &Bundle, is_signed: bool) -> Result<Config, UpdateError> {
        if self.update.channel_id != current.channel() {
            return Err(UpdateError::Channel(self.update.channel_id.clone()));
        }
        let elements = current.elements();
        let read = flatten(self.update.read_set.as_ref())?;
        check_read_set(&read, &elements)?;
        let written = flatten(self.update.write_set.as_ref())?;
        let changed = changes(&read, &written);
        let governed = governed(&changed, current, &elements)?;
        if is_signed {
            self.authorize(governed, current)?;
        }
        let mut next = elements;
        next.extend(changed);
        if let Some(lost) = written.keys().find(|place| !next.contains_key(place)) {
            return Err(UpdateError::Lost(lost.clone()));
        }
        Ok(Config {
            sequence: current.sequence().wrapping_add(1),
            channel_group: Some(elements::tree(&next).map_err(UpdateError::Lost)?),
        })
    }

    /// Whether the update's signatures satisfy the policies of what changes.
    fn authorize(&self, governed: Governed<'_>, current: &Bundle) -> Result<(), UpdateError> {
        let signers = self.signers(current);
        for (policy, place) in governed.into_values() {
            if let Some(missing) = policy.shortfall(&signers) {
                return Err(UpdateError::NotSatisfied { place, missing });
            }
        }
        Ok(())
    }

    /// What the update leaves in place though its write set has it: an element that is new, or that
    /// carries another content, below a group whose version is not raised. Fabric takes such an update
    /// without a signature, drops the element and raises the sequence.
    ///
    /// # Errors
    /// If the update cannot be read.
    pub fn dropped(&self, next: &Config) -> Result<Option<Place>, UpdateError> {
        let written = flatten(self.update.write_set.as_ref())?;
        let stands = flatten(next.channel_group.as_ref())?;
        let lost = written.keys().find(|place| !stands.contains_key(place));
        Ok(lost.cloned())
    }
}

/// Whether `next` follows `current` by the update that it carries.
///
/// # Errors
/// If it does not: Fabric's peers stop at a block with such a configuration.
pub fn check_succession(current: &Bundle, next: &ConfigEnvelope) -> Result<(), UpdateError> {
    let config = next.config.as_ref().ok_or(UpdateError::NotTheResult)?;
    let expected = current.sequence().wrapping_add(1);
    if config.sequence != expected {
        return Err(UpdateError::Sequence {
            sequence: config.sequence,
            next: expected,
        });
    }
    let update = next.last_update.as_ref().ok_or(UpdateError::NoHeader)?;
    let result = SignedUpdate::from_envelope(update)?.apply(current)?;
    if result.channel_group != config.channel_group {
        return Err(UpdateError::NotTheResult);
    }
    Ok(())
}

/// The policies that say who may change something, each once with a place that it governs: thousands of
/// elements may have the same.
type Governed<'b> = BTreeMap<usize, (&'b Policy, Place)>;

/// Whether everything that changes is the next version of what is there, and which policies govern that.
fn governed<'b>(
    changed: &Elements<'_>,
    current: &'b Bundle,
    elements: &Elements<'_>,
) -> Result<Governed<'b>, UpdateError> {
    if changed.is_empty() {
        return Err(UpdateError::NoChange);
    }
    let mut governed = Governed::new();
    for (place, element) in changed {
        let version = element.version();
        if !is_path(element.mod_policy()) {
            return Err(UpdateError::ModPolicy {
                place: place.clone(),
                policy: element.mod_policy().to_owned(),
            });
        }
        let existing = elements.get(place);
        let next = existing.map_or(0, |existing| existing.version().wrapping_add(1));
        if version != next {
            let place = place.clone();
            return Err(UpdateError::Version {
                place,
                version,
                next,
            });
        }
        let Some(existing) = existing else {
            continue;
        };
        let policy = governing(current, place, existing).ok_or_else(|| UpdateError::NoPolicy {
            place: place.clone(),
            policy: existing.mod_policy().to_owned(),
        })?;
        let entry = governed.entry(policy.place_in_memory());
        entry.or_insert_with(|| (policy, place.clone()));
    }
    Ok(governed)
}

fn flatten(root: Option<&ConfigGroup>) -> Result<Elements<'_>, UpdateError> {
    match root {
        None => Ok(Elements::new()),
        Some(root) => elements::flatten(root).map_err(|unlisted| match unlisted {
            Unlisted::Name(place) => UpdateError::Name(place),
            Unlisted::TooLong => UpdateError::TooLarge,
        }),
    }
}

fn check_read_set(read: &Elements<'_>, current: &Elements<'_>) -> Result<(), UpdateError> {
    for (place, element) in read {
        let existing = current
            .get(place)
            .ok_or_else(|| UpdateError::ReadMissing(place.clone()))?;
        if existing.version() != element.version() {
            return Err(UpdateError::ReadVersion {
                place: place.clone(),
                read: element.version(),
                current: existing.version(),
            });
        }
    }
    Ok(())
}

fn changes<'c>(read: &Elements<'_>, written: &Elements<'c>) -> Elements<'c> {
    let is_changed = |place: &Place, element: &Element<'_>| {
        read.get(place)
            .is_none_or(|before| before.version() != element.version())
    };
    let changed = written
        .iter()
        .filter(|(place, element)| is_changed(place, element));
    changed
        .map(|(place, element)| (place.clone(), *element))
        .collect()
}

/// Whether each step of the path is a name that an element can have.
fn is_path(policy: &str) -> bool {
    let relative = policy.strip_prefix('/').unwrap_or(policy);
    !policy.is_empty() && relative.split('/').all(elements::is_name)
}

/// The policy that says who may change the element. A relative path begins at the group that the element
/// is, or stands in; that of the root, and an absolute one, at the root.
fn governing<'b>(bundle: &'b Bundle, place: &Place, element: &Element<'_>) -> Option<&'b Policy> {
    let id = element.mod_policy();
    let mut path = place.path.as_slice();
    if id.starts_with('/') {
        return bundle.policies().absolute(id);
    }
    if place.kind != Kind::Group {
        path = path.split_last()?.1;
    }
    let (_, below_root) = path.split_first()?;
    bundle.policies().group(below_root)?.relative(id)
}
