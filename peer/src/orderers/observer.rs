//! Who is told of a channel's orderers.

use std::fmt;

/// Is told of the orderers of a channel, but decides nothing.
pub trait OrderersObserver: fmt::Debug + Send + Sync {
    /// Whether an orderer gives blocks.
    fn reachable(&self, reachable: bool) {
        let _ = reachable;
    }
    /// So many blocks are known to be there.
    fn height(&self, height: u64) {
        let _ = height;
    }
    /// So many blocks came from orderers and wait for the committing thread.
    fn buffered(&self, blocks: usize) {
        let _ = blocks;
    }
    /// A block came from an orderer, and was taken.
    fn received(&self) {}
    /// An orderer was left for this reason, one of few.
    fn left(&self, reason: &'static str) {
        let _ = reason;
    }
    /// An orderer answered to an envelope with this [status](quire_wire::deliver::status); `None` where it gave no answer.
    fn answered(&self, status: Option<i32>) {
        let _ = status;
    }
}

/// An observer that ignores everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl OrderersObserver for Unobserved {}
