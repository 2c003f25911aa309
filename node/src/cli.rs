//! What can be typed, and what each word means. Every flag is also a `QUIRE_...` variable.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use quire_identity::{AccessRole, OrganizationError, check_msp_id};

use crate::commands::fetch::Wanted;
use crate::listen::ListenAddress;
use crate::node::FIRST_CHANNEL;

/// A tamper-evident JSON ledger server.
#[derive(Debug, Parser)]
#[command(name = "quire", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the node (what `quire` alone does).
    Run(RunArguments),
    /// Judge a data directory, or block files made by a Fabric peer. Changes nothing. Exits with 0
    /// when sound, 1 when damage is found, 2 when it could not look.
    Check(CheckArguments),
    /// List a channel's blocks, of a stopped node or of a running one: number, hash, previous hash and
    /// time of its first transaction, then each transaction with its verdict. Changes nothing. Exits
    /// with 1 where a damaged block ends the list.
    Blocks(BlocksArguments),
    /// Make, list, import and fetch of channels, of a stopped node or of a running one.
    Channel(ChannelArguments),
    /// Make, list, rotate and revoke tokens, of a stopped node or of a running one.
    Token(TokenArguments),
    /// Print the effective settings of `run`, and where each came from.
    Config(RunArguments),
    /// Make index, state and history of a stopped node again from the blocks; all of them where none
    /// is named. Drops nothing before every block was read and found sound.
    Rebuild(RebuildArguments),
    /// Replace records of a stopped node's block files that are proven bad by records of another copy
    /// that are proven good. Exits with 0 when the channel is sound then, 1 when it is not.
    Repair(RepairArguments),
    /// Accept the loss of a stopped node's blocks from the first damaged or missing one on. What is
    /// cut is kept beside the data.
    TruncateTail(TruncateArguments),
    /// Bring files on disk to the forms of this release, and give channels the files of query indexes
    /// that they have not had, of a stopped node or of a running one; says what it did. A start does
    /// the same.
    Migrate(MigrateArguments),
}

/// What there has to be at `--data` for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs<'a> {
    /// Nothing is looked at there.
    Nothing,
    /// A data directory; nothing makes one.
    DataDirectory(&'a Path),
    /// The same, of which much may be missing.
    Remains(&'a Path),
    /// A data directory, or a place where one is made.
    Place(&'a Path),
}

impl Command {
    /// What has to be there before the command begins.
    pub(crate) fn needs(&self) -> Needs<'_> {
        use ChannelCommand as C;
        use TokenCommand as T;
        let data: &DataArguments = match self {
            // A start has reasons of its own to refuse a place, and `config` tells them.
            Self::Run(_) | Self::Config(_) => return Needs::Nothing,
            Self::Check(check) if check.blockfiles.is_some() => return Needs::Nothing,
            Self::Check(check) => return Needs::Remains(&check.data.data),
            Self::Rebuild(rebuild) => return Needs::DataDirectory(&rebuild.data),
            Self::Channel(channel) => match &channel.command {
                C::Create { data, .. } | C::Import { data, .. } => return Needs::Place(&data.data),
                C::List { data } | C::Fetch { data, .. } => data,
            },
            Self::Token(token) => match &token.command {
                T::Create { data, .. }
                | T::List { data }
                | T::Rotate { data, .. }
                | T::Revoke { data, .. } => data,
            },
            Self::Blocks(blocks) => &blocks.data,
            Self::Repair(repair) => &repair.data,
            Self::TruncateTail(truncate) => &truncate.data,
            Self::Migrate(migrate) => &migrate.data,
        };
        Needs::DataDirectory(&data.data)
    }
}

impl Command {
    /// Whether it makes anything in a data directory.
    pub(crate) fn writes_data(&self) -> bool {
        match self {
            Self::Blocks(_) | Self::Config(_) => false,
            Self::Channel(channel) => match &channel.command {
                ChannelCommand::Create { .. } | ChannelCommand::Import { .. } => true,
                ChannelCommand::List { .. } | ChannelCommand::Fetch { .. } => false,
            },
            Self::Token(token) => !matches!(token.command, TokenCommand::List { .. }),
            // A check makes a scratch folder, and removes it again.
            Self::Run(_)
            | Self::Check(_)
            | Self::Rebuild(_)
            | Self::Repair(_)
            | Self::TruncateTail(_)
            | Self::Migrate(_) => true,
        }
    }
}

/// What keeps current state. The password of CouchDB's user is `QUIRE_COUCHDB_PASSWORD`, or in a
/// file: no setting holds a secret.
#[derive(Clone, Debug, Args)]
pub(crate) struct StateArguments {
    /// What keeps current state; it may be another than last time, and is brought up to the blocks.
    #[arg(
        long,
        value_name = "ENGINE",
        env = "QUIRE_STATE",
        value_enum,
        default_value_t = StateChoice::Fjall
    )]
    pub(crate) state: StateChoice,
    #[command(flatten)]
    pub(crate) couchdb: CouchDbArguments,
}

/// Where CouchDB is, and who we are there.
#[expect(
    clippy::struct_field_names,
    reason = "fields are named as their flags are"
)]
#[derive(Clone, Debug, Args)]
pub(crate) struct CouchDbArguments {
    /// Where CouchDB is, with `--state couchdb`: http://HOST:PORT.
    #[arg(long, value_name = "URL", env = "QUIRE_COUCHDB_URL")]
    pub(crate) couchdb_url: Option<String>,
    /// The user of CouchDB, who must be able to make databases.
    #[arg(long, value_name = "NAME", env = "QUIRE_COUCHDB_USER")]
    pub(crate) couchdb_user: Option<String>,
    /// The file with that user's password; else it is the variable `QUIRE_COUCHDB_PASSWORD`.
    #[arg(long, value_name = "FILE", env = "QUIRE_COUCHDB_PASSWORD_FILE")]
    pub(crate) couchdb_password_file: Option<PathBuf>,
    /// How long one call of CouchDB may take.
    #[arg(
        long,
        value_name = "SECONDS",
        env = "QUIRE_COUCHDB_TIMEOUT",
        value_parser = seconds(1),
        default_value_t = 35
    )]
    pub(crate) couchdb_timeout: u64,
}

/// A state engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StateChoice {
    /// The embedded engine.
    Fjall,
    /// A CouchDB server.
    Couchdb,
}

/// Where everything is kept.
#[derive(Clone, Debug, Args)]
pub(crate) struct DataArguments {
    /// The data directory. `run`, `channel create` and `channel import` make it where there is none.
    #[arg(
        long,
        value_name = "DIR",
        env = "QUIRE_DATA",
        default_value = "./quire-data"
    )]
    pub(crate) data: PathBuf,
    /// The MSP id of the node's organisation; settled at the first start.
    #[arg(
        long,
        value_name = "ID",
        env = "QUIRE_MSP_ID",
        value_parser = msp_id,
        default_value = "QuireMSP"
    )]
    pub(crate) msp_id: String,
    #[command(flatten)]
    pub(crate) state: StateArguments,
    /// A TOML file with flags of `run` by their names; variables and the command line win over it.
    #[arg(long, value_name = "FILE", env = "QUIRE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// The address to listen on, `HOST:PORT`: of a name, all addresses that it has. Port 0 picks a free
    /// one.
    #[arg(
        long,
        value_name = "ADDR",
        env = "QUIRE_LISTEN",
        default_value = "127.0.0.1:7080"
    )]
    pub(crate) listen: ListenAddress,
    /// Serve health, metrics, version and log levels at this address instead; metrics to anybody who
    /// can reach it.
    #[arg(long, value_name = "ADDR", env = "QUIRE_OPERATIONS_LISTEN")]
    pub(crate) operations_listen: Option<ListenAddress>,
    /// Count nothing; `/metrics` is not found then.
    #[arg(long, env = "QUIRE_NO_METRICS")]
    pub(crate) no_metrics: bool,
    /// Let anybody who can reach the address do everything, without a token.
    #[arg(long, env = "QUIRE_INSECURE_NO_AUTH")]
    pub(crate) insecure_no_auth: bool,
    /// Take tokens over plain HTTP at addresses that are not loopback, as behind a proxy.
    #[arg(long, env = "QUIRE_INSECURE_PLAIN_HTTP")]
    pub(crate) insecure_plain_http: bool,
    /// The server's certificate and those between it and its root, PEM.
    #[arg(long, value_name = "FILE", env = "QUIRE_TLS_CERT")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The key of the server's certificate, PEM.
    #[arg(long, value_name = "FILE", env = "QUIRE_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The authorities, PEM, whose client certificates are taken for credentials. The common name is
    /// the identity; `quire token create --client-certificate` says what it may do.
    #[arg(long, value_name = "FILE", env = "QUIRE_TLS_CLIENT_CA")]
    pub(crate) tls_client_ca: Option<PathBuf>,
    /// An origin, as `https://shop.example`, whose web pages may use the API; may be repeated.
    #[arg(
        long,
        value_name = "ORIGIN",
        env = "QUIRE_CORS_ORIGIN",
        value_delimiter = ','
    )]
    pub(crate) cors_origin: Vec<String>,
    /// Most requests a second with one token; without it, as many as the node can do.
    #[arg(long, value_name = "N", env = "QUIRE_RATE_LIMIT", value_parser = a_second)]
    pub(crate) rate_limit: Option<NonZeroU32>,
    /// The most bytes that a value may have.
    #[arg(
        long,
        value_name = "BYTES",
        env = "QUIRE_MAX_VALUE_BYTES",
        value_parser = bytes,
        default_value_t = 1 << 20
    )]
    pub(crate) max_value_bytes: usize,
    /// The folder with files of query indexes, `0001-orders.json` and on, that every channel gets
    /// once; without this, `migrations` in the data directory, if it is there.
    #[arg(long, value_name = "DIR", env = "QUIRE_MIGRATIONS")]
    pub(crate) migrations: Option<PathBuf>,
    /// What is logged, as `LEVEL` or `LOGGER[,LOGGER]=LEVEL[:...]:LEVEL`; loggers are `request`,
    /// `gateway`, `peer`, `ledger`, or the name of a Rust module with dots. `PUT /logspec` changes it.
    #[arg(
        long,
        value_name = "SPEC",
        env = "QUIRE_LOG_SPEC",
        default_value = "info"
    )]
    pub(crate) log_spec: String,
    /// The most bytes that requests hold in sum: bodies, answers not taken yet, batches, events. Without
    /// it, a quarter of the memory that the machine or the process's control group has.
    #[arg(long, value_name = "BYTES", env = "QUIRE_MEMORY_BUDGET", value_parser = budget)]
    pub(crate) memory_budget: Option<u64>,
    /// How long the head of a request may take to arrive.
    #[arg(
        long,
        value_name = "SECONDS",
        env = "QUIRE_HEAD_TIMEOUT",
        value_parser = seconds(1),
        default_value_t = 10
    )]
    pub(crate) head_timeout: u64,
    /// How long the body of a request may take to arrive.
    #[arg(
        long,
        value_name = "SECONDS",
        env = "QUIRE_BODY_TIMEOUT",
        value_parser = seconds(1),
        default_value_t = 30
    )]
    pub(crate) body_timeout: u64,
    /// How long a client may leave an answer waiting for it; each 8 KiB that it takes give a second back.
    #[arg(
        long,
        value_name = "SECONDS",
        env = "QUIRE_STALL_TIMEOUT",
        value_parser = seconds(1),
        default_value_t = 30
    )]
    pub(crate) stall_timeout: u64,
    /// How long a query may take; a request's `Prefer: wait=N` makes it shorter.
    #[arg(
        long,
        value_name = "SECONDS",
        env = "QUIRE_QUERY_TIMEOUT",
        value_parser = seconds(1),
        default_value_t = 10
    )]
    pub(crate) query_timeout: u64,
    /// How long requests may go on waiting when the node is asked to stop.
    #[arg(
        long,
        value_name = "SECONDS",
        env = "QUIRE_GRACE",
        value_parser = seconds(0),
        default_value_t = 10
    )]
    pub(crate) grace: u64,
    /// Most connections at one time; further ones are told of an overload.
    #[arg(
        long,
        value_name = "N",
        env = "QUIRE_MAX_CONNECTIONS",
        value_parser = at_once("connections", 1),
        default_value_t = 8192
    )]
    pub(crate) max_connections: usize,
    /// Most requests that have no answer yet; further ones are told of an overload.
    #[arg(
        long,
        value_name = "N",
        env = "QUIRE_MAX_REQUESTS",
        value_parser = at_once("requests", 0),
        default_value_t = 2048
    )]
    pub(crate) max_requests: usize,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// Check only this channel.
    #[arg(long, value_name = "NAME", conflicts_with = "blockfiles")]
    pub(crate) channel: Option<String>,
    /// Check this folder of `blockfile_NNNNNN` made by a Fabric peer instead of a data directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) blockfiles: Option<PathBuf>,
    /// Check every signature too, by the organisations and policies of the channel's own
    /// configurations.
    #[arg(long)]
    pub(crate) signatures: bool,
    /// Judge every transaction again too, and compare the verdicts with those stored.
    #[arg(long)]
    pub(crate) revalidate: bool,
    /// Print the reports as one JSON array.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct BlocksArguments {
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// The channel.
    #[arg(long, value_name = "NAME", default_value = FIRST_CHANNEL)]
    pub(crate) channel: String,
    /// The first block to list.
    #[arg(long, value_name = "N", value_parser = block_number, default_value_t = 0)]
    pub(crate) from: u64,
    /// The last block to list; without this, the newest.
    #[arg(long, value_name = "N", value_parser = block_number)]
    pub(crate) to: Option<u64>,
    /// Print each block as the API gives it, a JSON text a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct MigrateArguments {
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// The folder with files of query indexes; without this, `migrations` in the data directory, if it
    /// is there.
    #[arg(long, value_name = "DIR", env = "QUIRE_MIGRATIONS")]
    pub(crate) migrations: Option<PathBuf>,
    /// Only say what would be done.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RebuildArguments {
    /// The data directory.
    #[arg(
        long,
        value_name = "DIR",
        env = "QUIRE_DATA",
        default_value = "./quire-data"
    )]
    pub(crate) data: PathBuf,
    /// A TOML file with flags of `run` by their names; variables and the command line win over it.
    #[arg(long = "config", value_name = "FILE", env = "QUIRE_CONFIG")]
    pub(crate) _config: Option<PathBuf>,
    /// What keeps current state: `--state` of `run`, which says what to make again here.
    #[arg(
        long,
        value_name = "ENGINE",
        env = "QUIRE_STATE",
        value_enum,
        default_value_t = StateChoice::Fjall
    )]
    pub(crate) engine: StateChoice,
    #[command(flatten)]
    pub(crate) couchdb: CouchDbArguments,
    /// Only this channel.
    #[arg(long, value_name = "NAME")]
    pub(crate) channel: Option<String>,
    /// The index of blocks and transactions.
    #[arg(long)]
    pub(crate) index: bool,
    /// Current state.
    #[arg(long)]
    pub(crate) state: bool,
    /// The history of keys.
    #[arg(long)]
    pub(crate) history: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RepairArguments {
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// The channel.
    #[arg(long, value_name = "NAME")]
    pub(crate) channel: String,
    /// The folder of `blockfile_NNNNNN` to take records from: a backup's `channels/NAME`.
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct TruncateArguments {
    #[command(flatten)]
    pub(crate) data: DataArguments,
    /// The channel.
    #[arg(long, value_name = "NAME")]
    pub(crate) channel: String,
    /// The first block to lose: it must be the first that is damaged or missing.
    #[arg(long, value_name = "N", value_parser = block_number, required_unless_present = "dry_run")]
    pub(crate) from_block: Option<u64>,
    /// Only say what would be lost.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ChannelArguments {
    #[command(subcommand)]
    pub(crate) command: ChannelCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ChannelCommand {
    /// Make a channel.
    Create {
        /// Its name: `[a-z][a-z0-9.-]*`, at most 249 characters.
        name: String,
        #[command(flatten)]
        data: DataArguments,
    },
    /// List the channels.
    List {
        #[command(flatten)]
        data: DataArguments,
    },
    /// Write a block into a file as Fabric's `common.Block`, as `peer channel fetch` does.
    Fetch {
        /// Which block: `oldest`, `newest`, `config` (the newest with a configuration), or its number.
        #[arg(value_name = "BLOCK")]
        wanted: Wanted,
        /// The file, `-` for standard output; without this, `CHANNEL_BLOCK.block` in the current folder.
        file: Option<PathBuf>,
        /// The channel.
        #[arg(long, value_name = "NAME", default_value = FIRST_CHANNEL)]
        channel: String,
        #[command(flatten)]
        data: DataArguments,
    },
    /// Take over a channel from block files made by a Fabric peer, after checking them.
    Import {
        /// The folder of `blockfile_NNNNNN`.
        #[arg(long, value_name = "DIR")]
        blockfiles: PathBuf,
        /// The name it gets here.
        #[arg(long, value_name = "NAME")]
        channel: String,
        /// Let it take transactions of this node. Without this it is read-only: its orderers are
        /// elsewhere.
        #[arg(long)]
        writable: bool,
        #[command(flatten)]
        data: DataArguments,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct TokenArguments {
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
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

/// Seconds, up to a day.
fn seconds(least: u64) -> impl TypedValueParser<Value = u64> {
    move |text: &str| whole(text, "seconds", least..=86_400, "10")
}

/// How many at one time, up to a million.
fn at_once(what: &'static str, least: u64) -> impl TypedValueParser<Value = usize> {
    move |text: &str| {
        let number = whole(text, what, least..=1_000_000, "1000")?;
        usize::try_from(number).map_err(|error| error.to_string())
    }
}

/// How many a second.
fn a_second(text: &str) -> Result<NonZeroU32, String> {
    let number = whole(text, "requests", 1..=u64::from(u32::MAX), "100")?;
    let number = u32::try_from(number).ok().and_then(NonZeroU32::new);
    number.ok_or_else(|| "no requests at all".to_owned())
}

/// Bytes of a value, up to a gibibyte.
fn bytes(text: &str) -> Result<usize, String> {
    let number = whole(text, "bytes", 0..=1 << 30, "1048576 for a mebibyte")?;
    usize::try_from(number).map_err(|error| error.to_string())
}

/// Bytes that requests may hold, up to a tebibyte.
fn budget(text: &str) -> Result<u64, String> {
    whole(
        text,
        "bytes",
        16 << 20..=1 << 40,
        "1073741824 for a gibibyte",
    )
}

fn msp_id(text: &str) -> Result<String, OrganizationError> {
    check_msp_id(text).map(|()| text.to_owned())
}

fn block_number(text: &str) -> Result<u64, String> {
    let is_number = text.bytes().all(|digit| digit.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number);
    number.ok_or_else(|| "the number of a block is meant, from 0 on, as 12".to_owned())
}

fn whole(text: &str, unit: &str, range: RangeInclusive<u64>, example: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        let (least, most) = (range.start(), range.end());
        format!("a whole number of {unit} is meant, from {least} to {most}, as {example}")
    })
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn no_two_flags_of_a_command_have_one_name() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_handbook_has_every_flag_of_run_with_its_variable_and_default() {
        let handbook = include_str!("../../docs/operations.md");
        let command = Cli::command();
        let run = command.find_subcommand("run").unwrap();
        let mut expected: Vec<String> = run
            .get_arguments()
            .filter_map(|argument| {
                let flag = argument.get_long()?;
                let variable = argument.get_env()?.to_string_lossy().into_owned();
                let defaults = argument.get_default_values();
                let default = match defaults.first() {
                    Some(value) => format!("`{}`", value.to_string_lossy()),
                    None if argument.get_action().takes_values() => "none".to_owned(),
                    None => "off".to_owned(),
                };
                Some(format!("| `--{flag}` | `{variable}` | {default}"))
            })
            .collect();
        for row in &expected {
            assert!(handbook.contains(row), "docs/operations.md lacks {row}");
        }
        expected.sort();
        let rows = handbook.lines().filter(|line| line.starts_with("| `--"));
        assert_eq!(rows.count(), expected.len(), "a row is of no flag");
    }
}
