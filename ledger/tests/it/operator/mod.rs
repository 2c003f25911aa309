//! What an operator does to a channel that does not open whole: accept a loss by name, repair from a copy,
//! make followers again. These tests guard against tools that lose more than they say.

mod chain;
mod check;
mod followers;
mod interrupted;
mod repair;
mod truncate;
