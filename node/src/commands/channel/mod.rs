//! `quire channel`: what is done with channels, a file each.

mod config;
mod create;
mod fetch;
mod import;
mod join;
mod life;
mod list;
mod made;
pub(crate) mod org;
pub(crate) mod output;
mod policy;
mod proposal;
mod reach;
mod sign;
pub(crate) mod stopped;
mod submit;

use crate::commands::verb::verbs;
pub(crate) use join::print_joined;

verbs! {
    /// The verbs of `quire channel`.
    ChannelCommand {
        Create(create::CreateArguments),
        List(list::ListArguments),
        Fetch(fetch::FetchArguments),
        Import(import::ImportArguments),
        Join(join::JoinArguments),
        Pause(life::PauseArguments),
        Resume(life::ResumeArguments),
        Remove(life::RemoveArguments),
        /// What a channel's configuration says, and changing its settings.
        #[command(subcommand)]
        Config(config::ConfigCommand),
        /// The organisations of a channel.
        #[command(subcommand)]
        Org(org::OrgCommand),
        /// The policies of a channel.
        #[command(subcommand)]
        Policy(policy::PolicyCommand),
        Sign(sign::SignArguments),
        Submit(submit::SubmitArguments),
    }
}
