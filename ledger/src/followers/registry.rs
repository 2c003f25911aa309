//! Every follower that there is.

use super::Follower;
use super::history::HISTORY;
use super::index::INDEX;
use crate::state::engines::STATE;

/// All of them, in the order in which they are told of.
pub(crate) const ALL: &[Follower] = &[INDEX, STATE, HISTORY];

impl Follower {
    /// All of them.
    pub const ALL: &'static [Self] = ALL;
}
