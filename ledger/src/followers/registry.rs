//! Every follower that there is.

use super::{Follower, history, index};
use crate::state::fjall::STATE;

/// All of them, in the order in which they are told of.
const FOLLOWERS: &[Follower] = &[index::INDEX, STATE, history::HISTORY];

impl Follower {
    /// All of them.
    pub const ALL: &'static [Self] = FOLLOWERS;
}
