//! Fields that are not known here, in what leads to a configuration.
//!
//! They are dropped here, and a peer of Fabric keeps those of values and policies. A configuration that has some is
//! another one there than here, or none, as its update makes another one of the configuration before.

use bytes::Bytes;
use quire_wire::Message as _;
use quire_wire::common::{Envelope, Payload};
use quire_wire::config::{ConfigEnvelope, ConfigUpdateEnvelope};
use quire_wire::json::{self, MessageType, UnknownField, unknown_fields};

use super::update::UpdateError;

/// What Fabric copies with all its fields from an update to the configuration.
const COPIED: [&str; 3] = ["common.ConfigValue", "common.ConfigPolicy", "common.Policy"];

/// Whether every field is known of a serialized envelope of type `CONFIG_UPDATE` and of what it holds, as far as
/// that is read here. What is the content of a value stays the bytes that it is.
///
/// # Errors
/// The first field that is not known.
pub fn check_update_fields(envelope: &Bytes) -> Result<(), UpdateError> {
    all_known("common.Envelope", envelope)?;
    let payload = Envelope::decode(envelope.clone())?.payload;
    all_known("common.Payload", &payload)?;
    let header = Payload::decode(payload.clone())?.header;
    all_known(
        "common.ChannelHeader",
        &header.unwrap_or_default().channel_header,
    )?;
    let update = Payload::decode(payload)?.data;
    all_known("common.ConfigUpdateEnvelope", &update)?;
    let update = ConfigUpdateEnvelope::decode(update)?.config_update;
    all_known("common.ConfigUpdate", &update)
}

/// Whether a serialized `ConfigEnvelope` from a block is one that is read here as Fabric reads it.
///
/// # Errors
/// The first field that is not known, and that a peer of Fabric would have in its configuration or compare.
pub fn check_configuration_fields(config: &Bytes) -> Result<(), UpdateError> {
    let unknown = unknown("common.ConfigEnvelope", config)?;
    let in_tree = |field: &UnknownField| field.is_below("channel_group");
    if let Some(field) = unknown.into_iter().find(in_tree) {
        return Err(UpdateError::Unknown(field));
    }
    let Some(update) = ConfigEnvelope::decode(config.clone())?.last_update else {
        return Ok(());
    };
    let update = Payload::decode(update.payload)?.data;
    let update = ConfigUpdateEnvelope::decode(update)?.config_update;
    let unknown = self::unknown("common.ConfigUpdate", &update)?;
    let is_copied =
        |field: &UnknownField| field.is_below("write_set") && COPIED.contains(&field.message);
    match unknown.into_iter().find(is_copied) {
        Some(field) => Err(UpdateError::Unknown(field)),
        None => Ok(()),
    }
}

fn all_known(name: &'static str, bytes: &Bytes) -> Result<(), UpdateError> {
    match unknown(name, bytes)?.into_iter().next() {
        Some(field) => Err(UpdateError::Unknown(field)),
        None => Ok(()),
    }
}

fn unknown(name: &'static str, bytes: &Bytes) -> Result<Vec<UnknownField>, json::Error> {
    let found: Option<&'static MessageType> = json::message_type(name);
    found.map_or(Ok(Vec::new()), |found| unknown_fields(found, bytes.clone()))
}
