//! How a command ends that did not do what it was asked for: its code, and what it prints.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

use quire_ledger::chain_of;

use crate::admin::client::AskError;
use crate::admin::{Failure, Message};
use crate::data_directory::path::{PathError, whose};
use crate::terminal::print_error;

/// Could not look, or could not do it.
pub(crate) const FAILED: u8 = 2;
/// Looked, and found damage.
pub(crate) const DAMAGED: u8 = 1;

/// Prints why what a path names is not what a command needs.
pub(crate) fn refuse_path(error: &PathError) -> ExitCode {
    failed(error, Some(&error.advice()))
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
    failed(error, advice.as_deref())
}

/// Prints an answer of the running node that is not the one that a command hopes for.
pub(crate) fn print_other_answer(answer: Result<Message, AskError>) -> ExitCode {
    match answer {
        Ok(Message::Failed(failure)) => print_failure(&failure),
        Ok(other) => print_not_asked(&AskError::Refused(format!("{other:?}"))),
        Err(error) => print_not_asked(&error),
    }
}

/// Prints an error and what to do about it.
pub(crate) fn failed(error: &(dyn std::error::Error + 'static), advice: Option<&str>) -> ExitCode {
    print_error(error, advice);
    ExitCode::from(FAILED)
}
