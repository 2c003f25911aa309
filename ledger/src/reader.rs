//! Everything that any number of threads can ask of a channel.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quire_wire::hash::Hash;
use quire_wire::rwset::TxPvtReadWriteSet;

use crate::error::{Corruption, ReadError};
use crate::followers::index::TxLocation;
use crate::model::block::{Block, Height};
use crate::private_sets::KeepError;
use crate::query::{
    self, IndexError, IndexListing, IndexRequest, IndexState, MigrateError, Migrated, Migration,
};
use crate::snapshot::Snapshot;
use crate::view::{Shared, View};

/// The state of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainInfo {
    /// How many blocks there are.
    pub height: u64,
    /// Hash of the last block.
    pub current_hash: Hash,
    /// What the last block names as its previous hash; zeros if it names none, or is not here.
    pub previous_hash: Hash,
}

/// Reads of one channel. Cheap to clone; each call sees the newest commit.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.shared.view.read())
    }

    /// The channel's name.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.shared.channel
    }

    /// How many blocks can be read.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.view().tip.height
    }

    /// The number of the first block that can be read: 0 unless the chain was joined after its beginning.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.shared.extent.first()
    }

    /// Whether each read of state is a request to another server, which takes longer.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.view().state.is_remote()
    }

    /// Why state cannot be read now, if that is known. This may end by itself.
    #[must_use]
    pub fn state_trouble(&self) -> Option<String> {
        self.view().state.trouble()
    }

    /// One consistent view, for reads that belong together. Do not keep it longer than a request.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(Arc::clone(&self.shared), self.view())
    }

    /// The query indexes of a namespace, `_all_docs` first, then by design document and name.
    #[must_use]
    pub fn indexes(&self, namespace: &str) -> Vec<IndexListing> {
        let mut indexes = self.shared.registry.builder().of_namespace(namespace);
        indexes.sort_by_cached_key(|index| {
            let record = &index.definition.record;
            (record.ddoc.clone(), record.name.clone())
        });
        let indexes = indexes.iter().map(|index| IndexListing {
            definition: index.definition.to_json(),
            state: index.state(),
        });
        std::iter::once(query::all_documents())
            .chain(indexes)
            .collect()
    }

    /// The state of each query index of the channel, in no order.
    #[must_use]
    pub fn index_states(&self) -> Vec<IndexState> {
        self.shared.registry.builder().states()
    }

    /// Makes a query index and waits at most `wait` until it is built. Returns whether there was none like
    /// it; an index with the same name and another definition is replaced. The definition is durable on
    /// return, and building goes on without the caller.
    ///
    /// # Errors
    /// See [`IndexError`].
    pub fn create_index(
        &self,
        namespace: &str,
        request: &IndexRequest,
        wait: Duration,
    ) -> Result<bool, IndexError> {
        let registry = &self.shared.registry;
        let created = registry.create(namespace, request)?;
        let record = &request.0.record;
        let builder = registry.builder();
        builder.wait(namespace, &record.ddoc, &record.name, wait);
        Ok(created)
    }

    /// Removes a query index durably; `ddoc` is without `_design/`.
    ///
    /// # Errors
    /// See [`IndexError`].
    pub fn delete_index(&self, namespace: &str, ddoc: &str, name: &str) -> Result<(), IndexError> {
        self.shared.registry.delete(namespace, ddoc, name)
    }

    /// Applies the migrations that the channel has not had, and begins to build their indexes. `migrations`
    /// must be all migrations, in the order of their numbers, from 1 on without gaps. A migration is never
    /// applied twice, whatever happened to its indexes. Each is durable and remembered immediately, so the
    /// call may be repeated after an error or a crash.
    ///
    /// # Errors
    /// See [`MigrateError`]. Migrations before the one that it names are applied.
    pub fn migrate(&self, migrations: &[Migration]) -> Result<Migrated, MigrateError> {
        let Shared {
            channel, registry, ..
        } = self.shared.as_ref();
        registry.migrate(channel, migrations)
    }

    /// Height and hashes of the chain's end.
    ///
    /// # Errors
    /// See [`Reader::block`].
    pub fn info(&self) -> Result<ChainInfo, ReadError> {
        let tip = self.view().tip.clone();
        let last = tip.height.checked_sub(1);
        let last = match last.filter(|number| *number >= self.base()) {
            Some(number) => self.block(number)?,
            None => None,
        };
        let previous_hash = last.and_then(|block| block.previous_hash[..].try_into().ok());
        Ok(ChainInfo {
            height: tip.height,
            current_hash: tip.hash,
            previous_hash: previous_hash.unwrap_or_default(),
        })
    }

    /// Block `number`, checked; `None` at and beyond the height.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] if the block is damaged, because damaged blocks are never served;
    /// [`ReadError::BelowBase`] below [`Reader::base`].
    pub fn block(&self, number: u64) -> Result<Option<Arc<Block>>, ReadError> {
        let view = self.view();
        if number >= view.tip.height {
            return Ok(None);
        }
        let Shared { extent, .. } = self.shared.as_ref();
        if number < extent.first() {
            let base = extent.first();
            return Err(ReadError::BelowBase { number, base });
        }
        let location = self.shared.index.location(&view.derived, number)?;
        let location =
            location.ok_or_else(|| ReadError::Missing(format!("block {number} in the index")))?;
        let files = &self.shared.files;
        let read = files.read(number, location, extent.own_from);
        if let Err(ReadError::Corrupt(corruption)) = &read {
            self.shared
                .damage
                .remember(&self.shared.channel, number, corruption);
        }
        read.map(Some)
    }

    /// The damage that reads have met so far, by block. It stays known until the channel is opened again,
    /// whatever later reads find: a disk that fails only sometimes is not healthy either.
    #[must_use]
    pub fn damage(&self) -> Vec<Corruption> {
        self.shared.damage.list()
    }

    /// Blocks from `number` on, in order, up to the tip at the time when each is asked for. After an error it
    /// goes on with the next block.
    pub fn blocks(
        &self,
        number: u64,
    ) -> impl Iterator<Item = Result<Arc<Block>, ReadError>> + use<> {
        let reader = self.clone();
        (number..).map_while(move |number| reader.block(number).transpose())
    }

    /// The number of the block with this hash.
    ///
    /// # Errors
    /// The embedded engine failed.
    pub fn block_number_by_hash(&self, hash: &[u8]) -> Result<Option<u64>, ReadError> {
        self.shared.index.number_by_hash(&self.view().derived, hash)
    }

    /// The place and the verdict of the first transaction with this id.
    ///
    /// # Errors
    /// The embedded engine failed.
    pub fn transaction(&self, tx_id: &str) -> Result<Option<TxLocation>, ReadError> {
        let view = self.view();
        let found = self.shared.index.transaction(&view.derived, tx_id)?;
        match found {
            // If the index knows the transaction but state does not, it can neither be returned nor denied.
            Some(location) if location.height.block >= view.tip.height => {
                let number = location.height.block;
                Err(ReadError::StateUnavailable(format!(
                    "it has not taken in block {number} yet"
                )))
            }
            found => Ok(found),
        }
    }

    /// The bytes of a transaction's envelope; `None` if there is no such transaction. It reads only the
    /// envelope if the index knows its place, otherwise the whole block.
    ///
    /// # Errors
    /// See [`Reader::block`].
    pub fn envelope(&self, height: Height) -> Result<Option<Bytes>, ReadError> {
        if let Some(envelope) = self.lone_envelope(height) {
            return Ok(Some(envelope));
        }
        let Some(block) = self.block(height.block)? else {
            return Ok(None);
        };
        let position = usize::try_from(height.tx).ok();
        Ok(position.and_then(|tx| block.envelopes.get(tx).cloned()))
    }

    /// What a transaction wrote to private collections, as far as this node has it, and as it was when it was simulated
    /// here. Whether that is what the transaction did, its hashes in the block tell.
    #[must_use]
    pub fn private_set(&self, tx_id: &str) -> Option<TxPvtReadWriteSet> {
        self.shared.private_sets.set(tx_id)
    }

    /// Keeps what a transaction wrote to private collections, before it is ordered. This is durable on
    /// return. If the transaction was simulated before and wrote other values, these stay, and this fails.
    ///
    /// # Errors
    /// See [`KeepError`].
    pub fn keep_private(&self, tx_id: &str, set: &TxPvtReadWriteSet) -> Result<(), KeepError> {
        let Shared {
            private_sets,
            index,
            ..
        } = self.shared.as_ref();
        let view = self.view();
        private_sets.keep(tx_id, set, view.tip.height, (index, &view.derived))
    }

    /// [`Self::envelope`] without its block, if the block is not in memory. If this fails, the read of the block tells
    /// why.
    fn lone_envelope(&self, height: Height) -> Option<Bytes> {
        let Shared { files, index, .. } = self.shared.as_ref();
        let view = self.view();
        if height.block >= view.tip.height || files.is_cached(height.block) {
            return None;
        }
        let location = index.envelope(&view.derived, height).ok()??;
        files.read_envelope(height, location)
    }
}
