//! The check against tables of texts, the merge against the examples of RFC 7396 and against a
//! naive implementation over `serde_json::Value`.

use serde_json::{Map, Value};

use super::*;

fn check_error(text: &str) -> String {
    match check_value(text.as_bytes()) {
        Ok(()) => "fine".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_kind_of_value_passes() {
    let texts = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1.10",
        "-12.5e+3",
        "1E9",
        "123456789012345678901234567890",
        r#""""#,
        r#""é日😀""#,
        r#""\"\\\/\b\f\n\r\t\u0041\uD83D\uDE00""#,
        "[]",
        "[ ]",
        "[1,[],{}]",
        "{}",
        "{ }",
        r#" { "a" : 1 , "b" : [ { "a" : 1 } , { "a" : 2 } ] } "#,
        "\t\r\n1\n",
        r#"{"":1," ":2}"#,
        r#"{"a":{"_id":1,"~version":2}}"#,
        r#"{"~versions":1,"a_":2}"#,
        r#"[{"_id":1}]"#,
        "\"\u{7f}\u{2028}\"",
    ];
    for text in texts {
        assert_eq!(check_error(text), "fine", "{text}");
        assert!(is_json(text.as_bytes()), "{text}");
    }
}

#[test]
fn what_breaks_the_grammar_is_refused_with_its_place() {
    let rows = [
        ("", "expected a value at byte 0"),
        (" ", "expected a value at byte 1"),
        ("\u{feff}1", "expected a value at byte 0"),
        ("nul", "expected a value at byte 0"),
        ("nulll", "expected the end of the text at byte 4"),
        ("NaN", "expected a value at byte 0"),
        ("1 2", "expected the end of the text at byte 2"),
        ("01", "expected the end of the text at byte 1"),
        ("+1", "expected a value at byte 0"),
        (".5", "expected a value at byte 0"),
        ("-", "expected a digit at byte 1"),
        ("1.", "expected a digit at byte 2"),
        ("1.e1", "expected a digit at byte 2"),
        ("1e", "expected a digit at byte 2"),
        ("1e+", "expected a digit at byte 3"),
        ("[1,]", "expected a value at byte 3"),
        ("[,1]", "expected a value at byte 1"),
        ("[1 2]", "expected `,` or `]` at byte 3"),
        ("[1", "expected `,` or `]` at byte 2"),
        ("]", "expected a value at byte 0"),
        ("{", "expected a member's name at byte 1"),
        (r#"{"a"}"#, "expected `:` at byte 4"),
        (r#"{"a":}"#, "expected a value at byte 5"),
        (r#"{"a":1,}"#, "expected a member's name at byte 7"),
        (r#"{"a":1 "b":2}"#, "expected `,` or `}` at byte 7"),
        ("{a:1}", "expected a member's name at byte 1"),
        ("{'a':1}", "expected a member's name at byte 1"),
        ("// no\n1", "expected a value at byte 0"),
        (
            "\"a",
            "expected a character of a string or its closing quote at byte 2",
        ),
        (
            "\"a\nb\"",
            "expected a character of a string or its closing quote at byte 2",
        ),
        (
            "\"\0\"",
            "expected a character of a string or its closing quote at byte 1",
        ),
        (r#""\x""#, "expected an escape at byte 2"),
        (r#""\"#, "expected an escape at byte 2"),
        (r#""\u12g4""#, "expected four hexadecimal digits at byte 5"),
        (r#""\u12"#, "expected four hexadecimal digits at byte 5"),
    ];
    for (text, error) in rows {
        assert_eq!(check_error(text), error, "{text:?}");
        assert!(!is_json(text.as_bytes()), "{text:?}");
    }
    let broken = check(b"\"a\xff\"", MAX_DEPTH);
    assert_eq!(broken, Err(JsonError::NotUtf8 { offset: 2 }));
    assert!(!is_json(b"\"a\xff\""));
}

#[test]
fn numbers_have_as_many_digits_as_can_be_compared_in_no_time() {
    let digits = |count: usize| "7".repeat(count);
    for (number, is_taken) in [
        (digits(1024), true),
        (digits(1025), false),
        (format!("-0.{}", digits(1021)), true),
        (format!("-0.{}", digits(1022)), false),
        ("1e9999".to_owned(), true),
        ("-1.5E-9999".to_owned(), true),
        ("1e00009999".to_owned(), true),
        ("1e10000".to_owned(), false),
        ("1E-10000".to_owned(), false),
        ("1e99999999999999999999".to_owned(), false),
    ] {
        let text = format!("{{\"a\": [{number}]}}");
        let read = check_value(text.as_bytes());
        let refused = Err(JsonError::LongNumber { offset: 7 });
        assert_eq!(read, if is_taken { Ok(()) } else { refused }, "{number}");
        // What a channel holds already is read, and is JSON.
        assert!(read_stored(text.as_bytes(), MAX_DEPTH).is_ok());
        assert!(is_json(text.as_bytes()));
        assert!(merge(text.as_bytes(), b"{}").is_ok());
    }
    assert_eq!(
        check_error("1e10000"),
        "a number of more than 1024 characters, or with an exponent beyond 9999, at byte 0"
    );
}

#[test]
fn half_characters_are_refused() {
    for (text, offset) in [
        (r#""\ud800""#, 1),
        (r#""a\udc00""#, 2),
        (r#""\ud800\u0041""#, 1),
        (r#""\ud800\ud800""#, 1),
        (r#""\ud800x""#, 1),
        (r#""\udc00\udc00""#, 1),
        (r#""\ud800\n""#, 1),
        (r#"{"\udfff":1}"#, 2),
    ] {
        let error = JsonError::UnpairedSurrogate { offset };
        assert_eq!(check_value(text.as_bytes()), Err(error), "{text}");
    }
}

#[test]
fn a_member_twice_is_refused_by_name_at_any_level() {
    for (text, name) in [
        (r#"{"a":1,"a":1}"#, "a"),
        (r#"{"a":1,"b":2,"\u0061":3}"#, "a"),
        (r#"{"x":[1,{"y":{"b":1,"c":2,"b":3}}]}"#, "b"),
        (r#"[{"":1,"":2}]"#, ""),
        (r#"{"\ud83d\ude00":1,"😀":2}"#, "😀"),
    ] {
        let error = JsonError::DuplicateMember { name: name.into() };
        assert_eq!(check_value(text.as_bytes()), Err(error), "{text}");
        assert!(is_json(text.as_bytes()));
    }
}

#[test]
fn reserved_members_are_refused_at_the_top_only() {
    for (text, name) in [
        (r#"{"_id":1}"#, "_id"),
        (r#"{"a":1,"_":1}"#, "_"),
        (r#"{"~version":1}"#, "~version"),
        (r#"{"\u005fid":1}"#, "_id"),
    ] {
        let error = JsonError::ReservedMember { name: name.into() };
        assert_eq!(check_value(text.as_bytes()), Err(error), "{text}");
        assert_eq!(check(text.as_bytes(), MAX_DEPTH), Ok(()));
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| {
        let (open, close): (String, String) = (0..depth)
            .map(|level| {
                if level % 2 == 0 {
                    ("[", "]")
                } else {
                    ("{\"a\":", "}")
                }
            })
            .unzip();
        let close: String = close.chars().rev().collect();
        format!("{open}1{close}")
    };
    assert_eq!(check_error(&nested(100)), "fine");
    assert_eq!(check_error(&nested(101)), "nested deeper than 100 levels");
    assert_eq!(
        check_error(&"[".repeat(1 << 20)),
        "nested deeper than 100 levels"
    );
    assert!(is_json(nested(101).as_bytes()));
    // Width is not depth.
    assert_eq!(check_error(&format!("[{}1]", "[[]],".repeat(1000))), "fine");
}

#[test]
fn merges_as_in_the_appendix_of_the_rfc() {
    let rows = [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (
            r#"{"a":{"b":"c"}}"#,
            r#"{"a":{"b":"d","c":null}}"#,
            r#"{"a":{"b":"d"}}"#,
        ),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"a":"foo"}"#, "null", "null"),
        (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
        ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
    ];
    for (target, patch, merged) in rows {
        let found = merge(target.as_bytes(), patch.as_bytes()).unwrap();
        assert_eq!(found, merged, "{target} with {patch}");
    }
}

#[test]
fn a_merge_keeps_text_and_order_of_what_it_does_not_touch() {
    let rows = [
        (
            r#"{"z": 1.10, "big": 123456789012345678901234567890, "a": { "x" : 1e2 }}"#,
            r#"{"n":0.50}"#,
            r#"{"z":1.10,"big":123456789012345678901234567890,"a":{ "x" : 1e2 },"n":0.50}"#,
        ),
        (
            r#"{"a":1,"b":2,"c":3}"#,
            r#"{"b":9,"d":4,"a":null}"#,
            r#"{"b":9,"c":3,"d":4}"#,
        ),
        (r#"{"\u0061":1}"#, r#"{"a":2}"#, r#"{"\u0061":2}"#),
        (r#"{ "a": 1 }"#, " {} ", r#"{ "a": 1 }"#),
        (r#"{"a":{ "b": 1 }}"#, r#"{"a":{}}"#, r#"{"a":{ "b": 1 }}"#),
        // Names which serde_json gives a meaning of its own.
        (
            r#"{"$serde_json::private::Number":"1"}"#,
            r#"{"a":{"$serde_json::private::RawValue":"[]"}}"#,
            r#"{"$serde_json::private::Number":"1","a":{"$serde_json::private::RawValue":"[]"}}"#,
        ),
    ];
    for (target, patch, merged) in rows {
        let found = merge(target.as_bytes(), patch.as_bytes()).unwrap();
        assert_eq!(found, merged, "{target} with {patch}");
    }
}

#[test]
fn neither_side_of_a_merge_escapes_the_check() {
    let twice = br#"{"a":1,"a":2}"#;
    let error = JsonError::DuplicateMember { name: "a".into() };
    assert_eq!(merge(twice, b"{}"), Err(error.clone()));
    assert_eq!(merge(b"{}", twice), Err(error));
}

/// RFC 7396, section 2, word for word.
fn naive_merge(target: Value, patch: Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch;
    };
    let mut target = match target {
        Value::Object(target) => target,
        _ => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            target.shift_remove(&name);
        } else {
            let old = target.get(&name).cloned().unwrap_or(Value::Null);
            target.insert(name, naive_merge(old, value));
        }
    }
    Value::Object(target)
}

/// A small generator: the same seed, the same values.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn value(&mut self, depth: u64) -> Value {
        match self.below(if depth == 0 { 5 } else { 9 }) {
            0 => Value::Null,
            1 => Value::Bool(true),
            2 => serde_json::from_str(["1.10", "0", "-1e5", "98765432109876543210"][self.index(4)])
                .unwrap(),
            3 | 4 => Value::from(["", "a\"b", "é\n", "\u{1f600}"][self.index(4)]),
            5 => (0..self.below(3)).map(|_| self.value(depth - 1)).collect(),
            _ => {
                let count = self.below(5);
                let member = |random: &mut Self| {
                    let name = ["a", "b", "c\"", "é", ""][random.index(5)].to_owned();
                    (name, random.value(depth - 1))
                };
                Value::Object((0..count).map(|_| member(self)).collect())
            }
        }
    }

    fn index(&mut self, bound: u64) -> usize {
        usize::try_from(self.below(bound)).unwrap()
    }
}

#[test]
fn merging_texts_equals_merging_values() {
    for seed in 1..20_000 {
        let mut random = Random::new(seed);
        let (target, patch) = (random.value(4), random.value(4));
        let (target_text, patch_text) = if seed % 2 == 0 {
            (target.to_string(), patch.to_string())
        } else {
            (
                serde_json::to_string_pretty(&target).unwrap(),
                serde_json::to_string_pretty(&patch).unwrap(),
            )
        };
        let merged = merge(target_text.as_bytes(), patch_text.as_bytes()).unwrap();
        let expected = naive_merge(target, patch);
        let found: Value = serde_json::from_str(&merged).unwrap();
        // The text also has to have numbers and order alike, which `Value` does not compare.
        assert_eq!(found.to_string(), expected.to_string(), "seed {seed}");
        assert_eq!(check(merged.as_bytes(), MAX_DEPTH), Ok(()), "seed {seed}");
    }
}

#[test]
fn the_check_agrees_with_serde_json_about_damaged_texts() {
    for seed in 1..20_000 {
        let mut random = Random::new(seed);
        let mut text = random.value(3).to_string().into_bytes();
        for _ in 0..=random.below(2) {
            let at = random.index(text.len() as u64 + 1).min(text.len() - 1);
            text[at] = br#"{}[]":,\eu0-.1 n"#[random.index(16)];
        }
        let accepted = match check(&text, MAX_DEPTH) {
            // Of these serde_json's grammar knows nothing.
            Err(
                JsonError::DuplicateMember { .. }
                | JsonError::UnpairedSurrogate { .. }
                | JsonError::LongNumber { .. },
            ) => continue,
            other => other.is_ok(),
        };
        assert_eq!(
            accepted,
            is_json(&text),
            "seed {seed}: {}",
            text.escape_ascii()
        );
    }
}
