//! `quire ca`: what the CA of a node has revoked, of a stopped node or of a running one.

use std::process::ExitCode;

use clap::Subcommand;
use quire_ca::crl::{self, Dates};
use quire_ca::error::OpenRegistryError;
use quire_ca::issuer::{IssuerError, IssuerFacts};
use quire_ca::{Refusal, Registry};
use quire_disk::OsDisk;
use quire_identity::{Organization, OrganizationError, utc};

use crate::arguments::DataArguments;
use crate::clock;
use crate::commands::verb::{Needs, Verb};
use crate::exit::failed;
use crate::settings::Settings;

const DAY: i64 = 24 * 60 * 60;

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Organization(#[from] OrganizationError),
    #[error(
        "the organisation was made elsewhere, and its CA with it: there is no key to sign a list with"
    )]
    NoCaKey,
    #[error(transparent)]
    Registry(#[from] OpenRegistryError),
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    #[error(transparent)]
    List(#[from] Refusal),
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Print the revocation list of every certificate that was revoked, in PEM, signed now. It goes into the
    /// organisation's part of a channel's configuration.
    Crl {
        /// How many days it says that it is good for; Fabric does not look at that.
        #[arg(long, value_name = "DAYS", default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..=3650))]
        days: i64,
        #[command(flatten)]
        data: DataArguments,
    },
}

impl Verb for CaCommand {
    fn needs(&self) -> Needs<'_> {
        let Self::Crl { data, .. } = self;
        Needs::DataDirectory(&data.data)
    }

    fn writes_data(&self) -> bool {
        false
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let Self::Crl { days, data } = self;
        match list(data, *days) {
            Ok(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error, advice(&error)),
        }
    }
}

/// Reading needs nobody's leave: whatever a running node is about to append has not been answered yet.
fn list(data: &DataArguments, days: i64) -> Result<String, CommandError> {
    let disk = quire_disk::os();
    let organization = Organization::open_what_is_there(&disk, &data.data, &data.msp_id)?;
    let state = Registry::read(&OsDisk, &data.data)?;
    let ca = organization.ca().ok_or(CommandError::NoCaKey)?;
    let facts = IssuerFacts::of(ca.certificate_pem())?;
    let now = utc(clock::now()).unix_timestamp();
    let dates = Dates {
        this_update: now,
        next_update: now.saturating_add(days * DAY),
    };
    Ok(crl::whole(&state, ca.as_ref(), &facts, dates)?)
}

fn advice(error: &CommandError) -> Option<&'static str> {
    match error {
        CommandError::Registry(OpenRegistryError::File(error)) if error.is_not_found() => {
            Some("There is a CA from the first `quire run --ca-listen ADDR` on.")
        }
        _ => None,
    }
}
