//! A chaincode's answer as Fabric's logs print it, which is how Go prints messages.

use std::fmt::Write as _;

use quire_wire::peer::Response;

/// One line, such as `status:200 payload:"ok"`.
pub(super) fn response(response: &Response) -> String {
    let mut fields = Vec::new();
    if response.status != 0 {
        fields.push(format!("status:{}", response.status));
    }
    if !response.message.is_empty() {
        fields.push(format!("message:{}", quoted(response.message.as_bytes())));
    }
    if !response.payload.is_empty() {
        fields.push(format!("payload:{}", quoted(&response.payload)));
    }
    fields.join(" ")
}

fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\0'..' ' | '\x7f' => byte(&mut text, u32::from(character)),
                '\u{80}'..='\u{9f}' => {
                    push(&mut text, format_args!("\\u{:04x}", u32::from(character)));
                }
                character => text.push(character),
            }
        }
        for &stray in chunk.invalid() {
            byte(&mut text, u32::from(stray));
        }
    }
    text.push('"');
    text
}

fn byte(text: &mut String, value: u32) {
    push(text, format_args!("\\x{value:02x}"));
}

fn push(text: &mut String, part: std::fmt::Arguments<'_>) {
    if text.write_fmt(part).is_err() {
        // A text takes whatever is written to it.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_printed_as_go_prints_them() {
        let answer = |status, message: &str, payload: &'static [u8]| {
            response(&Response {
                status,
                message: message.to_owned(),
                payload: payload.into(),
            })
        };
        assert_eq!(answer(200, "", b""), "status:200");
        assert_eq!(
            answer(500, "a \"b\"\n", b"{}"),
            r#"status:500 message:"a \"b\"\n" payload:"{}""#
        );
        assert_eq!(
            answer(0, "", b"\x00\x1f\xff\xc3\xa4\xc2\x85\\"),
            r#"payload:"\x00\x1f\xffä\u0085\\""#
        );
    }
}
