//! Takes the parts of a request apart and checks them: path, parameters, headers and body.

pub(crate) mod accept;
pub(crate) mod body;
pub(crate) mod call;
pub(crate) mod conditions;
pub(crate) mod grammar;
pub(crate) mod parameters;
pub(crate) mod path;
pub(crate) mod prefer;
pub(crate) mod url_query;
