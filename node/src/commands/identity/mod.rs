//! `quire identity`: identities that come from another tool, or from another node of the organisation.

mod export;
mod import;
mod passphrase;

use crate::commands::verb::verbs;
pub(crate) use passphrase::{PassphraseArguments, PassphraseError};

verbs! {
    /// The verbs of `quire identity`.
    IdentityCommand {
        Export(export::ExportArguments),
        Import(import::ImportArguments),
        List(super::endings::ListArguments),
    }
}
