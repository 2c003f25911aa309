//! Bookmarks: where a page ended, opaque to the caller.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quire_ledger::Height;

use crate::problem::Problem;

/// First letter of a bookmark; another one is another way to write it.
const VERSION: char = '1';

/// A page ended with this key.
pub(crate) fn after_key(key: &str) -> String {
    format!("{VERSION}{}", URL_SAFE_NO_PAD.encode(key))
}

/// The first key that a bookmark of [`after_key`] lets follow.
pub(crate) fn key_after(bookmark: &str) -> Result<String, Problem> {
    let encoded = bookmark.strip_prefix(VERSION).ok_or_else(bad)?;
    let key = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| bad())?;
    let key = String::from_utf8(key).map_err(|_| bad())?;
    Ok(next_key(&key))
}

/// The smallest key behind `key`.
pub(crate) fn next_key(key: &str) -> String {
    format!("{key}\0")
}

/// A page ended with this version.
pub(crate) fn after_version(version: Height) -> String {
    after_key(&version.to_string())
}

/// The version of a bookmark of [`after_version`].
pub(crate) fn version_of(bookmark: &str) -> Result<Height, Problem> {
    let version = key_after(bookmark)?;
    version.trim_end_matches('\0').parse().map_err(|_| bad())
}

fn bad() -> Problem {
    Problem::invalid_argument("The bookmark is not one of this listing.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookmarks_lead_to_what_follows() {
        for key in ["a", "é/%+", "\0composite\0"] {
            assert_eq!(key_after(&after_key(key)).unwrap(), format!("{key}\0"));
        }
        let version = Height { block: 12, tx: 3 };
        assert_eq!(version_of(&after_version(version)).unwrap(), version);
        for bookmark in ["", "a", "2YQ", "1*", "1_w"] {
            assert!(key_after(bookmark).is_err(), "{bookmark}");
        }
        assert!(version_of(&after_key("x")).is_err());
    }
}
