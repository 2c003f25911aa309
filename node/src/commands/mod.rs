//! What can be typed: a verb is a file here and a line in a table. `run` is the server. The others act on
//! the files of a stopped node, and some of them on a running one through its socket.

pub(crate) mod backup;
pub(crate) mod blocks;
pub(crate) mod ca;
pub(crate) mod chaincode;
pub(crate) mod channel;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod endings;
pub(crate) mod fabric;
mod greeting;
pub(crate) mod identity;
pub(crate) mod join;
pub(crate) mod migrate;
pub(crate) mod orderer;
pub(crate) mod org;
pub(crate) mod rebuild;
pub(crate) mod repair;
pub(crate) mod run;
pub(crate) mod token;
pub(crate) mod truncate;
pub(crate) mod verb;

use verb::verbs;

verbs! {
    /// The verbs of `quire`.
    Command {
        Run(crate::arguments::RunArguments),
        Orderer(orderer::OrderingAlone),
        Join(join::JoinArguments),
        Check(check::CheckArguments),
        Backup(backup::BackupArguments),
        Restore(backup::RestoreArguments),
        Blocks(blocks::BlocksArguments),
        /// Make, list, import and fetch of channels, of a stopped node or of a running one.
        #[command(subcommand)]
        Channel(channel::ChannelCommand),
        /// The chaincodes of a channel, of a running node.
        #[command(subcommand)]
        Chaincode(chaincode::ChaincodeCommand),
        /// Make, list, rotate and revoke tokens, of a stopped node or of a running one.
        #[command(subcommand)]
        Token(token::TokenCommand),
        /// Identities that come from another node of the organisation, or from another tool.
        #[command(subcommand)]
        Identity(identity::IdentityCommand),
        /// This node's organisation.
        #[command(subcommand)]
        Org(org::OrgCommand),
        /// What the CA of the organisation has revoked.
        #[command(subcommand)]
        Ca(ca::CaCommand),
        Config(config::ConfigArguments),
        Rebuild(rebuild::RebuildArguments),
        Repair(repair::RepairArguments),
        TruncateTail(truncate::TruncateArguments),
        Migrate(migrate::MigrateArguments),
        Configtxgen(fabric::Configtxgen),
        Configtxlator(fabric::Configtxlator),
        Cryptogen(fabric::Cryptogen),
        Osnadmin(fabric::Osnadmin),
    }
}
