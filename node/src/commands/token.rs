//! `quire token`: make, list, rotate and revoke tokens, of a stopped node directly, of a running one
//! through its socket, where they take effect at once.

use std::borrow::Cow;
use std::process::ExitCode;

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use quire_identity::token::{ChangeTokenError, OpenTokensError};
use quire_identity::{AccessRole, Organization, OrganizationError, Tokens};
use quire_ledger::{DataLock, OpenError, Progress};
use serde::Serialize;

use crate::admin::Message;
use crate::admin::client;
use crate::advice;
use crate::arguments::DataArguments;
use crate::clock;
use crate::commands::verb::{Needs, Verb};
use crate::data_directory::path::{PathError, must_have_organization};
use crate::exit::{self, print_other_answer};
use crate::settings::Settings;
use crate::tokens::{self, CreateToken, Made, Revoke, Rotate, TokenError, TokenRow};

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

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token, and print it this once. From the first one on, callers must show one.
    Create {
        /// Whom its holder is taken for; made where there is none of that name.
        #[arg(long, value_name = "NAME")]
        identity: String,
        /// What its holder may do: read; write too; make channels and settings too.
        #[arg(long, value_parser = role())]
        role: AccessRole,
        /// A channel it is good for; may be repeated. Without it, all and the node itself.
        #[arg(long = "channel", value_name = "NAME")]
        channels: Vec<String>,
        /// When it ends: 90d, 12h, 30m, a day such as 2027-01-31, or an RFC 3339 time.
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
        /// Make no secret: the holder shows a client certificate with the identity's name.
        #[arg(long)]
        client_certificate: bool,
        #[command(flatten)]
        data: DataArguments,
    },
    /// List the tokens, without their secrets.
    List {
        #[command(flatten)]
        data: DataArguments,
    },
    /// Give a token a new secret, and print it this once; the old one ends.
    Rotate {
        /// The token's id, as `list` has it.
        id: String,
        /// When it ends now; without this, when it ended before.
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
        #[command(flatten)]
        data: DataArguments,
    },
    /// End a token. Its identity, and what that has signed, stays.
    Revoke {
        /// The token's id, as `list` has it.
        id: String,
        #[command(flatten)]
        data: DataArguments,
    },
}

impl Verb for TokenCommand {
    fn needs(&self) -> Needs<'_> {
        let (Self::Create { data, .. }
        | Self::List { data }
        | Self::Rotate { data, .. }
        | Self::Revoke { data, .. }) = self;
        Needs::DataDirectory(&data.data)
    }

    fn writes_data(&self) -> bool {
        !matches!(self, Self::List { .. })
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        match self {
            Self::Create {
                identity,
                role,
                channels,
                expires,
                client_certificate,
                data,
            } => {
                let request = CreateToken {
                    identity: identity.clone(),
                    role: *role,
                    channels: channels.clone(),
                    expires: expires.clone(),
                    certificate: *client_certificate,
                };
                let made = create(data, request.clone());
                finish(data, made.map(Message::Token), "/tokens", &request)
            }
            Self::List { data } => list(data),
            Self::Rotate { id, expires, data } => {
                let request = Rotate {
                    id: id.clone(),
                    expires: expires.clone(),
                };
                let made = change(data, |tokens| {
                    tokens::rotate(tokens, &request, clock::now())
                });
                finish(data, made.map(Message::Token), "/tokens/rotate", &request)
            }
            Self::Revoke { id, data } => {
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
}

/// Makes a token in an organisation that is there: one made for it would be no node's.
fn create(data: &DataArguments, request: CreateToken) -> Result<Made, CommandError> {
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
        other => print_other_answer(other),
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

fn line(row: &TokenRow) -> String {
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
    let TokenRow { id, identity, .. } = row;
    format!(
        "{id}\t{identity}\t{}\t{channels}\t{end}\t{proof}",
        row.role.name()
    )
}

fn failed(error: &CommandError) -> ExitCode {
    let advice = match error {
        CommandError::Open(error) => advice::of_open(error).map(Cow::from),
        CommandError::Path(error) => Some(Cow::from(error.advice())),
        CommandError::Organization(OrganizationError::OtherOrganization { found, .. }) => {
            Some(Cow::from(format!("Say --msp-id {found}, or QUIRE_MSP_ID.")))
        }
        CommandError::Token(TokenError::Change(ChangeTokenError::NoSuchToken(_))) => {
            Some(Cow::from("`quire token list` tells which there are."))
        }
        CommandError::Organization(_) | CommandError::Tokens(_) | CommandError::Token(_) => None,
    };
    exit::failed(error, advice.as_deref())
}

/// The roles by their names.
fn role() -> impl TypedValueParser<Value = AccessRole> {
    let roles = [AccessRole::Reader, AccessRole::Writer, AccessRole::Admin];
    PossibleValuesParser::new(roles.map(AccessRole::name)).map(move |name| {
        let found = roles.into_iter().find(|role| role.name() == name);
        // The parser has let none of another name through.
        found.unwrap_or(AccessRole::Reader)
    })
}
