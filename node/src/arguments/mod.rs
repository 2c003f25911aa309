//! What several verbs take: where the data is, and what keeps state. Every flag is also a `QUIRE_...`
//! variable.

pub(crate) mod backup;
pub(crate) mod endorsers;
pub(crate) mod ordering;
pub(crate) mod run;
pub(crate) mod values;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use quire_identity::Given;

pub(crate) use backup::BackupsArguments;
pub(crate) use endorsers::EndorserArguments;
pub(crate) use ordering::{OrderingArguments, OrderingKind};
pub(crate) use run::RunArguments;
use values::{msp_id, seconds};

use crate::node::NodeError;

/// The MSP id of an organisation, if nobody says.
pub(crate) const DEFAULT_MSP_ID: &str = "QuireMSP";

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

/// An organisation that was made elsewhere.
#[derive(Clone, Debug, Args)]
pub(crate) struct GivenArguments {
    /// The MSP folder of a peer or orderer that another tool made, as cryptogen or fabric-ca-client does: the
    /// node endorses and signs blocks as that, in place of an organisation of its own. Copied at the first
    /// start; --msp-id names the organisation.
    #[arg(long, value_name = "DIR", env = "QUIRE_MSP")]
    pub(crate) msp: Option<PathBuf>,
    /// The MSP folder of a client, with --msp: whoever signs for callers without a token. Without it the node
    /// does, which a channel may not let write.
    #[arg(long, value_name = "DIR", env = "QUIRE_CLIENT_MSP")]
    pub(crate) client_msp: Option<PathBuf>,
}

impl GivenArguments {
    pub(crate) fn given(&self) -> Result<Option<Given<'_>>, NodeError> {
        match (self.msp.as_deref(), self.client_msp.as_deref()) {
            (Some(msp), client_msp) => Ok(Some(Given { msp, client_msp })),
            (None, Some(_)) => Err(NodeError::ClientMspAlone),
            (None, None) => Ok(None),
        }
    }
}

/// Where everything is kept.
#[derive(Clone, Debug, Args)]
pub(crate) struct DataArguments {
    /// The data directory. `run`, `channel create`, `channel join` and `channel import` make it where there is none.
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
        default_value = DEFAULT_MSP_ID
    )]
    pub(crate) msp_id: String,
    #[command(flatten)]
    pub(crate) given: GivenArguments,
    #[command(flatten)]
    pub(crate) state: StateArguments,
    /// A TOML file with flags of `run` by their names; variables and the command line win over it.
    #[arg(long, value_name = "FILE", env = "QUIRE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}
