//! Why a text is refused.

use super::{MAX_EXPONENT, MAX_NUMBER_BYTES};

/// Why a text is refused. Its author must correct it.
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
        /// What would be right.
        expected: &'static str,
        /// The place.
        offset: usize,
    },
    /// A `\u` escape is only half a character.
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
    /// A number is too long to be compared in ordinary time.
    #[error(
        "a number of more than {MAX_NUMBER_BYTES} characters, or with an exponent beyond \
         {MAX_EXPONENT}, at byte {offset}"
    )]
    LongNumber {
        /// Where the number begins.
        offset: usize,
    },
    /// A top-level member has a name that CouchDB and Fabric reserve.
    #[error("the top-level member {name:?} is reserved")]
    ReservedMember {
        /// The member's name.
        name: String,
    },
}

impl JsonError {
    /// The byte at which reading stopped; `None` if the fault has no single place.
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
