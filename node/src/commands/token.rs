//! `quire token`: make, list, rotate and revoke tokens, of a stopped node directly, of a running one
//! through its socket, where they take effect at once.

use std::borrow::Cow;
use std::process::ExitCode;

use quire_identity::token::{ChangeTokenError, OpenTokensError};
use quire_identity::{Organization, OrganizationError, Tokens};
use quire_ledger::{DataLock, OpenError, Progress};
use serde::Serialize;

use crate::admin::Message;
use crate::admin::client::{self, AskError};
use crate::cli::{DataArguments, TokenArguments, TokenCommand};
use crate::clock;
use crate::commands::{FAILED, advice, print_failure, print_not_asked};
use crate::data_directory::{PathError, must_have_organization};
use crate::terminal::print_error;
use crate::tokens::{self, Create, Made, Revoke, Rotate, Row, TokenError};

/// Why a command could not do its work on the files.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Organization(#[from] OrganizationError),
    #[error(transparent)]
    Tokens(#[from] OpenTokensError),
    #[error(transparent)]
    Token(#[from] TokenError),
}

pub(crate) fn run(arguments: &TokenArguments) -> ExitCode {
    match &arguments.command {
        TokenCommand::Create {
            identity,
            role,
            channels,
            expires,
            client_certificate,
            data,
        } => {
            let request = Create {
                identity: identity.clone(),
                role: *role,
                channels: channels.clone(),
                expires: expires.clone(),
                certificate: *client_certificate,
            };
            let made = create(data, request.clone());
            finish(data, made.map(Message::Token), "/tokens", &request)
        }
        TokenCommand::List { data } => list(data),
        TokenCommand::Rotate { id, expires, data } => {
            let request = Rotate {
                id: id.clone(),
                expires: expires.clone(),
            };
            let made = change(data, |tokens| {
                tokens::rotate(tokens, &request, clock::now())
            });
            finish(data, made.map(Message::Token), "/tokens/rotate", &request)
        }
        TokenCommand::Revoke { id, data } => {
            let request = Revoke { id: id.clone() };
            let row = change(data, |tokens| {
                tokens::revoke(tokens, &request, clock::now())
            });
            finish(
                data,
                row.map(Message::TokenRevoked),
                "/tokens/revoke",
                &request,
            )
        }
    }
}

/// Makes a token in an organisation that is there: one made for it would be no node's.
fn create(data: &DataArguments, request: Create) -> Result<Made, CommandError> {
    must_have_organization(&data.data)?;
    let _lock = DataLock::take(&data.data)?;
    let organization = Organization::open_existing(&quire_disk::os(), &data.data, &data.msp_id)?;
    let tokens = Tokens::open_to_make(&quire_disk::os(), &data.data)?;
    Ok(tokens::create(
        &organization,
        &tokens,
        request,
        clock::now(),
    )?)
}

fn change<T>(
    data: &DataArguments,
    change: impl FnOnce(&Tokens) -> Result<T, TokenError>,
) -> Result<T, CommandError> {
    let _lock = DataLock::take(&data.data)?;
    Ok(change(&Tokens::open(&quire_disk::os(), &data.data)?)?)
}

/// Reading needs nobody's leave: the file is whole at any time.
fn list(data: &DataArguments) -> ExitCode {
    match Tokens::open(&quire_disk::os(), &data.data) {
        Ok(tokens) => {
            let rows = tokens::list(&tokens, clock::now());
            for row in &rows {
                println!("{}", line(row));
            }
            if rows.is_empty() {
                eprintln!("quire: {} has no tokens", data.data.display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error.into()),
    }
}

/// Prints what was done, or asks the node that has the files open.
fn finish(
    data: &DataArguments,
    done: Result<Message, CommandError>,
    path: &str,
    request: &impl Serialize,
) -> ExitCode {
    let done = match done {
        Err(CommandError::Open(OpenError::InUse(_))) => {
            let mut no_progress = |_: Progress<'_>| ();
            client::ask(&data.data, "POST", path, request, &mut no_progress)
        }
        Err(error) => return failed(&error),
        Ok(done) => Ok(done),
    };
    match done {
        Ok(Message::Token(made)) => print_made(&made),
        Ok(Message::TokenRevoked(row)) => {
            println!("token {} of {} revoked", row.id, row.identity);
            ExitCode::SUCCESS
        }
        Ok(Message::Failed(failure)) => print_failure(&failure),
        Ok(other) => print_not_asked(&AskError::Refused(format!("{other:?}"))),
        Err(error) => print_not_asked(&error),
    }
}

/// The token alone on standard output, so that it can be put where it belongs.
fn print_made(made: &Made) -> ExitCode {
    eprintln!("{}", line(&made.row));
    if let Some(secret) = &made.secret {
        eprintln!("The token is shown this once:");
        println!("{secret}");
    }
    ExitCode::SUCCESS
}

fn line(row: &Row) -> String {
    let channels = if row.channels.is_empty() {
        "all channels".to_owned()
    } else {
        row.channels.join(",")
    };
    let end = match &row.expires {
        None => "never expires".to_owned(),
        Some(end) if row.expired => format!("EXPIRED {end}"),
        Some(end) => format!("expires {end}"),
    };
    let proof = if row.certificate {
        "client certificate"
    } else {
        "secret"
    };
    let Row { id, identity, .. } = row;
    format!(
        "{id}\t{identity}\t{}\t{channels}\t{end}\t{proof}",
        row.role.name()
    )
}

fn failed(error: &CommandError) -> ExitCode {
    let advice = match error {
        CommandError::Open(error) => advice(error).map(Cow::from),
        CommandError::Path(error) => Some(Cow::from(error.advice())),
        CommandError::Organization(OrganizationError::OtherOrganization { found, .. }) => {
            Some(Cow::from(format!("Say --msp-id {found}, or QUIRE_MSP_ID.")))
        }
        CommandError::Token(TokenError::Change(ChangeTokenError::NoSuchToken(_))) => {
            Some(Cow::from("`quire token list` tells which there are."))
        }
        CommandError::Organization(_) | CommandError::Tokens(_) | CommandError::Token(_) => None,
    };
    print_error(error, advice.as_deref());
    ExitCode::from(FAILED)
}
