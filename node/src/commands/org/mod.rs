//! `quire org`: this node's organisation, to others and to other nodes of its own.

mod export;
mod invite;

use crate::commands::verb::verbs;

verbs! {
    /// The verbs of `quire org`.
    OrgCommand {
        Export(export::ExportArguments),
        Invite(invite::InviteArguments),
    }
}
