//! `quire channel org`: the organisations of a channel.

mod add;
mod file;
mod list;
mod remove;
mod revoke;
mod update;

use clap::ValueEnum;
use quire_identity::config::edit;

use crate::commands::verb::verbs;

verbs! {
    /// The verbs of `quire channel org`.
    OrgCommand {
        Add(add::AddArguments),
        Remove(remove::RemoveArguments),
        Update(update::UpdateArguments),
        Revoke(revoke::RevokeArguments),
        List(list::ListArguments),
    }
}

/// What an organisation does in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// It submits and endorses.
    Application,
    /// It orders.
    Orderer,
}

impl From<Part> for edit::Part {
    fn from(part: Part) -> Self {
        match part {
            Part::Application => Self::Application,
            Part::Orderer => Self::Orderer,
        }
    }
}
