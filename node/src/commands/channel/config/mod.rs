//! `quire channel config`: what a channel's configuration says, and changing its settings.

mod get;
mod set;
mod show;

use crate::commands::verb::verbs;

verbs! {
    /// The verbs of `quire channel config`.
    ConfigCommand {
        Show(show::ShowArguments),
        Get(get::GetArguments),
        Set(set::SetArguments),
    }
}
