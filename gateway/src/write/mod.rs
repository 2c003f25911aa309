//! A write, from the request to its outcome.
//!
//! ```text
//! answer        carries a write out, and makes its answer, all of which stands in the blocks
//! patience      how long the caller waits for it; the work goes on in flights without the caller
//! flights       at any time one request works on an idempotency key
//! attempts      looks an attempt up, submits it, awaits it, tries again
//! contention    who lost a race waits for its turn at the keys
//! outcome       how far a write is, and how it ended
//! idempotency   what a key names, and the record of it in the block
//! ```

pub(crate) mod answer;
pub(crate) mod attempts;
pub(crate) mod contention;
pub(crate) mod flights;
pub mod idempotency;
pub(crate) mod outcome;
pub(crate) mod patience;
pub(crate) mod unattended;
