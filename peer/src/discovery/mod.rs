//! Who must endorse a transaction, as Fabric's discovery computes it: layouts of peers that suffice together.
//!
//! * `chaincodes`: how a channel defines its chaincodes, and which of them run here.
//! * `endorsement`: the layouts.
//! * `principals`, `sets`, `merge`: the combinations of signers that satisfy policies.
//!
//! Anybody may ask for anything, so all that an answer may cost is bounded.

mod chaincodes;
mod endorsement;
mod error;
mod merge;
mod principals;
mod sets;

pub use chaincodes::{Chaincodes, Of};
pub use endorsement::{Candidate, Defined, Definitions, Descriptor, authorized, descriptor};
pub use error::NoDescriptor;
pub use principals::{Meaning, Who};
