//! What `run` takes, and a configuration file may say.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;
use quire_ca::FirstAdmin;

use super::BackupsArguments;
use super::DataArguments;
use super::EndorserArguments;
use super::OrderingArguments;
use super::values::{a_second, at_once, budget, bytes, ca_admin, ca_name, seconds};
use crate::listen::{GrpcListen, ListenAddress};

/// Start the node (what `quire` alone does).
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
    /// Serve the organisation's CA at this address, to the clients of Fabric CA; 127.0.0.1:7054 is where
    /// they look.
    #[arg(long, value_name = "ADDR", env = "QUIRE_CA_LISTEN")]
    pub(crate) ca_listen: Option<ListenAddress>,
    /// What clients call the CA; without it, `ca.` and the MSP id.
    #[arg(long, value_name = "NAME", env = "QUIRE_CA_NAME", value_parser = ca_name)]
    pub(crate) ca_name: Option<String>,
    /// Who may do everything at the CA, made at its first start: `NAME`, whose secret is made up and shown
    /// that once, or `NAME:SECRET`, whose secret it is then from each start on. Others see the command line:
    /// give a secret by the variable.
    #[arg(
        long,
        value_name = "NAME[:SECRET]",
        env = "QUIRE_CA_ADMIN",
        hide_env_values = true,
        value_parser = ca_admin,
        default_value = "admin"
    )]
    pub(crate) ca_admin: FirstAdmin,
    /// Serve osnadmin's `/participation/v1/channels` at this address, by mutual TLS.
    #[arg(long, value_name = "ADDR", env = "QUIRE_PARTICIPATION_LISTEN")]
    pub(crate) participation_listen: Option<ListenAddress>,
    /// The authorities, PEM, whose client certificates let somebody do everything there.
    #[arg(long, value_name = "FILE", env = "QUIRE_PARTICIPATION_CLIENT_CA")]
    pub(crate) participation_client_ca: Option<PathBuf>,
    /// The server's certificate there; without it, that of --tls-cert.
    #[arg(long, value_name = "FILE", env = "QUIRE_PARTICIPATION_TLS_CERT")]
    pub(crate) participation_tls_cert: Option<PathBuf>,
    /// The key of that certificate.
    #[arg(long, value_name = "FILE", env = "QUIRE_PARTICIPATION_TLS_KEY")]
    pub(crate) participation_tls_key: Option<PathBuf>,
    /// Seconds that a call of a chaincode may take which runs in a process of its own.
    #[arg(
        long,
        value_name = "SECONDS",
        env = "QUIRE_CHAINCODE_TIMEOUT",
        value_parser = seconds(1),
        default_value = "30"
    )]
    pub(crate) chaincode_timeout: u64,
    /// Let chaincodes dial the node at this address, as in development; 127.0.0.1:7052 is where they look. What
    /// the node starts itself needs none.
    #[arg(long, value_name = "ADDR", env = "QUIRE_CHAINCODE_LISTEN")]
    pub(crate) chaincode_listen: Option<ListenAddress>,
    /// Serve Fabric's clients by gRPC at this address; `none` serves them nowhere. Without it, 127.0.0.1:7051 where
    /// nobody else has that port.
    #[arg(long, value_name = "ADDR", env = "QUIRE_GRPC_LISTEN")]
    pub(crate) grpc_listen: Option<GrpcListen>,
    #[command(flatten)]
    pub(crate) ordering: OrderingArguments,
    #[command(flatten)]
    pub(crate) endorsers: EndorserArguments,
    #[command(flatten)]
    pub(crate) backups: BackupsArguments,
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
