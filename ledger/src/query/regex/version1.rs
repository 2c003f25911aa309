//! Patterns with the meaning of selectors of version 1: some are in blocks and definitions of indexes, and
//! keep their meaning for judging. Nothing here changes any more.
//!
//! The pattern is rewritten for the engine, because some of PCRE's syntax means something else there: bytes
//! beyond ASCII become escapes (`.` matches one byte, `É+` repeats its last byte), `$` also matches before a
//! final line feed, and inside `[...]` a `[`, `&`, `~` or `--` stands for itself.
//!
//! Look-ahead is understood only between `^` at the very beginning and the rest, where it is a separate
//! condition: `^(?!tom)[a-z]+$`. These are refused, because the engine lacks them or gives them another
//! meaning: other look-around, back references, possessive quantifiers, atomic groups, recursion, conditions,
//! `\G`, `\K`, `\R`, `\X`, `\Q`, `\h`, `\v`, `\p`, and flags other than `imsx`.

use regex::bytes::{Regex as Engine, RegexBuilder};

use crate::query::error::QueryError;

/// The most bytes that a compiled pattern may take.
const SIZE_LIMIT: usize = 1 << 20;
/// The deepest nesting of groups.
const NEST_LIMIT: u32 = 100;
/// The most conditions between `^` and the rest.
const MAX_LOOKS: usize = 16;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) struct Regex {
    main: Engine,
    /// What must match, or must not match, at the beginning of the text.
    looks: Vec<(bool, Engine)>,
}

impl Regex {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// It is not a pattern, it is too large, or it needs what a linear engine cannot do.
    pub(super) fn new(pattern: &str) -> Result<Self, QueryError> {
        let (flags, rest) = leading_flags(pattern);
        let (looks, rest) = leading_looks(rest).unwrap_or((Vec::new(), rest));
        if looks.is_empty() {
            return Ok(Self {
                main: compile(pattern)?,
                looks: Vec::new(),
            });
        }
        if looks.len() > MAX_LOOKS || flags.contains('m') || has_alternatives(rest) {
            return Err(refused(
                "look-ahead is understood after a single leading ^ only",
            ));
        }
        let anchored = |inner: &str| compile(&format!("{flags}\\A(?:{inner})"));
        let looks = looks
            .into_iter()
            .map(|(wanted, inner)| Ok((wanted, anchored(inner)?)));
        Ok(Self {
            looks: looks.collect::<Result<_, QueryError>>()?,
            main: anchored(rest)?,
        })
    }

    /// Whether the text has a match in it.
    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        self.main.is_match(text)
            && self
                .looks
                .iter()
                .all(|(wanted, engine)| engine.is_match(text) == *wanted)
    }
}

fn refused(why: impl Into<String>) -> QueryError {
    QueryError::BadRegex(why.into())
}

fn compile(pattern: &str) -> Result<Engine, QueryError> {
    let pattern = rewrite(pattern)?;
    RegexBuilder::new(&pattern)
        .unicode(false)
        .size_limit(SIZE_LIMIT)
        .dfa_size_limit(SIZE_LIMIT)
        .nest_limit(NEST_LIMIT)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => refused("the pattern is too large"),
            // The last line says what is wrong; the lines before point at the pattern.
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default();
                refused(last.trim_start_matches("error: "))
            }
        })
}

/// `(?i)` and similar flags at the very beginning.
fn leading_flags(pattern: &str) -> (&str, &str) {
    let flags = pattern
        .strip_prefix("(?")
        .and_then(|rest| rest.split_once(')'));
    match flags {
        Some((flags, _)) if flags.bytes().all(|flag| b"imsx".contains(&flag)) => {
            pattern.split_at(flags.len() + 3)
        }
        _ => ("", pattern),
    }
}

/// The look-ahead conditions directly after a leading `^`, and what follows them.
fn leading_looks(pattern: &str) -> Option<(Vec<(bool, &str)>, &str)> {
    let mut rest = pattern
        .strip_prefix('^')
        .or_else(|| pattern.strip_prefix("\\A"))?;
    let mut looks = Vec::new();
    loop {
        let wanted = if rest.starts_with("(?=") {
            true
        } else if rest.starts_with("(?!") {
            false
        } else {
            return Some((looks, rest));
        };
        let inner = rest.get(3..)?;
        let end = group_end(inner)?;
        looks.push((wanted, inner.get(..end)?));
        rest = inner.get(end + 1..)?;
        // A quantified condition is not a condition.
        if rest.starts_with(['*', '+', '?', '{']) {
            return None;
        }
    }
}

/// Calls `each` with every byte that is neither escaped nor inside `[...]`, until `each` says so.
fn outside_classes(pattern: &str, mut each: impl FnMut(usize, u8) -> bool) -> Option<usize> {
    let bytes = pattern.as_bytes();
    let mut at = 0;
    let mut class_from = None;
    while let Some(byte) = bytes.get(at) {
        match (*byte, class_from) {
            (b'\\', _) => at += 1,
            (b'[', None) => {
                let negated = usize::from(bytes.get(at + 1) == Some(&b'^'));
                // A `]` that comes first stands for itself.
                at += negated + usize::from(bytes.get(at + 1 + negated) == Some(&b']'));
                class_from = Some(at);
            }
            (b']', Some(_)) => class_from = None,
            (byte, None) if each(at, byte) => return Some(at),
            _ => (),
        }
        at += 1;
    }
    None
}

/// The end of the group whose inside is `inner`.
fn group_end(inner: &str) -> Option<usize> {
    let mut depth = 0_usize;
    outside_classes(inner, |_, byte| match byte {
        b'(' => {
            depth += 1;
            false
        }
        b')' if depth == 0 => true,
        b')' => {
            depth -= 1;
            false
        }
        _ => false,
    })
}

fn has_alternatives(pattern: &str) -> bool {
    let mut depth = 0_usize;
    let found = outside_classes(pattern, |_, byte| {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'|' => return depth == 0,
            _ => (),
        }
        false
    });
    found.is_some()
}

/// The same pattern in the engine's language.
fn rewrite(pattern: &str) -> Result<String, QueryError> {
    let bytes = pattern.as_bytes();
    let mut out = String::with_capacity(pattern.len() + 8);
    let is_multiline = sets_multiline(pattern);
    let mut in_class = false;
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        let next = bytes.get(at + 1).copied();
        match byte {
            b'\\' => {
                let escaped = next.ok_or_else(|| refused("it ends in a backslash"))?;
                escape(escaped, in_class, &mut out)?;
                at += 1;
            }
            0x80.. => push_byte(byte, &mut out),
            b'[' if in_class && next == Some(b':') => out.push('['),
            b'[' | b'&' | b'~' if in_class => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b'-' if in_class && next == Some(b'-') => out.push_str("\\-"),
            b'[' => {
                in_class = true;
                out.push('[');
                if bytes.get(at + 1) == Some(&b'^') {
                    out.push('^');
                    at += 1;
                }
                if bytes.get(at + 1) == Some(&b']') {
                    out.push_str("\\]");
                    at += 1;
                }
            }
            b':' if in_class && next == Some(b']') && posix_class_is_open(&out) => {
                out.push_str(":]");
                at += 1;
            }
            b']' if in_class => {
                in_class = false;
                out.push(']');
            }
            b'$' if !in_class && !is_multiline => out.push_str("(?:\\n?\\z)"),
            b'(' if !in_class && next == Some(b'?') => {
                check_group(bytes.get(at + 2..).unwrap_or_default())?;
                out.push('(');
            }
            b'+' | b'*' if !in_class && is_quantified(bytes, at) => {
                return Err(refused(
                    "possessive and repeated quantifiers are not supported",
                ));
            }
            _ => out.push(char::from(byte)),
        }
        at += 1;
    }
    Ok(out)
}

/// Whether some `(?...)` sets the flag `m`.
fn sets_multiline(pattern: &str) -> bool {
    pattern.split("(?").skip(1).any(|group| {
        let flags = group.split([')', ':', '-']).next().unwrap_or_default();
        flags.contains('m') && flags.bytes().all(|flag| b"imsx".contains(&flag))
    })
}

/// Whether a `[[:` is open.
fn posix_class_is_open(out: &str) -> bool {
    let opened = out.rfind("[:");
    opened.is_some_and(|at| {
        let name = out.get(at + 2..).unwrap_or_default();
        name.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'^')
    })
}

/// Whether a quantifier is before the `+` or `*` at `at`.
fn is_quantified(bytes: &[u8], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).and_then(|at| bytes.get(at)).copied();
    let is_escaped = before(2) == Some(b'\\') && before(3) != Some(b'\\');
    matches!(before(1), Some(b'+' | b'*' | b'?' | b'}')) && !is_escaped
}

/// Checks what follows `(?`.
fn check_group(rest: &[u8]) -> Result<(), QueryError> {
    let is_name =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
    let fine = match rest {
        [b':', ..] => true,
        [b'P', b'<', rest @ ..] | [b'<', rest @ ..] => is_name(rest.first()),
        _ => {
            let flags = rest.iter().take_while(|byte| !b"):".contains(byte));
            flags.clone().count() < rest.len()
                && rest.first() != Some(&b')')
                && flags.clone().all(|flag| b"imsx-".contains(flag))
        }
    };
    if fine {
        return Ok(());
    }
    Err(refused(
        "look-around, atomic groups, recursion, conditions and flags other than imsx are not supported",
    ))
}

/// Appends a byte that stands for itself.
fn push_byte(byte: u8, out: &mut String) {
    out.push_str("\\x");
    for digit in [byte >> 4, byte & 0xf] {
        out.extend(char::from_digit(digit.into(), 16));
    }
}

fn escape(escaped: u8, in_class: bool, out: &mut String) -> Result<(), QueryError> {
    match escaped {
        0x80.. => {
            // Both bytes stand for themselves, with or without the backslash.
            push_byte(escaped, out);
        }
        b'd' | b'D' | b's' | b'S' | b'w' | b'W' | b'n' | b'r' | b't' | b'f' | b'a' | b'x' => {
            out.push('\\');
            out.push(char::from(escaped));
        }
        b'e' => out.push_str("\\x1B"),
        b'b' if in_class => out.push_str("\\x08"),
        b'b' | b'B' | b'A' | b'z' if !in_class => {
            out.push('\\');
            out.push(char::from(escaped));
        }
        b'Z' if !in_class => out.push_str("(?:\\n?\\z)"),
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
            let escaped = char::from(escaped);
            return Err(refused(format!("\\{escaped} is not supported")));
        }
        b'<' | b'>' | b'_' | b'\'' | b'"' | b'`' | b'@' | b'%' | b'!' | b',' | b';' | b'='
        | b':' | b'/' | b'\t' | b'\n' | b' ' => push_byte(escaped, out),
        _ => {
            out.push('\\');
            out.push(char::from(escaped));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_pcre_does_on_bytes() {
        for (pattern, text, expected) in [
            ("e", "jerry", true),
            ("", "x", true),
            ("(?i)^BLUE$", "Blue", true),
            ("^É", "Émile", true),
            ("^.mile$", "Émile", false),
            ("^..mile$", "Émile", true),
            ("[É]", "\u{c0}", true),
            ("É+$", "ÉÉ", true),
            ("^É{2}$", "ÉÉ", false),
            ("a$", "a\n", true),
            ("a$", "a\nb", false),
            ("(?m)a$", "a\nb", true),
            ("a\\z", "a\n", false),
            ("^(?!tom)[a-z]+$", "tomas", false),
            ("^(?!tom)[a-z]+$", "zoe", true),
            ("^(?=.*\\d)(?=.*[a-z]).{4,}$", "ab12", true),
            ("^(?=.*\\d)(?=.*[a-z]).{4,}$", "abcd", false),
            ("(?i)^(?!TOM)", "tom", false),
            ("[[]", "[", true),
            ("[]a]", "]", true),
            ("[a&&b]", "&", true),
            ("[[:digit:]]+", "12", true),
            ("[[:alpha:]~]", "~", true),
            ("\\<a", "<a", true),
            ("a\\++", "a++", true),
            ("\\bfoo\\b", "a foo b", true),
            ("[\\b]", "\u{8}", true),
            ("a.c", "a\nc", false),
        ] {
            let regex = Regex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert_eq!(
                regex.is_match(text.as_bytes()),
                expected,
                "{pattern} {text:?}"
            );
        }
    }

    #[test]
    fn what_a_linear_engine_cannot_do_is_refused() {
        for pattern in [
            "(",
            "a**b",
            "[",
            "*",
            "\\",
            "(a)\\1",
            "a(?!b)",
            "(?<=a)b",
            "(?>a)",
            "a++",
            "(?R)",
            "\\pL",
            "\\Ga",
            "(?u)a",
            "(?U)a",
            "a{1000}{1000}",
            "^(?!a)b|c",
            "(?#x)a",
        ] {
            assert!(Regex::new(pattern).is_err(), "{pattern}");
        }
    }
}
