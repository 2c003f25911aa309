//! `$beginsWith`: CouchDB compares characters as a reader sees them.

use unicode_segmentation::UnicodeSegmentation as _;

/// Whether a text begins with another text whose last character is not only a part of a character: "e" begins
/// "eau", but not "e" with an accent as a separate code point. Texts are not normalised.
pub(super) fn begins_with(text: &str, start: &str) -> bool {
    let Some(last) = start.chars().next_back() else {
        return true;
    };
    if !text.starts_with(start) {
        return false;
    }
    // As in Erlang, the character is looked for from the last code point on, whatever is before.
    let rest = text.get(start.len() - last.len_utf8()..);
    let character = rest.and_then(|rest| rest.graphemes(true).next());
    character.is_some_and(|character| character.len() == last.len_utf8())
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    /// The answers are those of Erlang's `string:prefix`.
    #[test]
    fn a_start_ends_where_a_character_ends() {
        for (text, start, expected) in [
            ("abc", "", true),
            ("abc", "ab", true),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("e\u{301}tude", "e", false),
            ("e\u{301}tude", "e\u{301}", true),
            ("e\u{301}\u{302}", "e\u{301}", false),
            ("étude", "e\u{301}", false),
            ("étude", "é", true),
            ("xe\u{301}", "x", true),
            ("a\r\n", "a\r", false),
            ("a\r\n", "a\r\n", true),
            ("\u{301}x", "\u{301}", true),
            ("\u{1f1eb}\u{1f1f7}", "\u{1f1eb}", false),
            ("\u{1100}\u{1161}", "\u{1100}", false),
            ("\u{1f469}\u{200d}\u{1f467}", "\u{1f469}", false),
            ("日本", "日", true),
        ] {
            assert_eq!(begins_with(text, start), expected, "{text:?} {start:?}");
        }
    }

    /// Verdicts depend on them: other borders of characters need another version of selectors.
    #[test]
    fn characters_are_those_of_version_2() {
        let mut digest = Sha256::new();
        for point in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            for (before, after) in [
                ("a", ""),
                ("", "\u{301}"),
                ("\u{1f469}\u{200d}", ""),
                ("\u{915}\u{94d}", ""),
                ("\u{1100}", ""),
                ("\u{1f1eb}", ""),
                ("", "\u{11a8}"),
            ] {
                let text = format!("{before}{point}{after}");
                digest.update([u8::try_from(text.graphemes(true).count()).unwrap()]);
            }
        }
        let digest = hex::encode(digest.finalize());
        assert_eq!(
            digest,
            "c7280854738978e6d300c23218866d5d9e7bd96c288a4420be758f136b9eb468"
        );
    }
}
