//! Rich queries: CouchDB's Mango, over the state of a namespace.
pub(crate) mod collation;
mod erlang;
mod error;
pub(crate) mod normalize;
mod number;
pub(crate) mod path;
mod regex;
pub(crate) mod selector;
pub use error::QueryError;
