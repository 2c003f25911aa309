//! Who decides the order of transactions, and where one block ends and the next begins.
//!
//! ```text
//! envelopes --> Solo          one thread's order; asks the cutter, keeps the batch timeout
//!                 Cutter      Fabric's rules of size and count, without a clock
//!           --> BlockWriter   number, previous hash, data hash, the orderer's signature
//! ```
//!
//! Nothing here reads a clock, starts a thread or knows what is in an envelope: time and
//! signatures come in from outside, and the same calls always give the same blocks.

mod block_writer;
mod cutter;
mod solo;

pub use block_writer::{BlockSigner, BlockWriter, last_config};
pub use cutter::{Cutter, EnvelopeTooLarge, envelope_size_bytes};
pub use solo::{Batch, Solo};
