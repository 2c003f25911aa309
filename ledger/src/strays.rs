//! Parts of channels whose other parts are missing: something was lost, and nothing may be made in its place.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use fjall::Database;
use quire_disk::Disk;

use crate::derived;
use crate::error::OpenError;
use crate::followers::index::INDEX;
use crate::id_store::{CHANNELS, ID_STORE, IdStore, io_at};

/// Channels that the embedded engine has followed but that have neither a record nor a folder: otherwise a
/// new channel could be begun with such a name.
pub(crate) fn lost(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    id_store: &IdStore,
    database: &Database,
) -> Vec<OpenError> {
    let view = database.snapshot();
    let mut lost = Vec::new();
    for keyspace in database.list_keyspace_names() {
        let Some(name) = keyspace.strip_suffix(INDEX.suffix) else {
            continue;
        };
        let folder = disk.list(&dir.join(CHANNELS).join(name));
        let has_folder = folder
            .err()
            .is_none_or(|error| error.kind() != ErrorKind::NotFound);
        if has_folder || id_store.knows(name) {
            continue;
        }
        // A damaged savepoint proves nothing.
        let height = derived::savepoint(database, &view, name, INDEX).unwrap_or(0);
        if height > 0 {
            let channel = name.to_owned();
            lost.push(OpenError::Lost { channel, height });
        }
    }
    lost
}

/// Entries in the folder of channels without a record. A channel with an unreadable record is not among them.
pub(crate) fn orphans(disk: &dyn Disk, dir: &Path) -> Vec<OpenError> {
    let channels = dir.join(CHANNELS);
    let mut names = match disk.list(&channels) {
        Ok(names) => names,
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => return vec![io_at(&channels)(error)],
    };
    names.sort_unstable();
    let records = disk.list(&dir.join(ID_STORE)).unwrap_or_default();
    let records: HashSet<String> = records.into_iter().collect();
    names.retain(|name| !records.contains(&format!("{name}.json")));
    let refused = names
        .iter()
        .map(|name| refuse_orphan(disk, &channels.join(name)));
    refused.filter_map(Result::err).collect()
}

/// Files without a record are somebody's blocks: nothing may be made over them.
pub(crate) fn refuse_orphan(disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    match disk.list(dir) {
        Ok(names) if names.is_empty() => Ok(()),
        Ok(_) => Err(OpenError::Orphan(dir.to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_at(dir)(error)),
    }
}
