//! Reads JSON texts with a reader of our own.
//!
//! `serde_json` misreads an object whose first member has one of its private names:
//! `{"$serde_json::private::Number":"5"}` becomes a number, and an error if the text is not a number. For
//! users these are names like any other. So users' texts are read here, and `serde_json` never makes a
//! [`Value`](serde_json::Value) of them; printing a value is harmless.
//!
//! * [`read`] checks a text strictly and says where things are in it; `chaincode` builds on that.
//! * `tree` makes a [`Value`](serde_json::Value) of a text.
//! * `parts` takes an object or an array apart into the texts of its parts.

mod error;
mod parts;
mod scanner;
mod tree;

pub use error::JsonError;
pub use scanner::{Member, Node, Shape, read, read_array, read_stored};

pub(crate) use parts::{Part, elements, members};
pub(crate) use tree::{MAX_TREE_DEPTH, Repeats, parse, parse_members, parse_to};

/// The most characters of a number that somebody writes or asks for. A number that a channel holds already
/// may be longer.
pub const MAX_NUMBER_BYTES: usize = 1024;
/// The greatest exponent of such a number; with a minus, the least.
pub const MAX_EXPONENT: u32 = 9_999;

fn utf8(text: &[u8]) -> Result<&str, JsonError> {
    std::str::from_utf8(text).map_err(|error| JsonError::NotUtf8 {
        offset: error.valid_up_to(),
    })
}
