//! PEM: finding a block in a text, and writing one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::pem::Pem;

const LINE_CHARS: usize = 64;

/// What the first block of a text holds, if it is called one of `labels`.
pub(crate) fn first(text: &[u8], labels: &[&str]) -> Option<Vec<u8>> {
    let block = Pem::iter_from_buffer(text).next()?.ok()?;
    labels
        .contains(&block.label.as_str())
        .then_some(block.contents)
}

/// A block.
#[must_use]
pub fn block(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for (position, digit) in STANDARD.encode(der).chars().enumerate() {
        if position > 0 && position % LINE_CHARS == 0 {
            text.push('\n');
        }
        text.push(digit);
    }
    text.push_str("\n-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}
