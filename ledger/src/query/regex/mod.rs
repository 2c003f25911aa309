//! `$regex`: PCRE's patterns on bytes, as in CouchDB, in linear time.
//!
//! ```text
//! pattern --> parse      as PCRE 8 reads it, or refused   --> node     what it says, in few words
//!         --> print      in the engine's language         --> automaton
//!         --> machine    where the engine has no words for it, or gives up
//! ```
//!
//! For PCRE the text is bytes, and letters and words are those of Latin-1: `.` matches half of `é`, and the
//! first half is a letter. That is kept, because clients compare what a pattern finds.
//!
//! The size of a pattern is bounded in steps of the machine, which are counted before any of them is made: so
//! a pattern is accepted with every version of every library. A pattern that was accepted earlier is read
//! even if it is larger.

mod automaton;
mod class;
mod group;
mod machine;
mod node;
mod parse;
mod print;
mod set;
mod version1;

use std::sync::{Arc, OnceLock};

use self::automaton::Automaton;
use self::machine::Machine;
use self::node::Node;
use super::error::QueryError;
use super::size::Admission;
use super::version::Version;
use super::work::{Exceeded, Meter, Spend};

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(crate) struct Regex(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    Current {
        node: Node,
        /// Steps of the machine, whether it is made or not.
        steps: u64,
        /// `None` if the engine cannot express it. It is made at the first match, so that reading a pattern,
        /// as in a block, does not wait for it.
        automaton: OnceLock<Option<Box<Automaton>>>,
        machine: OnceLock<Machine>,
    },
    Version1(version1::Regex),
}

/// Reads a pattern, and counts its steps.
fn read(pattern: &str, admission: Admission) -> Result<(Node, u64), QueryError> {
    let node = parse::parse(pattern)?;
    let most = match admission {
        Admission::Now => machine::MAX_STEPS,
        Admission::Before => machine::MAX_STORED_STEPS,
    };
    let steps = machine::check(&node, most)?;
    Ok((node, steps))
}

impl Regex {
    /// Checks a pattern without compiling it. Returns its size in steps.
    ///
    /// # Errors
    /// See [`Regex::new`].
    pub(crate) fn check(
        pattern: &str,
        version: Version,
        admission: Admission,
    ) -> Result<u64, QueryError> {
        if version == Version::One {
            version1::Regex::new(pattern)?;
            return Ok(0);
        }
        read(pattern, admission).map(|(_, steps)| steps)
    }

    /// Its size in steps; a pattern of the first version counts as zero.
    pub(crate) fn steps(&self) -> u64 {
        match &*self.0 {
            Kind::Current { steps, .. } => *steps,
            Kind::Version1(_) => 0,
        }
    }

    /// Compiles a pattern.
    ///
    /// # Errors
    /// It is not a pattern, it is too large, or it needs backtracking.
    pub(crate) fn new(
        pattern: &str,
        version: Version,
        admission: Admission,
    ) -> Result<Self, QueryError> {
        if version == Version::One {
            let regex = version1::Regex::new(pattern)?;
            return Ok(Self(Arc::new(Kind::Version1(regex))));
        }
        let (node, steps) = read(pattern, admission)?;
        Ok(Self(Arc::new(Kind::Current {
            node,
            steps,
            automaton: OnceLock::new(),
            machine: OnceLock::new(),
        })))
    }

    /// Whether the text has a match.
    ///
    /// # Errors
    /// The meter's steps are spent.
    pub(crate) fn is_match(&self, text: &str, meter: &mut Meter) -> Result<bool, Exceeded> {
        let text = text.as_bytes();
        let length = text.len() as u64;
        meter.spend(Spend::Patterns, 8 + length / 3)?;
        let (node, steps, automaton, machine) = match &*self.0 {
            Kind::Version1(regex) => {
                meter.spend(Spend::Patterns, 4 * length)?;
                return Ok(regex.is_match(text));
            }
            Kind::Current {
                node,
                steps,
                automaton,
                machine,
            } => (node, *steps, automaton, machine),
        };
        if meter.is_fixed() {
            // This is the most that it can take, because the real cost depends on earlier texts.
            meter.spend(Spend::Patterns, (length + 1).saturating_mul(steps))?;
        }
        let make = || {
            let text = print::print(node)?;
            Automaton::new(&text).map(Box::new)
        };
        if machine.get().is_none()
            && let Some(automaton) = automaton.get_or_init(make)
            && let Some(is_match) = automaton.is_match(text, meter)?
        {
            return Ok(is_match);
        }
        let machine = machine.get_or_init(|| Machine::new(node));
        machine.is_match(text, meter)
    }
}

fn refused(why: impl Into<String>) -> QueryError {
    QueryError::BadRegex(why.into())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::set::Set;
    use super::*;

    fn regex(pattern: &str) -> Result<Regex, QueryError> {
        Regex::new(pattern, Version::CURRENT, Admission::Now)
    }

    fn is_match(regex: &Regex, text: &str) -> bool {
        regex.is_match(text, &mut Meter::unlimited()).unwrap()
    }

    fn texts<'a>(case: &'a Value, name: &str) -> Vec<&'a str> {
        let texts = case[name].as_array().unwrap();
        texts.iter().map(|text| text.as_str().unwrap()).collect()
    }

    /// Every line of the file is a pattern and what Erlang's `re`, CouchDB's engine, says about it (OTP 25,
    /// PCRE 8.44): whether `re:compile(P)` accepts it, and which of some texts have a match by
    /// `re:run(T, P, [{capture, none}])`. Half of the patterns are written by hand, half are random.
    /// `"here": "refused"` marks a pattern that Erlang accepts and this does not.
    #[test]
    fn patterns_mean_what_they_mean_to_erlang() {
        let mut wrong = Vec::new();
        let (mut alike, mut refused) = (0, 0);
        for line in include_str!("cases.jsonl").lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let pattern = case["pattern"].as_str().unwrap();
            let is_taken_there = case.get("refused").is_none();
            let is_taken = is_taken_there && case.get("here").is_none();
            match regex(pattern) {
                Err(_) if !is_taken => refused += 1,
                Err(error) => wrong.push(format!("{pattern}: {error}")),
                Ok(_) if !is_taken => wrong.push(format!("{pattern}: taken")),
                Ok(regex) => {
                    for (name, expected) in [("matches", true), ("fails", false)] {
                        let mut texts = texts(&case, name);
                        texts.retain(|text| is_match(&regex, text) != expected);
                        wrong.extend(texts.iter().map(|text| format!("{pattern}: {text:?}")));
                    }
                    alike += 1;
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(alike > 500 && refused > 300, "{alike} {refused}");
    }

    #[test]
    fn bytes_have_the_classes_that_latin_1_gives_them() {
        for (pattern, count) in [
            ("\\A\\w\\z", 63),
            ("\\A[[:punct:]]\\z", 32),
            ("\\A[[:cntrl:]]\\z", 33),
            ("\\A[[:graph:]]\\z", 94),
            ("\\A[[:print:]]\\z", 95),
            ("\\A\\s\\z", 6),
            ("\\A\\h\\z", 2),
            ("\\A\\v\\z", 4),
        ] {
            let regex = regex(pattern).unwrap();
            let ascii = (0..128_u8).filter(|byte| is_match(&regex, &char::from(*byte).to_string()));
            assert_eq!(ascii.count(), count, "{pattern}");
        }
        for (set, count) in [
            (Set::word(), 63 + 65),
            (Set::named(b"alpha").unwrap(), 52 + 65),
            (Set::named(b"upper").unwrap(), 26 + 30),
            (Set::named(b"lower").unwrap(), 26 + 35),
            (Set::named(b"punct").unwrap(), 32 + 31),
            (Set::named(b"cntrl").unwrap(), 33 + 32),
            (Set::named(b"print").unwrap(), 95 + 96),
            (Set::horizontal(), 3),
            (Set::vertical(), 5),
        ] {
            let found = (0..=255_u8).filter(|byte| set.contains(*byte)).count();
            assert_eq!(found, count, "{set:?}");
        }
    }

    #[test]
    fn what_would_take_too_much_is_refused() {
        let looks = "a\\b(?=a)".repeat(40);
        let deep = format!("{}a{}", "(".repeat(251), ")".repeat(251));
        let long = "a".repeat((64 << 10) + 1);
        let empty = "(?:(?:(?:){65535}){65535}){65535}\\b";
        for pattern in [
            &looks,
            &deep,
            &long,
            "a{1000}{1000}",
            "(a{1000}){1000}",
            "\\b(a{300}){300}",
        ] {
            assert!(regex(pattern).is_err(), "{}", pattern.get(..20).unwrap());
        }
        assert!(is_match(&regex(empty).unwrap(), "a"));
        for (edge, look) in [("", ""), ("\\b", ""), ("", "(?<=a)")] {
            let deepest = format!("{edge}{}c{}{look}", "(a|b".repeat(250), ")*".repeat(250));
            assert!(is_match(&regex(&deepest).unwrap(), "abbca"));
        }
    }

    #[test]
    fn a_long_text_takes_time_in_proportion() {
        let text = "a".repeat(1 << 20);
        for pattern in ["(a*)*\\bb", "^(a|aa)+\\b$", "(?=(a+)+b)c", "(?<!a)a(?!a)"] {
            let is_match = is_match(&regex(pattern).unwrap(), &text);
            assert_eq!(is_match, pattern.starts_with('^'), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_of_version_1_means_what_it_meant() {
        let was = |pattern| Regex::new(pattern, Version::One, Admission::Before);
        assert!(is_match(&was("^\\w").unwrap(), "a"));
        assert!(!is_match(&was("^\\w").unwrap(), "Émile"));
        assert!(is_match(&regex("^\\w").unwrap(), "Émile"));
        assert!(is_match(&was("[a--b]").unwrap(), "-"));
        assert!(regex("[a--b]").is_err());
        assert!(was("^[\\w-\\.]+$").is_err());
        assert!(is_match(&regex("^[\\w-\\.]+$").unwrap(), "a.b-c"));
    }
}
