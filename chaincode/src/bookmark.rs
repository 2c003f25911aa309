//! Bookmarks: where a page ended, and what it is a page of.
//!
//! ```text
//! bookmark = base64url, unpadded, of  version: 2 ‖ mark ‖ place
//! place    = where the next page goes on, as text
//! mark     = first 12 bytes of sha256 over what is listed and the place,
//!            each text as  length: u64 BE ‖ bytes
//! ```
//!
//! The mark is no secret. It sees to it that a bookmark of another listing, or one that lost or
//! changed a letter on its way, is refused instead of leading to another page.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use quire_wire::hash::sha256;

/// First byte of a bookmark; another one is another way to write it.
const VERSION: u8 = 2;
const MARK_BYTES: usize = 12;

/// What is listed, from its kind over its channel to every parameter but the size of a page. Pages
/// of the same listing have the same texts here.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a>(pub &'a [&'a str]);

impl Listing<'_> {
    /// The bookmark of a page that goes on at `place`.
    #[must_use]
    pub fn bookmark(&self, place: &str) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.mark(place));
        bytes.extend(place.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Where a bookmark goes on; none where it is no bookmark of this listing.
    #[must_use]
    pub fn place(&self, bookmark: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(bookmark).ok()?;
        let (version, rest) = bytes.split_first()?;
        let (mark, place) = rest.split_at_checked(MARK_BYTES)?;
        let place = std::str::from_utf8(place).ok()?;
        let is_ours = *version == VERSION && mark == self.mark(place);
        is_ours.then(|| place.to_owned())
    }

    fn mark(&self, place: &str) -> [u8; MARK_BYTES] {
        let texts = self.0.iter().chain([&place]);
        let lengths: Vec<[u8; 8]> = texts
            .clone()
            .map(|text| (text.len() as u64).to_be_bytes())
            .collect();
        let parts = lengths.iter().zip(texts);
        let digest = sha256(parts.flat_map(|(length, text)| [length.as_slice(), text.as_bytes()]));
        let mut mark = [0; MARK_BYTES];
        for (to, from) in mark.iter_mut().zip(digest) {
            *to = from;
        }
        mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bookmark_leads_to_its_place_in_its_own_listing_only() {
        let parts = ["range", "main", "ns", "a", "b"];
        for place in ["", "a", "é/%+", "\0composite\0", "12.0"] {
            let bookmark = Listing(&parts).bookmark(place);
            assert_eq!(Listing(&parts).place(&bookmark).as_deref(), Some(place));
            for other in 0..parts.len() {
                let mut parts = parts;
                parts[other] = "other";
                assert_eq!(Listing(&parts).place(&bookmark), None, "{parts:?}");
            }
            // Where one text ends and the next begins counts.
            for parts in [
                ["range", "main", "nsa", "", "b"],
                ["range", "main", "ns", "ab", ""],
            ] {
                assert_eq!(Listing(&parts).place(&bookmark), None, "{parts:?}");
            }
        }
    }

    #[test]
    fn what_lost_or_changed_a_letter_is_no_bookmark() {
        let listing = Listing(&["range", "main", "ns", "", ""]);
        let bookmark = listing.bookmark("m02");
        for end in 0..bookmark.len() {
            assert_eq!(listing.place(&bookmark[..end]), None, "{end}");
            for letter in "A_-9=é \0".chars() {
                let (before, after) = bookmark.split_at(end);
                let changed = format!("{before}{letter}{}", &after[1..]);
                let found = listing.place(&changed);
                assert_eq!(found.is_some(), changed == bookmark, "{changed}");
                assert_eq!(listing.place(&format!("{before}{letter}{after}")), None);
            }
        }
    }

    /// What was given out yesterday still leads on today. Computed with Python's hashlib.
    #[test]
    fn bookmarks_keep_their_form() {
        let listing = Listing(&["range", "main", "ns", "m", "n"]);
        assert_eq!(listing.bookmark("m02"), "AgbUaf6VUESok3cEz20wMg");
    }
}
