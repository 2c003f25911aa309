//! The verdict on a transaction: Fabric's `TxValidationCode`, one byte in metadata slot 2.

use std::fmt;

/// A validation code. Bytes without a name in Fabric are kept as they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub u8);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl Code {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// Fabric's name, such as `MVCC_READ_CONFLICT`; `UNKNOWN` for a byte that has no name
            /// in Fabric.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self.0 {
                    $($value => stringify!($name),)*
                    _ => "UNKNOWN",
                }
            }

            /// The code with that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// The transaction took effect.
    VALID = 0;
    /// An empty envelope.
    NIL_ENVELOPE = 1;
    /// The payload does not parse.
    BAD_PAYLOAD = 2;
    /// The channel or signature header is missing or wrong.
    BAD_COMMON_HEADER = 3;
    /// The creator is unknown or its signature is wrong.
    BAD_CREATOR_SIGNATURE = 4;
    /// It is not an endorser transaction of the expected form.
    INVALID_ENDORSER_TRANSACTION = 5;
    /// It is not a configuration transaction of the expected form.
    INVALID_CONFIG_TRANSACTION = 6;
    /// A kind of payload that is not supported.
    UNSUPPORTED_TX_PAYLOAD = 7;
    /// The transaction id does not follow from nonce and creator.
    BAD_PROPOSAL_TXID = 8;
    /// A transaction with this id came first.
    DUPLICATE_TXID = 9;
    /// The endorsements do not satisfy the policy.
    ENDORSEMENT_POLICY_FAILURE = 10;
    /// A key that was read has changed.
    MVCC_READ_CONFLICT = 11;
    /// A range that was read has changed.
    PHANTOM_READ_CONFLICT = 12;
    /// A header type that is not known.
    UNKNOWN_TX_TYPE = 13;
    /// It is for another channel.
    TARGET_CHAIN_NOT_FOUND = 14;
    /// The transaction does not serialize.
    MARSHAL_TX_ERROR = 15;
    /// It has no action.
    NIL_TXACTION = 16;
    /// The chaincode is gone.
    EXPIRED_CHAINCODE = 17;
    /// The chaincode has another version.
    CHAINCODE_VERSION_CONFLICT = 18;
    /// The channel header's extension is wrong.
    BAD_HEADER_EXTENSION = 19;
    /// The channel header is wrong.
    BAD_CHANNEL_HEADER = 20;
    /// The proposal response payload is wrong.
    BAD_RESPONSE_PAYLOAD = 21;
    /// The read-write set does not parse.
    BAD_RWSET = 22;
    /// The write set breaks a rule.
    ILLEGAL_WRITESET = 23;
    /// The write set has a key or value that state refuses.
    INVALID_WRITESET = 24;
    /// The chaincode is not what it claims.
    INVALID_CHAINCODE = 25;
    /// It is not judged yet; this code is never on disk.
    NOT_VALIDATED = 254;
    /// It is invalid for a reason that has no code.
    INVALID_OTHER_REASON = 255;
}

impl Code {
    /// Whether the transaction took effect.
    #[must_use]
    pub fn is_valid(self) -> bool {
        self == Self::VALID
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "UNKNOWN" => write!(f, "UNKNOWN_{}", self.0),
            name => f.write_str(name),
        }
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_code() {
        let named = (0..=u8::MAX)
            .map(Code)
            .filter(|code| code.name() != "UNKNOWN");
        let back: Vec<_> = named
            .map(|code| (Code::from_name(code.name()), code))
            .collect();
        assert_eq!(back.len(), 28);
        assert!(
            back.iter()
                .all(|(from_name, code)| *from_name == Some(*code))
        );
        assert_eq!(Code(77).to_string(), "UNKNOWN_77");
    }
}
