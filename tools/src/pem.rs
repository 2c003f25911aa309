//! PEM, written and read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A block of a kind, in lines of 64 letters.
pub(crate) fn encode(kind: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {kind}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END ");
    pem.push_str(kind);
    pem.push_str("-----\n");
    pem
}

/// The first block of a kind.
pub(crate) fn decode(kind: &str, text: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(text).ok()?;
    let (_, rest) = text.split_once(&format!("-----BEGIN {kind}-----"))?;
    let (block, _) = rest.split_once(&format!("-----END {kind}-----"))?;
    let letters: String = block.split_whitespace().collect();
    STANDARD.decode(letters).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_any_length_are_read_back() {
        for length in [0, 1, 47, 48, 49, 200] {
            let der = vec![7; length];
            let text = encode("THING", &der);
            assert!(text.lines().all(|line| line.len() <= 64), "{text}");
            assert_eq!(decode("THING", text.as_bytes()), Some(der));
        }
        assert_eq!(decode("OTHER", encode("THING", b"x").as_bytes()), None);
    }
}
