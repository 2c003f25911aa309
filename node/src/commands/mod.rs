//! Everything but the server: commands that act on the files of a stopped node.

pub(crate) mod channel;
pub(crate) mod check;

/// Could not look, or could not do it.
pub(crate) const FAILED: u8 = 2;
/// Looked, and found damage.
pub(crate) const DAMAGED: u8 = 1;

/// What to do about an error that an operator can do something about.
pub(crate) fn advice(error: &quire_ledger::OpenError) -> Option<&'static str> {
    use quire_ledger::OpenError as E;
    match error {
        E::InUse(_) => Some("Stop the node that uses this data directory first."),
        E::Corrupt { .. } => Some(
            "Nothing was changed. Restore the block files from a copy; `quire check` tells all that \
             is wrong.",
        ),
        E::Ahead { .. } => Some(
            "Block files were lost or replaced by older ones: restore them. Or move the `derived` \
             folder away to rebuild it from the blocks that are left.",
        ),
        E::IdStore { .. } => Some("Restore this file from a copy: it cannot be rebuilt."),
        E::Engine(_) => Some("Move the `derived` folder away: it is rebuilt from the blocks."),
        E::NoSuchChannel(_) | E::Exists(_) | E::Io { .. } | E::Follow { .. } | E::Create { .. } => {
            None
        }
    }
}
