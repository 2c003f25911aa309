//! PEM: a block of base64 between two lines.
//!
//! ```text
//! -----BEGIN CERTIFICATE-----
//! MIIB..                        lines of 64 characters when written
//! -----END CERTIFICATE-----
//! ```
//!
//! Finding a block follows Go's `encoding/pem` to the letter. Whether bytes of an identity hold a
//! certificate decides over transactions, so what is a block to Fabric must be one here.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"\n-----END ";
const DASHES: &[u8] = b"-----";
const LINE_CHARS: usize = 64;

/// The type of the blocks of certificates.
pub(crate) const CERTIFICATE: &str = "CERTIFICATE";

/// Bits after the last whole byte do not matter to Go.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// A block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    /// What it says to be, such as `CERTIFICATE`.
    pub(crate) label: &'a [u8],
    pub(crate) content: Vec<u8>,
    /// What follows the block's last line.
    pub(crate) rest: &'a [u8],
}

impl<'a> Block<'a> {
    /// The first block in `text`. What stands before it does not matter, and neither do blocks that
    /// are broken.
    pub(crate) fn first(text: &'a [u8]) -> Option<Self> {
        let headers_to_end = headers_at_end(text);
        let mut rest = text;
        loop {
            let end = find(rest, END)?;
            let next = end + END.len();
            match Self::ending_at(rest, end, headers_to_end) {
                Tried::Block(block) => return Some(block),
                Tried::Broken => rest = rest.get(next..)?,
                Tried::Nothing => return None,
            }
        }
    }

    /// The block whose last line is the one after `end`, the first such line in `text`, of which the
    /// last `headers_to_end` bytes are headers.
    fn ending_at(text: &'a [u8], end: usize, headers_to_end: usize) -> Tried<'a> {
        let before_end = text.get(..end).unwrap_or_default();
        let Some(begin) = rfind(before_end, BEGIN) else {
            return Tried::Broken;
        };
        if begin > 0 && text.get(begin - 1) != Some(&b'\n') {
            return Tried::Broken;
        }
        let after_begin = text.get(begin + BEGIN.len()..).unwrap_or_default();
        let (first_line, mut body) = line(after_begin);
        let Some(label) = first_line.strip_suffix(DASHES) else {
            return Tried::Broken;
        };
        let mut has_headers = false;
        loop {
            // Past the last line of the block, only the end of the text could make a difference.
            let is_past = has_headers && text.len() - body.len() > end;
            if body.is_empty() || is_past && body.len() <= headers_to_end {
                return Tried::Nothing;
            }
            if is_past {
                return Tried::Broken;
            }
            let (header, next) = line(body);
            if !header.contains(&b':') {
                break;
            }
            has_headers = true;
            body = next;
        }
        // Where the last line follows the first at once, the line feed between them is of the first.
        let body_start = text.len() - body.len();
        let digits = match end.checked_sub(body_start) {
            Some(length) => body.get(..length).unwrap_or_default(),
            None if has_headers => return Tried::Broken,
            None => &[],
        };
        let after_end = text.get(end + END.len()..).unwrap_or_default();
        let Some(after_label) = after_end.strip_prefix(label) else {
            return Tried::Broken;
        };
        let Some(tail) = after_label.strip_prefix(DASHES) else {
            return Tried::Broken;
        };
        let (remainder, rest) = line(tail);
        if !remainder.is_empty() {
            return Tried::Broken;
        }
        let digits: Vec<u8> = digits
            .iter()
            .copied()
            .filter(|digit| !matches!(digit, b' ' | b'\t' | b'\r' | b'\n'))
            .collect();
        match BASE64.decode(digits) {
            Ok(content) => Tried::Block(Self {
                label,
                content,
                rest,
            }),
            Err(_) => Tried::Broken,
        }
    }
}

enum Tried<'a> {
    Block(Block<'a>),
    /// None, but others may follow.
    Broken,
    /// The text ends within it.
    Nothing,
}

/// A block as Go writes it: lines of 64 characters that end in a line feed.
pub(crate) fn encode(label: &str, content: &[u8]) -> String {
    let digits = BASE64.encode(content);
    let mut text = String::with_capacity(digits.len() + digits.len() / LINE_CHARS + 64);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----");
    for (position, digit) in digits.chars().enumerate() {
        if position % LINE_CHARS == 0 {
            text.push('\n');
        }
        text.push(digit);
    }
    text.push_str("\n-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// How many bytes at the end of a text are lines with a colon, as headers are.
fn headers_at_end(text: &[u8]) -> usize {
    let mut start = text.len();
    loop {
        let before = text.get(..start).unwrap_or_default();
        let before = before.strip_suffix(b"\n").unwrap_or(before);
        let line_start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |feed| feed + 1);
        let line = before.get(line_start..).unwrap_or_default();
        if start == 0 || !line.contains(&b':') {
            return text.len() - start;
        }
        start = line_start;
    }
}

/// The first line without what is blank at its end, and what follows its line feed.
fn line(text: &[u8]) -> (&[u8], &[u8]) {
    let (line, rest) = match text.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = text.get(..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            (line, text.get(end + 1..).unwrap_or_default())
        }
        None => (text, &[][..]),
    };
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let blanks = line.iter().rev().take_while(blank).count();
    (line.get(..line.len() - blanks).unwrap_or_default(), rest)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn rfind(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).rposition(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str) -> Option<Vec<u8>> {
        Block::first(text.as_bytes()).map(|block| block.content)
    }

    #[test]
    fn other_line_ends_and_text_around_do_not_change_a_block() {
        let canonical = encode(CERTIFICATE, &[0; 49]);
        assert_eq!(canonical.lines().map(str::len).max(), Some(64));
        let untidy = format!("subject: x\r\n{}\r\n\r\n", canonical.replace('\n', "\r\n"));
        let spaced = canonical
            .replace("\nA", "\n \tA")
            .replace("-----\n", "----- \n");
        let headed = canonical.replacen('\n', "\nProc-Type: 4\n\n", 1);
        for text in [&canonical, &untidy, &spaced, &headed] {
            assert_eq!(content(text), Some(vec![0; 49]), "{text}");
        }
        let text = format!("{canonical}rest");
        let block = Block::first(text.as_bytes()).unwrap();
        assert_eq!(
            (block.label, block.rest),
            (&b"CERTIFICATE"[..], &b"rest"[..])
        );
    }

    #[test]
    fn broken_blocks_are_passed_over() {
        let good = "-----BEGIN A-----\nQQ==\n-----END A-----\n";
        let broken = [
            "-----BEGIN A-----\nQQ==\n-----END B-----\n",
            "-----BEGIN A-----\nQ\n-----END A-----\n",
            "-----BEGIN A----\nQQ==\n-----END A-----\n",
            "-----BEGIN A-----\nQQ==\n-----END A----- x\n",
            "-----BEGIN A-----\n",
            " -----BEGIN A-----\nQQ==\n-----END A-----\n",
        ];
        for text in broken {
            assert_eq!(content(text), None, "{text}");
            assert_eq!(
                content(&format!("{text}{good}")),
                Some(vec![0x41]),
                "{text}"
            );
        }
        assert_eq!(content("-----BEGIN A-----\n-----END A-----"), Some(vec![]));
        assert_eq!(content("-----BEGIN A-----\nx: y\n-----END A-----"), None);
        // Headers up to the end of the text end everything, those up to another line only the block.
        let headers = "-----BEGIN A-----\nx: y\n-----END A-----:\n";
        assert_eq!(content(&format!("{headers}{good}z: y\n")), Some(vec![0x41]));
        assert_eq!(content(&format!("{headers}z: y\n")), None);
        assert_eq!(headers_at_end(b"a\nb:\nc:"), 5);
        assert_eq!(headers_at_end(b"b:\nc:\n"), 6);
        assert_eq!(headers_at_end(b"b:\n\n"), 0);
        assert_eq!(headers_at_end(b""), 0);
        assert_eq!(
            content("-----BEGIN A-----\nQR==\n-----END A-----"),
            Some(vec![0x41])
        );
    }

    #[test]
    fn headers_without_end_cost_no_more_than_they_are_long() {
        // With a walk over all headers that follow for each block, this takes hours.
        let text = "-----BEGIN A-----\nx: y\n-----END B-----:\n".repeat(100_000);
        assert_eq!(content(&text), None);
        assert_eq!(content(&format!("{text}end\n")), None);
    }
}
