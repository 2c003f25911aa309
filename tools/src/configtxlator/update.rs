//! The update that leads from one configuration to another.

use bytes::Bytes;
use quire_wire::config::{Config, ConfigUpdate};
use quire_wire::{DecodeError, Message as _};

use quire_identity::config::{ComputeError, compute_update};

/// Why there is no update.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpdateError {
    #[error("the original is no configuration: {0}")]
    Original(DecodeError),
    #[error("the updated one is no configuration: {0}")]
    Updated(DecodeError),
    #[error("{0}")]
    Compute(#[from] ComputeError),
}

/// The `ConfigUpdate` of a channel, in bytes.
pub(super) fn between(
    original: Bytes,
    updated: Bytes,
    channel: &str,
) -> Result<Vec<u8>, UpdateError> {
    let original = Config::decode(original).map_err(UpdateError::Original)?;
    let updated = Config::decode(updated).map_err(UpdateError::Updated)?;
    let channel_id = channel.to_owned();
    let update = ConfigUpdate {
        channel_id,
        ..compute_update(&original, &updated)?
    };
    Ok(update.encode_to_vec())
}
