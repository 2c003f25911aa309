//! JSON texts, by a reader of our own.
//!
//! `serde_json` makes something else of an object whose first member has one of its private names: a
//! number of `{"$serde_json::private::Number":"5"}`, nothing at all where that is no number. To
//! users those are names like any other. So whatever they wrote is read here, and never given to
//! `serde_json` to make a [`Value`](serde_json::Value) of; printing one is harmless.
//!
//! * [`read`] checks a text strictly and says where things are in it; `chaincode` builds on that.
//! * `tree` makes a [`Value`](serde_json::Value) of a text.
//! * `parts` takes an object or an array apart into the texts it was written in.

mod error;
mod parts;
mod scanner;
mod tree;

pub use error::JsonError;
pub use scanner::{Member, Node, Shape, read, read_array, read_stored};

pub(crate) use parts::{Part, elements, members};
pub(crate) use tree::{MAX_TREE_DEPTH, Repeats, parse, parse_members, parse_to};

/// Most characters of a number that somebody writes or asks for. What a channel holds already may be
/// longer.
pub const MAX_NUMBER_BYTES: usize = 1024;
/// Greatest exponent of such a number, and least with a minus.
pub const MAX_EXPONENT: u32 = 9_999;

fn utf8(text: &[u8]) -> Result<&str, JsonError> {
    std::str::from_utf8(text).map_err(|error| JsonError::NotUtf8 {
        offset: error.valid_up_to(),
    })
}
