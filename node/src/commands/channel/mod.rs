//! `quire channel`: what is done with channels, a file each.

mod create;
mod fetch;
mod import;
mod list;
mod made;

use crate::commands::verb::verbs;

verbs! {
    /// The verbs of `quire channel`.
    ChannelCommand {
        Create(create::CreateArguments),
        List(list::ListArguments),
        Fetch(fetch::FetchArguments),
        Import(import::ImportArguments),
    }
}
