//! Plain data that the rest of the ledger uses.

pub(crate) mod batch;
pub(crate) mod block;
pub(crate) mod examined;
pub(crate) mod location;
pub(crate) mod namespace;
pub(crate) mod updates;
pub(crate) mod value;
