//! What a node does with a channel.
//!
//! * [`submit`]: what a caller hands in, and what comes of it.
//! * [`outcomes`]: where a transaction ended, and how.
//! * [`channel`]: one channel, as those see it who serve it.

pub mod channel;
pub mod outcomes;
pub mod submit;

pub use channel::Channel;
pub use outcomes::Outcome;
pub use submit::{DECORATION, Evaluated, Proposal, SubmitError, Submitted, Submitter};
