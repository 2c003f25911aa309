//! Everything but the server: commands that act on the files of a stopped node, and some of them on a
//! running one through its socket.

pub(crate) mod blocks;
pub(crate) mod channel;
pub(crate) mod check;
pub(crate) mod fetch;
pub(crate) mod migrate;
pub(crate) mod rebuild;
pub(crate) mod repair;
pub(crate) mod token;
pub(crate) mod truncate;

use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::ExitCode;

use quire_ledger::{OpenError, ReadError, chain_of};

use crate::admin::Failure;
use crate::admin::client::AskError;
use crate::data_directory::{PathError, whose};
use crate::terminal::print_error;

/// Could not look, or could not do it.
pub(crate) const FAILED: u8 = 2;
/// Looked, and found damage.
pub(crate) const DAMAGED: u8 = 1;

/// Prints why what a path names is not what a command needs.
pub(crate) fn refuse_path(error: &PathError) -> ExitCode {
    print_error(error, Some(&error.advice()));
    ExitCode::from(FAILED)
}

/// Prints that there is nothing to check where a path leads.
pub(crate) fn refuse_no_ledger(error: &PathError) -> ExitCode {
    eprintln!("quire: no ledger here: {}", chain_of(error));
    eprintln!("  {}", error.advice());
    ExitCode::from(FAILED)
}

/// Prints that a data directory has no channel for a command to act on.
pub(crate) fn refuse_no_channel(data: &Path) -> ExitCode {
    let data = data.display();
    eprintln!("quire: no ledger here: {data} has no channel");
    eprintln!(
        "  `quire run --data {data}` makes the channel main and starts a node, `quire channel create \
         main --data {data}` only makes it."
    );
    ExitCode::from(FAILED)
}

/// Prints what the running node says went wrong.
pub(crate) fn print_failure(failure: &Failure) -> ExitCode {
    eprintln!("quire: {}", failure.message);
    for cause in &failure.causes {
        eprintln!("  because: {cause}");
    }
    if let Some(advice) = &failure.advice {
        eprintln!("  {advice}");
    }
    ExitCode::from(FAILED)
}

/// Prints why the running node was not asked.
pub(crate) fn print_not_asked(error: &AskError) -> ExitCode {
    let advice = match error {
        AskError::Connect(data, source) if source.kind() == ErrorKind::PermissionDenied => {
            Some(Cow::from(whose(data)))
        }
        AskError::Connect(..) => Some(Cow::from(
            "It may still be starting, or it is another command that holds the directory.",
        )),
        AskError::Ended(_) | AskError::Refused(_) | AskError::Answer(_) => None,
    };
    print_error(error, advice.as_deref());
    ExitCode::from(FAILED)
}

/// What to do about an error that an operator can do something about.
pub(crate) fn advice(error: &OpenError) -> Option<&'static str> {
    use OpenError as E;
    match error {
        E::InUse(_) => Some("Stop the node that uses this data directory first."),
        E::Corrupt { .. } => Some(
            "Nothing was changed. `quire check` tells all that is wrong, `quire repair` takes blocks \
             from a copy, `quire truncate-tail` accepts the loss.",
        ),
        E::Ahead { .. } => Some(
            "Block files were lost or replaced by older ones: restore them, or take the blocks from a \
             copy with `quire repair`. `quire truncate-tail` accepts the loss.",
        ),
        E::Orphan(_) => Some(
            "Nothing was changed. Restore the channel's record in `id-store` from a copy; or move the \
             folder away, and `derived` too, which is rebuilt, and `quire channel import` it.",
        ),
        E::Lost { .. } => Some(
            "Nothing was changed. Restore the channel's record in `id-store` and its folder in `channels` \
             from one copy; where it is not missed, move the `derived` folder away: it is rebuilt from \
             the blocks of the others.",
        ),
        E::IdStore { .. } => Some("Restore this file from a copy: it cannot be rebuilt."),
        E::EngineDamaged(_) => {
            Some("Move the `derived` folder away: it is rebuilt from the blocks.")
        }
        E::Engine(_) => Some(
            "If it is no lack of space, rights or open files: move the `derived` folder away, it is \
             rebuilt from the blocks.",
        ),
        E::Follow {
            source: ReadError::StateRefused(_),
            ..
        } => Some(
            "Nothing is lost. Name the right user and password, or give the user its rights; CouchDB \
             locks an account for five minutes after five failures.",
        ),
        E::Follow {
            source: ReadError::StateObstructed { .. },
            ..
        } => Some("Nothing is lost. Move that database away, or give the node another CouchDB."),
        E::Follow { source, .. } if source.is_unavailable() => {
            Some("Start CouchDB, or use another state engine: nothing is lost.")
        }
        E::Follow {
            source: ReadError::StateForeign(_),
            ..
        } => Some("Give the node another CouchDB, or remove those databases if nobody needs them."),
        E::Follow {
            on_couchdb: true, ..
        } => Some(
            "`quire rebuild --engine couchdb --couchdb-url URL` makes them again from the blocks.",
        ),
        E::Follow { .. } => Some("`quire rebuild` makes them again from the blocks."),
        E::Io { source, .. } => advice_of_io(source),
        E::NoSuchChannel(_) => Some("`quire channel list` tells which there are."),
        E::Exists(_) | E::Create { .. } | E::StateEngine(_) => None,
    }
}

/// What to do about what the operating system says.
pub(crate) fn advice_of_io(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::NotFound => {
            Some("Is the path right? --data DIR or QUIRE_DATA names the data directory.")
        }
        ErrorKind::NotADirectory => Some("A data directory is a folder: --data DIR names it."),
        ErrorKind::PermissionDenied => {
            Some("Run this as the user that the data directory belongs to.")
        }
        ErrorKind::StorageFull => Some("Make room on the disk, then start again: nothing is lost."),
        ErrorKind::ReadOnlyFilesystem => {
            Some("The file system takes no writes: `dmesg` tells whether its disk failed.")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_to_rebuild_names_the_engine_that_state_is_on() {
        for (on_couchdb, expected) in [(false, false), (true, true)] {
            let error = OpenError::Follow {
                channel: "main".to_owned(),
                on_couchdb,
                source: ReadError::Missing("a document".to_owned()),
            };
            let advice = advice(&error).unwrap();
            assert!(advice.contains("quire rebuild"), "{advice}");
            assert_eq!(advice.contains("--engine couchdb"), expected, "{advice}");
        }
    }
}
