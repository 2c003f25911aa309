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
pub use scanner::{Member, Node, Shape, read, read_array};

pub(crate) use parts::{Part, elements, members};
pub(crate) use tree::{MAX_TREE_DEPTH, Repeats, parse, parse_members, parse_to};

fn utf8(text: &[u8]) -> Result<&str, JsonError> {
    std::str::from_utf8(text).map_err(|error| JsonError::NotUtf8 {
        offset: error.valid_up_to(),
    })
}
