//! Blocks that are on disk, as followers take them in.

use std::sync::Arc;

use quire_wire::hash::Hash;

use super::block::Block;
use super::updates::Updates;
use crate::model::examined::Examined;
use crate::model::location::Location;

/// Blocks that are on disk, in order: all that a follower needs.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) blocks: Vec<Durable>,
    /// What those blocks that state does not have change together. Later blocks may be judged by it
    /// meanwhile.
    pub(crate) changes: Arc<Updates>,
}

/// A block that is on disk.
#[derive(Debug)]
pub(crate) struct Durable {
    pub(crate) block: Arc<Block>,
    pub(crate) hash: Hash,
    pub(crate) location: Location,
    pub(crate) transactions: Vec<Examined>,
}

#[cfg(test)]
pub(crate) mod tests {
    use bytes::Bytes;
    use quire_wire::Code;
    use quire_wire::common::metadata_slot;

    use super::*;

    /// Block `number` with these transactions and their codes.
    pub(crate) fn durable(number: u64, transactions: &[(&str, Code)]) -> Durable {
        let codes: Vec<u8> = transactions.iter().map(|(_, code)| code.0).collect();
        let mut block = Block {
            number,
            previous_hash: Bytes::new(),
            data_hash: Bytes::new(),
            envelopes: Vec::new(),
            metadata: Vec::new(),
        };
        block.set_metadata(metadata_slot::TRANSACTIONS_FILTER, codes.into());
        let examined = transactions.iter();
        let examined = examined.map(|(tx_id, code)| Examined::bare(tx_id, *code));
        Durable {
            hash: block.hash(),
            block: Arc::new(block),
            location: Location {
                segment: 0,
                offset: 0,
                len: 0,
                checksum: None,
            },
            transactions: examined.collect(),
        }
    }
}
