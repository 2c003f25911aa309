//! An index of a channel: its definition, and how far it is built.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::index::Definition;
use crate::error::OpenError;

/// The most indexes of a channel.
pub(super) const MAX_INDEXES: usize = 256;

/// The state of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexState {
    /// Documents are being added; the index is not used yet.
    Building {
        /// The documents that were read.
        done: u64,
        /// The number of documents at the beginning.
        total: u64,
    },
    /// It is in use.
    Ready,
    /// It was given up: delete it, and remove the cause.
    Failed(String),
}

/// An index of a channel.
#[derive(Debug)]
pub(crate) struct QueryIndex {
    pub(crate) id: u64,
    pub(crate) namespace: String,
    pub(crate) definition: Definition,
    pub(super) done: AtomicU64,
    pub(super) total: AtomicU64,
    /// Ready, or failed with a reason.
    outcome: OnceLock<Result<(), String>>,
}

/// Why an index was not made or removed.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// There is no index with that name.
    #[error("there is no such index")]
    NotFound,
    /// Some must be deleted first.
    #[error("a channel has at most {MAX_INDEXES} indexes")]
    TooMany,
    /// The ledger is closed: ask again once it is open.
    #[error("the channel is being closed")]
    Closed,
    /// The ledger takes no more blocks, and no indexes either: it must be opened again.
    #[error("the channel failed, and must be opened again")]
    Failed,
    /// The definitions could not be stored.
    #[error("the definitions of indexes could not be stored")]
    Store(#[from] OpenError),
}

impl QueryIndex {
    pub(super) fn new(id: u64, namespace: String, definition: Definition) -> Self {
        Self {
            id,
            namespace,
            definition,
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            outcome: OnceLock::new(),
        }
    }

    pub(super) fn is_named(&self, namespace: &str, ddoc: &str, name: &str) -> bool {
        let record = &self.definition.record;
        self.namespace == namespace && record.ddoc == ddoc && record.name == name
    }

    pub(super) fn settle(&self, outcome: Result<(), String>) {
        // The first outcome stays.
        drop(self.outcome.set(outcome));
    }

    /// Whether it is ready, or given up.
    pub(super) fn is_settled(&self) -> bool {
        self.outcome.get().is_some()
    }

    pub(crate) fn state(&self) -> IndexState {
        match self.outcome.get() {
            Some(Ok(())) => IndexState::Ready,
            Some(Err(reason)) => IndexState::Failed(reason.clone()),
            None => IndexState::Building {
                done: self.done.load(Ordering::Relaxed),
                total: self.total.load(Ordering::Relaxed),
            },
        }
    }
}
