//! A pattern as an automaton whose states are made while texts are searched, in a cache of bounded size. If a
//! text needs states faster than they pay, it gives up, and another way of matching must be used.

use std::fmt;

use parking_lot::Mutex;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Input, nfa::thompson::WhichCaptures};

use crate::query::work::{Exceeded, Meter, Spend};

/// The most bytes of states that one pattern keeps.
const CACHE_BYTES: usize = 256 << 10;
/// How often the states are cleared before it may give up.
const CLEARS: usize = 3;
/// It gives up if a state is used for fewer bytes of text.
const BYTES_A_STATE: usize = 10;
/// The deepest nesting of a printed pattern: each parsed group takes some levels.
const NEST_LIMIT: u32 = 2000;

/// An automaton, with the states that it made so far.
pub(super) struct Automaton {
    dfa: DFA,
    cache: Mutex<Cache>,
}

impl fmt::Debug for Automaton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Automaton").finish_non_exhaustive()
    }
}

impl Automaton {
    /// Makes it of a pattern in the language of the `regex` crate; `None` if the crate refuses the pattern.
    pub(super) fn new(pattern: &str) -> Option<Self> {
        let config = DFA::config()
            .cache_capacity(CACHE_BYTES)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(CLEARS))
            .minimum_bytes_per_state(Some(BYTES_A_STATE));
        let syntax = syntax::Config::new()
            .unicode(false)
            .utf8(false)
            .nest_limit(NEST_LIMIT);
        let thompson = thompson::Config::new()
            .utf8(false)
            .which_captures(WhichCaptures::None);
        let mut builder = DFA::builder();
        builder.configure(config).syntax(syntax).thompson(thompson);
        let dfa = builder.build(pattern).ok()?;
        let cache = Mutex::new(dfa.create_cache());
        Some(Self { dfa, cache })
    }

    /// Whether the text has a match; `None` if it gave up.
    pub(super) fn is_match(
        &self,
        text: &[u8],
        meter: &mut Meter,
    ) -> Result<Option<bool>, Exceeded> {
        let mut cache = self.cache.lock();
        let before = made(&cache);
        let input = Input::new(text).earliest(true);
        let found = self.dfa.try_search_fwd(&mut cache, &input);
        // The cost of making states is known only afterwards. The cache's size bounds it.
        if !meter.is_fixed() {
            meter.spend(Spend::Patterns, made(&cache).saturating_sub(before) / 8)?;
        }
        Ok(found.ok().map(|found| found.is_some()))
    }
}

/// Roughly the bytes of the states that were made.
fn made(cache: &Cache) -> u64 {
    (cache.clear_count() * CACHE_BYTES + cache.memory_usage()) as u64
}
