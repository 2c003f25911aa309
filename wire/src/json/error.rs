//! What can be wrong with a message or with its JSON, and where.

use std::fmt;

/// A message that cannot be shown, or JSON that is no such message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Names of fields, from the inside out.
    path: Vec<String>,
    cause: Cause,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The bytes are not a protobuf message, or a text in them is not UTF-8.
    #[error("these bytes are not a {message}: {reason}")]
    NoMessage {
        /// The type of message.
        message: &'static str,
        /// What the decoder says.
        reason: String,
    },
    /// A name or number is not known, so that nothing tells what these bytes are.
    #[error("{0}")]
    Unknown(String),
    /// More messages are nested than are shown.
    #[error("more than {0} levels within each other")]
    TooDeep(usize),
    /// There are more values, or a longer text, than is shown.
    #[error("more than {limit} {unit}")]
    TooLarge {
        /// The most that there may be.
        limit: usize,
        /// What is counted.
        unit: &'static str,
    },
    /// The text is not JSON.
    #[error("no JSON: {0}")]
    NoJson(String),
    /// A member that the message does not have.
    #[error("{message} has no field {name:?}")]
    NoSuchField {
        /// The type of message.
        message: &'static str,
        /// The member.
        name: String,
    },
    /// A value is of another kind, or out of its range.
    #[error("expected {expected}, found {found}")]
    Mismatch {
        /// What belongs there.
        expected: String,
        /// What is there.
        found: String,
    },
}

impl Error {
    /// What is wrong.
    #[must_use]
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// The same error, inside a field.
    pub(super) fn within(mut self, name: impl Into<String>) -> Self {
        self.path.push(name.into());
        self
    }

    pub(super) fn unknown(what: String) -> Self {
        Cause::Unknown(what).into()
    }
}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Self {
        let path = Vec::new();
        Self { path, cause }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, name) in self.path.iter().rev().enumerate() {
            if depth > 0 && !name.starts_with('[') {
                f.write_str(".")?;
            }
            f.write_str(name)?;
        }
        if !self.path.is_empty() {
            f.write_str(": ")?;
        }
        self.cause.fmt(f)
    }
}

impl std::error::Error for Error {}
