//! Fabric's rules for organisations changed over the years; a channel's capabilities say which hold.

use std::fmt;

/// The rules by which an organisation is read and judges. Later ones compare as greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MspVersion {
    /// Units of kinds of members do not count.
    V1_0,
    /// Units tell clients and peers apart.
    V1_1,
    /// Principals may be combined, and may ask for anonymity.
    V1_3,
    /// Units also tell admins and orderers apart, and somebody must be an administrator.
    V1_4_3,
    /// Keys may be Ed25519's.
    V3_0,
}

impl MspVersion {
    /// All of them, the oldest first.
    pub const ALL: [Self; 5] = [Self::V1_0, Self::V1_1, Self::V1_3, Self::V1_4_3, Self::V3_0];

    /// The version in a channel that has these capabilities (those of its root group).
    #[must_use]
    pub fn of_capabilities<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let versions = names.into_iter().map(|name| match name {
            "V3_0" => Self::V3_0,
            "V2_0" | "V1_4_3" => Self::V1_4_3,
            "V1_4_2" | "V1_3" => Self::V1_3,
            "V1_1" => Self::V1_1,
            _ => Self::V1_0,
        });
        versions.max().unwrap_or(Self::V1_0)
    }
}

impl fmt::Display for MspVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_3 => "1.3",
            Self::V1_4_3 => "1.4.3",
            Self::V3_0 => "3.0",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_capability_decides() {
        let version = |names: &[&str]| MspVersion::of_capabilities(names.iter().copied());
        assert_eq!(version(&[]), MspVersion::V1_0);
        assert_eq!(version(&["V1_1"]), MspVersion::V1_1);
        assert_eq!(version(&["V1_4_2", "V1_1"]), MspVersion::V1_3);
        assert_eq!(version(&["V1_4_3"]), MspVersion::V1_4_3);
        assert_eq!(version(&["V2_0", "V3_0"]), MspVersion::V3_0);
        assert_eq!(version(&["V9_9"]), MspVersion::V1_0);
    }
}
