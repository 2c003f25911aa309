//! Takes an object or an array that was read before apart into the texts of its parts.

use std::borrow::Cow;

use super::JsonError;
use super::scanner::Scanner;
use super::tree::MAX_TREE_DEPTH;

/// A member of an object.
pub(crate) struct Part<'a> {
    /// The name, unescaped.
    pub(crate) name: Cow<'a, str>,
    /// The name as it is in the text, with quotes and escapes.
    pub(crate) name_text: &'a str,
    /// The value's text.
    pub(crate) text: &'a str,
}

/// Calls `each` for each member of an object, in the text's order, and not at all for any other text.
///
/// # Errors
/// The text is not JSON.
pub(crate) fn members<'a>(text: &'a str, each: &mut dyn FnMut(Part<'a>)) -> Result<(), JsonError> {
    walk(text, (b'{', b'}'), &mut |scanner| {
        let (name, name_text) = scanner.name()?;
        let text = scanner.skip_value()?;
        each(Part {
            name,
            name_text,
            text,
        });
        Ok(())
    })
}

/// Calls `each` for each element of an array, in order, and not at all for any other text.
///
/// # Errors
/// The text is not JSON.
pub(crate) fn elements<'a>(text: &'a str, each: &mut dyn FnMut(&'a str)) -> Result<(), JsonError> {
    walk(text, (b'[', b']'), &mut |scanner| {
        each(scanner.skip_value()?);
        Ok(())
    })
}

fn walk<'a>(
    text: &'a str,
    (open, close): (u8, u8),
    part: &mut dyn FnMut(&mut Scanner<'a>) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    let mut scanner = Scanner::new(text, MAX_TREE_DEPTH);
    scanner.skip_space();
    if scanner.peek() != Some(open) {
        return Ok(());
    }
    scanner.enter()?;
    if scanner.closes(close) {
        return Ok(());
    }
    loop {
        scanner.skip_space();
        part(&mut scanner)?;
        if !scanner.goes_on(close)? {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_texts_between_the_brackets() {
        let mut found = Vec::new();
        let text = r#" { "a" : [1, {"b":"]}"}] ,"\u0062":-1.5E+3,"":"\"\\","c":{ } , "d":null} "#;
        let mut each = |part: Part<'_>| {
            found.push(format!("{} {} {}", part.name, part.name_text, part.text));
        };
        members(text, &mut each).unwrap();
        assert_eq!(
            found,
            [
                r#"a "a" [1, {"b":"]}"}]"#,
                r#"b "\u0062" -1.5E+3"#,
                r#" "" "\"\\""#,
                r#"c "c" { }"#,
                r#"d "d" null"#,
            ]
        );
        let mut found = Vec::new();
        elements(" [ 1 ,[2], \"x\",{}]", &mut |text| found.push(text)).unwrap();
        assert_eq!(found, ["1", "[2]", "\"x\"", "{}"]);
        for text in ["", "{}", "[]", "1", "{\"a\":[1]}"] {
            elements(text, &mut |_| panic!("{text}")).unwrap();
        }
        for text in [
            "[", "[1", "[1 2]", "[\"", "[\"\\", "[[", "[}]", "[,]", "[x]",
        ] {
            assert!(elements(text, &mut |_| ()).is_err(), "{text}");
        }
    }
}
