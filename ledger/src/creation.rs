//! Makes and removes channels. After a crash in between, the channel does not exist.

use std::io::ErrorKind;
use std::sync::Arc;

use fjall::PersistMode;

use crate::base::{Base, Extent};
use crate::block_store::scan::identity;
use crate::block_store::segment::Segments;
use crate::derived;
use crate::error::OpenError;
use crate::id_store::{CHANNELS, ChannelRecord, CreateOptions, Status, io_at};
use crate::ledger::Ledger;
use crate::ledgers::Ledgers;
use crate::model::block::Block;
use crate::ordered::Ordered;
use crate::strays::refuse_orphan;

impl Ledgers {
    /// Makes a channel whose block 0 is `genesis`. It is durable on return; after a crash before that the
    /// channel does not exist.
    ///
    /// # Errors
    /// [`OpenError::Exists`] if a channel of this name exists, [`OpenError::Orphan`] if files of one exist.
    pub fn create(
        &self,
        name: &str,
        genesis: Block,
        options: CreateOptions,
    ) -> Result<Ledger, OpenError> {
        let record = ChannelRecord::new(name, options.segment_bytes);
        self.begin(name, genesis, record)
    }

    /// The same for a chain whose blocks orderers elsewhere make: its record says so, for as long as the channel exists.
    ///
    /// # Errors
    /// See [`Ledgers::create`].
    pub fn create_following(
        &self,
        name: &str,
        genesis: Block,
        options: CreateOptions,
    ) -> Result<Ledger, OpenError> {
        let mut record = ChannelRecord::new(name, options.segment_bytes);
        record.follows_others = true;
        self.begin(name, genesis, record)
    }

    /// The same for an orderer, which keeps blocks for others to judge: only configurations are judged here, and take
    /// effect. There is no other state, for as long as the channel exists.
    ///
    /// # Errors
    /// See [`Ledgers::create`].
    pub fn create_blocks_only(
        &self,
        name: &str,
        genesis: Block,
        options: CreateOptions,
    ) -> Result<Ledger, OpenError> {
        let mut record = ChannelRecord::new(name, options.segment_bytes);
        record.blocks_only = true;
        self.begin(name, genesis, record)
    }

    fn begin(
        &self,
        name: &str,
        genesis: Block,
        record: ChannelRecord,
    ) -> Result<Ledger, OpenError> {
        self.construct(name, record, |record| {
            let (mut ledger, _) = self.opening(record.clone())?.open(&mut |_| {})?;
            let committed = ledger.commit(vec![Ordered::new(genesis, name)]);
            let channel = name.to_owned();
            committed.map_err(|source| OpenError::Create { channel, source })?;
            Ok(ledger)
        })
    }

    /// Makes a channel without a block; its first block will be that of the base. It does not know what
    /// earlier blocks left in state. It is durable on return, as in [`Ledgers::create`].
    ///
    /// # Errors
    /// See [`Ledgers::create`].
    pub fn create_at(
        &self,
        name: &str,
        base: Base,
        options: CreateOptions,
    ) -> Result<Ledger, OpenError> {
        let mut record = ChannelRecord::new(name, options.segment_bytes);
        record.first_own_block = Some(base.block.get());
        record.base = Some(base);
        self.construct(name, record, |record| {
            let (ledger, _) = self.opening(record.clone())?.open(&mut |_| {})?;
            Ok(ledger)
        })
    }

    /// Runs `build` between a record that says "under construction" and one that says "active".
    pub(crate) fn construct<T>(
        &self,
        name: &str,
        mut record: ChannelRecord,
        build: impl FnOnce(&ChannelRecord) -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        if self.id_store().get(name)?.is_some() {
            return Err(OpenError::Exists(name.to_owned()));
        }
        let dir = self.channel_dir(name);
        refuse_orphan(self.disk().as_ref(), &dir)?;
        self.id_store().put(&record)?;
        // The engine may still hold entries of a removed channel of this name.
        derived::drop_channel(self.database(), name)?;
        let made = self.disk().create_dir_all(&dir);
        made.and_then(|()| self.disk().sync_dir(&self.dir().join(CHANNELS)))
            .map_err(io_at(&dir))?;
        let outcome = build(&record).and_then(|built| {
            record.status = Status::Active;
            self.id_store().put(&record)?;
            Ok(built)
        });
        if outcome.is_err()
            && let Err(error) = self.remove(name)
        {
            // The next start removes the channel.
            tracing::warn!(
                channel = name,
                error = &error as &dyn std::error::Error,
                "not removed"
            );
        }
        outcome
    }

    /// Removes a channel's state from a server, if it is of the channel's own chain.
    pub(crate) fn drop_remote_state(&self, name: &str) -> Result<(), OpenError> {
        let dir = self.channel_dir(name);
        let record = self.record(name)?;
        let extent = record.map_or(Extent::FOREIGN, |record| record.extent());
        let segments = Segments::new(Arc::clone(self.disk()), dir.clone());
        let genesis = || match identity(&segments, &extent) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            other => other.map_err(io_at(&dir)),
        };
        let removed = self.state_engine().remove_channel(name, &genesis)?;
        if !removed {
            tracing::warn!(
                channel = name,
                "the state database holds another channel of this name"
            );
        }
        Ok(())
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), OpenError> {
        self.drop_remote_state(name)?;
        derived::drop_channel(self.database(), name)?;
        // What the engine knows of a removed channel would otherwise be evidence of a lost channel.
        let persisted = self.database().persist(PersistMode::SyncAll);
        persisted.map_err(OpenError::Engine)?;
        let dir = self.channel_dir(name);
        // Blocks are removed for good before their record.
        let removed = self.disk().remove_dir_all(&dir);
        removed
            .and_then(|()| self.disk().sync_dir(&self.dir().join(CHANNELS)))
            .map_err(io_at(&dir))?;
        self.id_store().remove(name)
    }
}
