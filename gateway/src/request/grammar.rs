//! The grammar that headers share (RFC 9110, section 5.6): lists, parameters, quoted strings.

use std::borrow::Cow;

use axum::http::HeaderValue;

/// The text of a header; bytes that are not UTF-8 become a letter that nothing here looks for.
pub(crate) fn text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

/// The elements of a list, without empty ones.
pub(crate) fn elements(list: &str) -> impl Iterator<Item = &str> {
    pieces(list, ',').filter(|element| !element.is_empty())
}

/// The pieces between the separators, without blanks around them. A quoted string hides separators.
pub(crate) fn pieces(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (piece, behind) = match end_of_piece(text, separator) {
            Some(end) => {
                let (piece, behind) = text.split_at(end);
                (piece, behind.get(separator.len_utf8()..))
            }
            None => (text, None),
        };
        rest = behind;
        Some(trim(piece))
    })
}

fn end_of_piece(text: &str, separator: char) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (position, letter) in text.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            letter if letter == separator && !is_quoted => return Some(position),
            _ => {}
        }
    }
    None
}

/// A name and its value, which may be a quoted string; without a `=` the value is empty.
pub(crate) fn name_and_value(parameter: &str) -> (&str, Cow<'_, str>) {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    (trim(name), word(trim(value)))
}

/// A token as it is; a quoted string without its quotes and backslashes.
fn word(text: &str) -> Cow<'_, str> {
    let inside = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    match inside {
        None => text.into(),
        Some(inside) if !inside.contains('\\') => inside.into(),
        Some(inside) => {
            let mut letters = inside.chars();
            let next = || match letters.next()? {
                '\\' => letters.next(),
                letter => Some(letter),
            };
            std::iter::from_fn(next).collect::<String>().into()
        }
    }
}

/// Removes the blanks that headers may have around anything.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_pass_over_empty_elements_and_leave_quoted_strings_whole() {
        for (list, expected) in [
            ("", &[][..]),
            (" ,\t, ", &[]),
            ("a", &["a"]),
            (",a ,, b\t,", &["a", "b"]),
            (r#"a="x,y", b"#, &[r#"a="x,y""#, "b"]),
            (r#"a="\",", b"#, &[r#"a="\",""#, "b"]),
            (r#"a="never closed, b"#, &[r#"a="never closed, b"#]),
            (r"a\,b", &[r"a\", "b"]),
        ] {
            let found: Vec<&str> = elements(list).collect();
            assert_eq!(found, expected, "{list}");
        }
    }

    #[test]
    fn a_parameter_is_a_name_and_a_word() {
        for (parameter, name, value) in [
            ("q=0.5", "q", "0.5"),
            ("q = 0.5", "q", "0.5"),
            (r#"x="a b""#, "x", "a b"),
            (r#"x="a\"b\\""#, "x", r#"a"b\"#),
            (r#"x="a"#, "x", "\"a"),
            ("x=\"", "x", "\""),
            ("x", "x", ""),
            ("", "", ""),
        ] {
            let (found, word) = name_and_value(parameter);
            assert_eq!((found, &*word), (name, value), "{parameter}");
        }
    }
}
