//! A channel that tests write documents to, a block at a time.

use quire_ledger::{CreateOptions, Ledger, Ledgers, Ordered, Reader, Simulator};
use quire_wire::Code;
use tempfile::TempDir;

use super::{chain, open};

const CHANNEL: &str = "main";

/// A channel in a data directory of its own.
pub(crate) struct Documents {
    ledger: Option<(Ledger, Ledgers)>,
    dir: TempDir,
}

impl Documents {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ledgers = open(dir.path());
        let ledger = ledgers
            .create(CHANNEL, chain::genesis(CHANNEL), CreateOptions::default())
            .unwrap();
        Self {
            ledger: Some((ledger, ledgers)),
            dir,
        }
    }

    /// Closes the data directory and opens it again.
    pub(crate) fn reopen(&mut self) {
        self.ledger = None;
        let ledgers = open(self.dir.path());
        let (ledger, _) = ledgers.ledger(CHANNEL, &mut |_| {}).unwrap();
        self.ledger = Some((ledger, ledgers));
    }

    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Closes the data directory, for whatever a test does to its files.
    pub(crate) fn close(&mut self) {
        self.ledger = None;
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
        let mut simulator = Simulator::new(self.reader().snapshot());
        for (key, value) in changes {
            match value {
                Some(value) => simulator.put(namespace, key, value.into()),
                None => simulator.delete(namespace, key),
            }
        }
        let ledger = &mut self.ledger.as_mut().unwrap().0;
        let nonce = ledger.tip().0.to_string();
        let envelope = chain::endorsed(CHANNEL, &nonce, &simulator.into_read_write_set());
        let (number, hash) = ledger.tip();
        let block = chain::block(number, hash.to_vec().into(), vec![envelope]);
        let committed = ledger.commit(vec![Ordered::new(block, CHANNEL)]).unwrap();
        assert_eq!(committed[0].transactions[0].1, Code::VALID);
    }
}
