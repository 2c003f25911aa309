//! A data directory that nobody meant to make should not go unseen.

use std::path::Path;

use crate::data_directory::path::must_be;

/// Says that there is one now where there was none.
pub(super) fn tell(is_new: bool, data: &Path) {
    if is_new && must_be(data).is_ok() {
        eprintln!("quire: made a data directory at {}", data.display());
    }
}
