//! Why a text is refused.

use super::{MAX_EXPONENT, MAX_NUMBER_BYTES};

/// Why a text is refused. Whoever wrote it mends it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It is not UTF-8.
    #[error("not UTF-8 from byte {offset} on")]
    NotUtf8 {
        /// The first byte that does not fit.
        offset: usize,
    },
    /// It breaks JSON's grammar (RFC 8259).
    #[error("expected {expected} at byte {offset}")]
    Syntax {
        /// What would have fitted.
        expected: &'static str,
        /// Where.
        offset: usize,
    },
    /// A `\u` escape is half a character.
    #[error("unpaired surrogate at byte {offset}")]
    UnpairedSurrogate {
        /// Where the escape starts.
        offset: usize,
    },
    /// An object has the same member twice; readers disagree about which one counts.
    #[error("the member {name:?} appears twice in one object")]
    DuplicateMember {
        /// The member's name.
        name: String,
    },
    /// It is nested too deep to be read safely.
    #[error("nested deeper than {limit} levels")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// A number is too long to be compared in the time that others take.
    #[error(
        "a number of more than {MAX_NUMBER_BYTES} characters, or with an exponent beyond \
         {MAX_EXPONENT}, at byte {offset}"
    )]
    LongNumber {
        /// Where the number begins.
        offset: usize,
    },
    /// A top-level member has a name that CouchDB and Fabric keep for themselves.
    #[error("the top-level member {name:?} is reserved")]
    ReservedMember {
        /// The member's name.
        name: String,
    },
}

impl JsonError {
    /// The byte at which the text was given up; none where the fault has no one place.
    #[must_use]
    pub fn offset(&self) -> Option<usize> {
        match self {
            Self::NotUtf8 { offset }
            | Self::Syntax { offset, .. }
            | Self::UnpairedSurrogate { offset }
            | Self::LongNumber { offset } => Some(*offset),
            Self::DuplicateMember { .. } | Self::TooDeep { .. } | Self::ReservedMember { .. } => {
                None
            }
        }
    }
}
