//! What the files of a data directory say, for who reads them without opening it: nothing is locked,
//! made or changed, and a node may run on it. Records are replaced whole.

use std::path::Path;
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::OpenError;
use crate::id_store::{ChannelRecord, IdStore};

/// The channels of a data directory, by name.
///
/// # Errors
/// A record cannot be read.
pub fn stored_channels(disk: Arc<dyn Disk>, data: &Path) -> Result<Vec<ChannelRecord>, OpenError> {
    IdStore::at(disk, data.join("id-store")).list()
}
