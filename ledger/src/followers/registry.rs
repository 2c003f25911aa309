//! Every kind of follower.

use super::Follower;
use super::history::HISTORY;
use super::index::INDEX;
use crate::state::engines::STATE;

/// All followers, in the order in which they are reported.
pub(crate) const ALL: &[Follower] = &[INDEX, STATE, HISTORY];

impl Follower {
    /// All followers.
    pub const ALL: &'static [Self] = ALL;
}
