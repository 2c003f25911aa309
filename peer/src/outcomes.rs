//! Where a transaction ended, and how.

use quire_wire::Code;

/// Where a transaction ended, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Block number.
    pub block: u64,
    /// Position in the block.
    pub tx: u64,
    /// The verdict.
    pub code: Code,
}
