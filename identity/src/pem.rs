//! PEM: finding a block in a text, and giving a certificate its one form.

use x509_parser::pem::Pem;

const CERTIFICATE_BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const CERTIFICATE_END: &str = "-----END CERTIFICATE-----";
const LINE_CHARS: usize = 64;

/// Contents of the first PEM block in `text`, if its label is `label`. What stands before and
/// after the block does not matter, as in Fabric.
pub(crate) fn first_block(text: &[u8], label: &str) -> Option<Vec<u8>> {
    let block = Pem::iter_from_buffer(text).next()?.ok()?;
    (block.label == label).then_some(block.contents)
}

/// The first certificate in `text` as Fabric writes it: lines of 64 characters that end in a line
/// feed, nothing before or after. An editor's change of line ends must not change who signs.
pub(crate) fn canonical_certificate(text: &str) -> Option<String> {
    let (_, rest) = text.split_once(CERTIFICATE_BEGIN)?;
    let (body, _) = rest.split_once(CERTIFICATE_END)?;
    let mut canonical = String::from(CERTIFICATE_BEGIN);
    let digits = body.chars().filter(|char| !char.is_whitespace());
    for (position, digit) in digits.enumerate() {
        if position % LINE_CHARS == 0 {
            canonical.push('\n');
        }
        canonical.push(digit);
    }
    canonical.push('\n');
    canonical.push_str(CERTIFICATE_END);
    canonical.push('\n');
    Some(canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_line_ends_and_text_around_do_not_change_a_certificate() {
        let line = "A".repeat(64);
        let canonical =
            format!("-----BEGIN CERTIFICATE-----\n{line}\nQQ==\n-----END CERTIFICATE-----\n");
        let untidy = format!("subject: x\r\n{}\r\n\r\n", canonical.replace('\n', "\r\n"));
        for text in [&canonical, &untidy] {
            assert_eq!(canonical_certificate(text).as_ref(), Some(&canonical));
            assert_eq!(
                first_block(text.as_bytes(), "CERTIFICATE").unwrap().len(),
                49
            );
        }
        assert_eq!(canonical_certificate("-----BEGIN CERTIFICATE-----"), None);
        assert_eq!(first_block(canonical.as_bytes(), "PRIVATE KEY"), None);
    }
}
