//! What an operator does with a channel besides serving it: look for damage, repair it or accept the loss,
//! make followers again, take over what a Fabric peer wrote, set it aside or remove it.
//!
//! Only [`check`] may run on a channel that is open.

pub mod check;
pub(crate) mod import;
pub(crate) mod life;
pub(crate) mod rebuild;
pub(crate) mod repair;
pub(crate) mod truncate;
