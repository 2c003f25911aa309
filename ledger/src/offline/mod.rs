//! What an operator does with a channel beside serving it: to look for damage, to repair it or accept the
//! loss, to make followers again, and to take over what a Fabric peer wrote.
//!
//! Only [`check`] may run on a channel that is open.

pub mod check;
pub(crate) mod import;
pub(crate) mod rebuild;
pub(crate) mod repair;
pub(crate) mod truncate;
