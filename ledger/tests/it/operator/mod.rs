//! What an operator does to a channel that does not open, or not whole: accepting a loss by name,
//! repairing from a copy, making followers again. Guards against tools that lose more than they say.

mod chain;
mod check;
mod followers;
mod interrupted;
mod repair;
mod truncate;
