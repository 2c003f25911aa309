//! `quire channel org revoke`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use quire_identity::config::edit;

use crate::commands::channel::proposal::{ProposalArguments, propose};
use crate::commands::verb::{Needs, Verb};
use crate::exit::failed;
use crate::settings::Settings;

/// Most bytes of a revocation list.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Put a revocation list into an organisation's MSP, in the place of an older one of the same CA.
#[derive(Clone, Debug, Args)]
pub(crate) struct RevokeArguments {
    /// The list, `X509 CRL` in PEM, as `quire ca crl` prints it.
    file: PathBuf,
    /// The MSP id of the organisation; without this, this node's.
    #[arg(long, value_name = "ID")]
    of: Option<String>,
    #[command(flatten)]
    proposal: ProposalArguments,
}

/// Why a file is no revocation list.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error("the file {} cannot be read", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    #[error("the file {} has more than {MAX_FILE_BYTES} bytes", .0.display())]
    TooLarge(PathBuf),
}

impl Verb for RevokeArguments {
    fn needs(&self) -> Needs<'_> {
        Needs::DataDirectory(&self.proposal.data.data)
    }

    fn run(&self, _settings: &Settings) -> ExitCode {
        let list = match read(&self.file) {
            Ok(list) => list,
            Err(error) => return failed(&error, None),
        };
        let msp_id = self.of.as_ref().unwrap_or(&self.proposal.data.msp_id);
        propose(&self.proposal, |config| edit::revoke(config, msp_id, &list))
    }
}

fn read(file: &Path) -> Result<Vec<u8>, ListError> {
    let unreadable = |source| ListError::Read(file.to_owned(), source);
    if std::fs::metadata(file).map_err(unreadable)?.len() > MAX_FILE_BYTES {
        return Err(ListError::TooLarge(file.to_owned()));
    }
    std::fs::read(file).map_err(unreadable)
}
