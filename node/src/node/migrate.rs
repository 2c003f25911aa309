//! Query indexes that channels are given from files, each once.

use quire_ledger::{Migrated, Migration, Reader};
use serde::{Deserialize, Serialize};

use super::Node;
use super::error::NodeError;

/// Files of query indexes that a channel got.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ChannelMigrated {
    pub(crate) channel: String,
    /// Each with how many indexes it made.
    pub(crate) applied: Vec<(String, usize)>,
    /// Those that were applied once and are there no more.
    pub(crate) gone: Vec<String>,
}

impl Node {
    /// Gives every channel that is opened or made from now on these query indexes, once.
    #[must_use]
    pub(crate) fn migrated_by(self, migrations: Vec<Migration>) -> Self {
        *self.migrations.write() = migrations;
        self
    }

    /// Gives every open channel the query indexes that it has not had, and every one that is made from
    /// now on.
    pub(crate) fn migrate(
        &self,
        migrations: &[Migration],
    ) -> Result<Vec<ChannelMigrated>, NodeError> {
        // Before the channels are told, so that one which is being made meanwhile gets them too.
        let before = std::mem::replace(&mut *self.migrations.write(), migrations.to_vec());
        let channels: Vec<_> = {
            let channels = self.channels.read();
            channels.values().map(|open| open.channel.clone()).collect()
        };
        let migrated = channels.iter().map(|channel| {
            let migrated = migrate(&channel.name, &channel.reader, migrations)?;
            Ok(ChannelMigrated {
                channel: channel.name.to_string(),
                applied: migrated.applied,
                gone: migrated.gone,
            })
        });
        let migrated: Result<_, _> = migrated.collect();
        if migrated.is_err() {
            *self.migrations.write() = before;
        }
        migrated
    }
}

/// Gives a channel the query indexes that it has not had, and says so.
pub(super) fn migrate(
    channel: &str,
    reader: &Reader,
    migrations: &[Migration],
) -> Result<Migrated, NodeError> {
    let migrated = reader.migrate(migrations);
    let migrated = migrated.map_err(|source| NodeError::Migrate {
        channel: channel.to_owned(),
        source,
    })?;
    tell_migrated(channel, &migrated);
    Ok(migrated)
}

fn tell_migrated(channel: &str, migrated: &Migrated) {
    for (file, indexes) in &migrated.applied {
        tracing::info!(channel, file, indexes, "query indexes of a file applied");
    }
    if let Some(newest) = migrated.gone.last() {
        let files = migrated.gone.len();
        tracing::warn!(
            channel,
            files,
            newest,
            "files of query indexes that were applied are there no more"
        );
    }
}
