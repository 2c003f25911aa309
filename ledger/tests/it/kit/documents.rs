//! A channel to which tests write documents, one block at a time.

use std::sync::Arc;

use bytes::Bytes;
use quire_ledger::{
    CommitError, Committed, CreateOptions, Ledger, Ledgers, Ordered, Purpose, Reader, Simulator,
    StateEngine,
};
use quire_wire::Code;
use tempfile::TempDir;

use super::{chain, os_disk};

/// A channel in a data directory of its own.
pub(crate) struct Documents {
    ledger: Option<(Ledger, Ledgers)>,
    dir: Arc<TempDir>,
    engine: StateEngine,
    channel: String,
}

impl Documents {
    pub(crate) fn new() -> Self {
        Self::on(StateEngine::Fjall, "main")
    }

    /// A new channel with state on an engine.
    pub(crate) fn on(engine: StateEngine, channel: &str) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let ledgers = Ledgers::open_with(os_disk(), dir.path(), Purpose::Use, &engine).unwrap();
        let ledger = ledgers
            .create(channel, chain::genesis(channel), CreateOptions::default())
            .unwrap();
        Self {
            ledger: Some((ledger, ledgers)),
            dir,
            engine,
            channel: channel.to_owned(),
        }
    }

    /// Closes the data directory and opens it again.
    pub(crate) fn reopen(&mut self) {
        self.reopen_on(self.engine.clone());
    }

    /// The same, with state on an engine that may be different.
    pub(crate) fn reopen_on(&mut self, engine: StateEngine) {
        self.close();
        self.engine = engine;
        let (disk, dir) = (os_disk(), self.dir.path());
        let ledgers = Ledgers::open_with(disk, dir, Purpose::Use, &self.engine).unwrap();
        let (ledger, _) = ledgers.ledger(&self.channel, &mut |_| {}).unwrap();
        self.ledger = Some((ledger, ledgers));
    }

    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Closes the data directory, for whatever a test does to its files.
    pub(crate) fn close(&mut self) {
        self.ledger = None;
    }

    pub(crate) fn ledger(&mut self) -> &mut Ledger {
        &mut self.ledger.as_mut().unwrap().0
    }

    pub(crate) fn reader(&self) -> Reader {
        self.ledger.as_ref().unwrap().0.reader()
    }

    /// Commits a block with one transaction that writes keys of a namespace, or deletes them.
    pub(crate) fn write<'a>(
        &mut self,
        namespace: &str,
        changes: impl IntoIterator<Item = (&'a str, Option<String>)>,
    ) {
        let changes = changes.into_iter();
        let changes = changes.map(|(key, value)| (namespace, key, value.map(String::into_bytes)));
        self.try_write(changes).unwrap();
    }

    /// Commits blocks of these envelopes as one batch, and returns the verdicts.
    pub(crate) fn commit(&mut self, blocks: &[Vec<Bytes>]) -> Vec<Vec<Code>> {
        let ordered = self.ordered(blocks);
        codes(self.ledger().commit(ordered).unwrap())
    }

    /// The same, but the first block is a batch of its own, which is on its way to the disk while the others
    /// are judged.
    pub(crate) fn commit_behind_first(&mut self, blocks: &[Vec<Bytes>]) -> Vec<Vec<Code>> {
        let mut first = self.ordered(blocks);
        let others = first.split_off(1);
        let ledger = self.ledger();
        assert!(ledger.begin(first).unwrap().is_empty());
        assert!(ledger.begin(others).unwrap().is_empty());
        codes(ledger.finish().unwrap())
    }

    /// Blocks of these envelopes after the newest block.
    fn ordered(&mut self, blocks: &[Vec<Bytes>]) -> Vec<Ordered> {
        let channel = self.channel.clone();
        let (height, hash) = self.ledger().tip();
        let mut previous = Bytes::copy_from_slice(&hash);
        let ordered = (height..).zip(blocks).map(|(number, envelopes)| {
            let block = chain::block(number, previous.clone(), envelopes.clone());
            previous = Bytes::copy_from_slice(&block.hash());
            Ordered::new(block, &channel)
        });
        ordered.collect()
    }

    /// The same, in any namespaces.
    pub(crate) fn try_write<'a>(
        &mut self,
        changes: impl IntoIterator<Item = (&'a str, &'a str, Option<Vec<u8>>)>,
    ) -> Result<(), CommitError> {
        let mut simulator = Simulator::new(self.reader().snapshot());
        for (namespace, key, value) in changes {
            match value {
                Some(value) => simulator.put(namespace, key, value.into()),
                None => simulator.delete(namespace, key),
            }
        }
        let channel = self.channel.clone();
        let ledger = self.ledger();
        let (number, hash) = ledger.tip();
        let nonce = number.to_string();
        let envelope = chain::endorsed(&channel, &nonce, &simulator.into_read_write_set());
        let block = chain::block(number, hash.to_vec().into(), vec![envelope]);
        let committed = ledger.commit(vec![Ordered::new(block, &channel)])?;
        assert_eq!(committed[0].transactions[0].1, Code::VALID);
        Ok(())
    }
}

/// The verdicts on each block.
fn codes(committed: Vec<Committed>) -> Vec<Vec<Code>> {
    let committed = committed.into_iter();
    let codes = committed.map(|block| block.transactions.into_iter().map(|(_, code)| code));
    codes.map(Iterator::collect).collect()
}
