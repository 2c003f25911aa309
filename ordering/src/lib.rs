//! Decides the order of transactions, and where one block ends and the next begins.
//!
//! ```text
//! envelopes --> Admission    Broadcast's filters: kind, empty, size, expiration, signature
//!           --> Consenter    the way into the order: order, configure
//!               Embedded     the order of one process: a queue, and the cutter
//!                 Cutter     Fabric's rules of size and count, without a clock
//!           --> Batches      the way out of it: one batch a block
//!           --> BlockWriter  number, previous hash, data hash, the orderer's signature
//! ```
//!
//! Nothing here asks for the time or starts a thread: time, threads and signatures come in from outside.
//! A stopwatch tells an observer how long envelopes waited, but decides nothing.

pub mod admission;
mod batch;
mod block_writer;
mod consenter;
mod cutter;
mod embedded;
pub mod kafka;
mod room;

pub use admission::{Admission, Refused};
pub use batch::{Batch, Cut, Message};
pub use block_writer::{
    BlockSigner, BlockWriter, consenter_metadata, last_config, signed_last_config,
};
pub use consenter::{Batches, Broken, Consenter, Elsewhere, Next, NotOrdered};
pub use cutter::{Cutter, EnvelopeTooLarge, envelope_size_bytes};
pub use embedded::{Bounds, Embedded, EmbeddedBatches};
pub use room::{QueueObserver, Room, Taken, Unobserved};
