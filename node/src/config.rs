//! What the server was told, checked: a [`Config`] cannot be wrong in itself.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use quire_ca::FirstAdmin;
use quire_chaincode::Documents;
use quire_gateway::{Cors, Limits, NotAnOrigin, PoolSizes};
use quire_ledger::{Migration, StateEngine};
use quire_rpc::PeerSettings;

use crate::arguments::{GivenArguments, RunArguments, StateChoice};
use crate::backup::{BackupError, Plan};
use crate::data_directory::path::{PathError, may_be_run_on};
use crate::listen::{GrpcListen, Listen, ResolveError};
use crate::memory;
use crate::migrations::{self, MigrationsError};
use crate::node::{EndorsersError, OrderedBy, OrderingError, peer_settings};
use crate::state::StateError;
use crate::tls::{Clients, Tls, TlsError};

/// Threads for work where state is another server's.
const WORK_REMOTE: usize = 512;
/// Times as many queries as where state is here.
const QUERIES_REMOTE: usize = 8;

/// Why the server cannot be what it was told to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("--cors-origin: {0}")]
    Cors(#[from] NotAnOrigin),
    #[error("--tls-cert and --tls-key need each other")]
    HalfTls,
    #[error("--tls-client-ca needs --tls-cert and --tls-key")]
    ClientCaWithoutTls,
    #[error(
        "--participation-listen is served by mutual TLS alone: it needs --participation-client-ca, and \
         --participation-tls-cert with --participation-tls-key, or --tls-cert with --tls-key"
    )]
    Participation,
    #[error("--backup-every needs --backup-to")]
    BackupsNowhere,
    #[error("--backup-to cannot be used")]
    Backups(#[from] BackupError),
    #[error(transparent)]
    Data(#[from] PathError),
    #[error(transparent)]
    Listen(#[from] ResolveError),
    #[error(transparent)]
    Migrations(#[from] MigrationsError),
    #[error(
        "--{0} is nothing that an orderer alone takes: it has no state, no CA and no chaincodes"
    )]
    NotOfOrderer(&'static str),
    #[error(transparent)]
    Ordering(#[from] OrderingError),
    #[error(transparent)]
    Endorsers(#[from] EndorsersError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{listen} can be reached from other machines, and nobody has to prove who they are")]
    Unauthenticated { listen: Listen, data: PathBuf },
    #[error(
        "{0} can be reached from other machines, and tokens would cross the network unprotected"
    )]
    Plain(Listen),
    #[error(
        "{0} can be reached from other machines, and whoever dials there could be any chaincode"
    )]
    ChaincodesFromElsewhere(Listen),
}

impl ConfigError {
    /// What to do about it.
    pub(crate) fn advice(&self) -> Option<Cow<'static, str>> {
        let advice = match self {
            Self::Unauthenticated { data, .. } => {
                // A token is of a data directory, and only some commands make one.
                let data = data.display();
                return Some(Cow::from(format!(
                    "Make a token with `quire token create --identity NAME --role writer --data \
                     {data}` (in a new place after `quire channel create main --data {data}`), listen \
                     on 127.0.0.1, or accept that with --insecure-no-auth."
                )));
            }
            Self::Data(error) => return Some(error.advice().into()),
            Self::Listen(_) => Some(
                "127.0.0.1:7080 is this machine alone, 0.0.0.0:7080 every address that it has.",
            ),
            Self::Plain(_) => Some(
                "Give --tls-cert and --tls-key, or accept that with --insecure-plain-http, as behind \
                 a proxy that speaks TLS or for an address that only metrics are read from.",
            ),
            Self::ChaincodesFromElsewhere(_) => Some(
                "Give a loopback address, or let the node dial: `quire chaincode deploy --address`.",
            ),
            Self::Migrations(error) => error.advice(),
            Self::Backups(error) => error.advice(),
            Self::Cors(_)
            | Self::HalfTls
            | Self::BackupsNowhere
            | Self::ClientCaWithoutTls
            | Self::NotOfOrderer(_)
            | Self::Ordering(_)
            | Self::Endorsers(_)
            | Self::Participation
            | Self::State(_)
            | Self::Tls(_) => None,
        };
        advice.map(Cow::from)
    }
}

/// The settings of a server.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    pub(crate) msp_id: String,
    pub(crate) given: GivenArguments,
    pub(crate) listen: Listen,
    /// Where the operations are, if not beside the API.
    pub(crate) operations_listen: Option<Listen>,
    /// Where the CA is served, if it is.
    pub(crate) ca_listen: Option<Listen>,
    pub(crate) ca_name: String,
    pub(crate) ca_admin: FirstAdmin,
    /// Where osnadmin is served, and by what TLS, if it is.
    pub(crate) participation: Option<(Listen, Tls)>,
    /// How long a call of a chaincode may take which runs in a process of its own.
    pub(crate) chaincode_timeout: Duration,
    /// Where chaincodes dial, if they may.
    pub(crate) chaincode_listen: Option<Listen>,
    pub(crate) grpc: Grpc,
    pub(crate) ordering: OrderedBy,
    /// Whether it is an orderer alone.
    pub(crate) orders_only: bool,
    /// How other peers are asked for endorsements.
    pub(crate) peers: PeerSettings,
    pub(crate) engine: StateEngine,
    /// The backups that it makes by itself.
    pub(crate) backups: Option<Plan>,
    /// What the embedded engine caches, in bytes.
    pub(crate) engine_cache: u64,
    /// Whether anything is counted.
    pub(crate) counts: bool,
    pub(crate) documents: Documents,
    /// Files of query indexes, in order.
    pub(crate) migrations: Vec<Migration>,
    pub(crate) limits: Limits,
    pub(crate) cors: Cors,
    pub(crate) tls: Option<Tls>,
    /// The files of certificates that are shown by TLS, by their flags.
    pub(crate) tls_files: Vec<(&'static str, PathBuf)>,
    insecure_plain_http: bool,
}

/// Where Fabric's clients are served.
#[derive(Clone, Debug)]
pub(crate) enum Grpc {
    Nowhere,
    /// Nobody said: where they look, if that port is free.
    WhereFree(Listen),
    At(Listen),
}

impl Grpc {
    fn check(listen: Option<&GrpcListen>) -> Result<Self, ConfigError> {
        const FLAG: &str = "--grpc-listen";
        Ok(match listen {
            Some(GrpcListen::Nowhere) => Self::Nowhere,
            Some(GrpcListen::At(address)) => Self::At(address.resolve(FLAG)?),
            None => Self::WhereFree(Listen::fabric_peer(FLAG)),
        })
    }

    fn asked_for(&self) -> Option<&Listen> {
        match self {
            Self::At(listen) => Some(listen),
            Self::WhereFree(_) | Self::Nowhere => None,
        }
    }
}

impl Config {
    /// Checks the arguments, and reads the files they name.
    pub(crate) fn check(arguments: &RunArguments) -> Result<Self, ConfigError> {
        may_be_run_on(&arguments.data.data)?;
        let operations_listen = arguments.operations_listen.as_ref();
        let operations_listen = operations_listen.map(|one| one.resolve("--operations-listen"));
        let ca_listen = arguments.ca_listen.as_ref();
        let ca_listen = ca_listen.map(|one| one.resolve("--ca-listen"));
        let ca_name = arguments.ca_name.clone();
        let chaincode_listen = arguments.chaincode_listen.as_ref();
        let chaincode_listen = chaincode_listen.map(|one| one.resolve("--chaincode-listen"));
        let client_ca = arguments.tls_client_ca.as_deref();
        let tls = match (&arguments.tls_cert, &arguments.tls_key) {
            (Some(certificate), Some(key)) => {
                let clients = client_ca.map_or(Clients::Unknown, Clients::MayShow);
                Some(Tls::load(certificate, key, clients)?)
            }
            (None, None) if client_ca.is_some() => return Err(ConfigError::ClientCaWithoutTls),
            (None, None) => None,
            _ => return Err(ConfigError::HalfTls),
        };
        let engine = arguments.data.state.engine()?;
        let budget = arguments.memory_budget;
        let budget = budget.unwrap_or_else(memory::default_budget);
        Ok(Self {
            data: arguments.data.data.clone(),
            msp_id: arguments.data.msp_id.clone(),
            given: arguments.data.given.clone(),
            listen: arguments.listen.resolve("--listen")?,
            operations_listen: operations_listen.transpose()?,
            ca_listen: ca_listen.transpose()?,
            ca_name: ca_name.unwrap_or_else(|| format!("ca.{}", arguments.data.msp_id)),
            ca_admin: arguments.ca_admin.clone(),
            participation: participation(arguments)?,
            chaincode_timeout: Duration::from_secs(arguments.chaincode_timeout),
            chaincode_listen: chaincode_listen.transpose()?,
            ordering: OrderedBy::check(&arguments.ordering)?,
            orders_only: false,
            peers: peer_settings(arguments)?,
            grpc: Grpc::check(arguments.grpc_listen.as_ref())?,
            counts: !arguments.no_metrics,
            documents: Documents {
                max_value_bytes: arguments.max_value_bytes,
            },
            migrations: migrations::of(arguments.migrations.as_deref(), &arguments.data.data)?,
            limits: Limits {
                local_only: !arguments.insecure_no_auth,
                requests_per_second: arguments.rate_limit,
                head_timeout: Duration::from_secs(arguments.head_timeout),
                body_timeout: Duration::from_secs(arguments.body_timeout),
                stall_timeout: Duration::from_secs(arguments.stall_timeout),
                grace: Duration::from_secs(arguments.grace),
                connections: arguments.max_connections,
                requests: arguments.max_requests,
                memory_bytes: usize::try_from(budget).unwrap_or(usize::MAX),
                query_timeout: Duration::from_secs(arguments.query_timeout),
                pools: pools(&engine),
                ..Limits::default()
            },
            cors: Cors::new(arguments.cors_origin.iter().map(String::as_str))?,
            tls,
            tls_files: tls_files(arguments),
            insecure_plain_http: arguments.insecure_plain_http,
            backups: Plan::check(&arguments.backups, &arguments.data.data)?,
            engine,
            engine_cache: memory::engine_cache(budget),
        })
    }

    /// The same of an orderer alone. What there is beside Broadcast and Deliver at the address of the API are the
    /// operations.
    pub(crate) fn check_orderer(arguments: &RunArguments) -> Result<Self, ConfigError> {
        let config = Self {
            orders_only: true,
            ..Self::check(arguments)?
        };
        let (data, ordering) = (&arguments.data, &config.ordering);
        let wrong = [
            ("operations-listen", config.operations_listen.is_some()),
            ("ca-listen", config.ca_listen.is_some()),
            ("chaincode-listen", config.chaincode_listen.is_some()),
            ("client-msp", data.given.client_msp.is_some()),
            ("migrations", arguments.migrations.is_some()),
            ("state couchdb", data.state.state == StateChoice::Couchdb),
            ("ordering remote", matches!(ordering, OrderedBy::Remote(_))),
        ];
        if let Some((flag, _)) = wrong.into_iter().find(|(_, given)| *given) {
            return Err(ConfigError::NotOfOrderer(flag));
        }
        let grpc = match config.grpc {
            Grpc::WhereFree(_) => Grpc::WhereFree(Listen::fabric_orderer("--grpc-listen")),
            grpc => grpc,
        };
        Ok(Self { grpc, ..config })
    }

    /// Makes sure that nobody on another machine gets in, or overhears who gets in, unless the
    /// operator has accepted that by name. The operations' own address asks for tokens wherever other
    /// machines reach it, also while none was made: one made later would cross the network. The CA asks for
    /// secrets wherever it is.
    pub(crate) fn check_exposure(&self, has_tokens: bool) -> Result<(), ConfigError> {
        if !self.limits.local_only {
            return Ok(());
        }
        if self.listen.is_remote() && !has_tokens {
            return Err(ConfigError::Unauthenticated {
                listen: self.listen.clone(),
                data: self.data.clone(),
            });
        }
        // It is in plain, and whoever dials may be any chaincode that has no process.
        if let Some(door) = self
            .chaincode_listen
            .as_ref()
            .filter(|door| door.is_remote())
        {
            return Err(ConfigError::ChaincodesFromElsewhere(door.clone()));
        }
        let mut doors = std::iter::once(&self.listen)
            .chain(&self.operations_listen)
            .chain(&self.ca_listen)
            .chain(self.grpc.asked_for());
        match doors.find(|door| door.is_remote()) {
            Some(door) if self.tls.is_none() && !self.insecure_plain_http => {
                Err(ConfigError::Plain(door.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// Where channels are administered from, and by what TLS: never without both ends' certificates.
fn participation(arguments: &RunArguments) -> Result<Option<(Listen, Tls)>, ConfigError> {
    let Some(listen) = &arguments.participation_listen else {
        return Ok(None);
    };
    let own = (
        arguments.participation_tls_cert.as_deref(),
        arguments.participation_tls_key.as_deref(),
    );
    let shared = (arguments.tls_cert.as_deref(), arguments.tls_key.as_deref());
    let both = match own {
        (None, None) => shared,
        own => own,
    };
    let clients = arguments.participation_client_ca.as_deref();
    let ((Some(certificate), Some(key)), Some(clients)) = (both, clients) else {
        return Err(ConfigError::Participation);
    };
    let tls = Tls::load(certificate, key, Clients::MustShow(clients))?;
    let listen = listen.resolve("--participation-listen")?;
    Ok(Some((listen, tls)))
}

/// The files of certificates that are shown by TLS, by their flags.
fn tls_files(arguments: &RunArguments) -> Vec<(&'static str, PathBuf)> {
    let files = [
        ("--tls-cert", &arguments.tls_cert),
        (
            "--participation-tls-cert",
            &arguments.participation_tls_cert,
        ),
        (
            "--orderer-tls-cert",
            &arguments.ordering.orderers.orderer_tls_cert,
        ),
    ];
    let named = files.into_iter();
    named
        .filter_map(|(flag, path)| Some((flag, path.clone()?)))
        .collect()
}

/// Threads for work that blocks. With state on another server, work waits for that rather than for a
/// processor, and as many pieces of it as fill a block have to wait at one time.
fn pools(engine: &StateEngine) -> PoolSizes {
    let here = PoolSizes::default();
    match engine {
        StateEngine::Fjall => here,
        StateEngine::CouchDb(_) => PoolSizes {
            work: WORK_REMOTE,
            queries: here.queries * QUERIES_REMOTE,
            ..here
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use crate::commands::Command;
    use clap::Parser as _;

    fn config(arguments: &[&str]) -> Result<Config, ConfigError> {
        let all = ["quire", "run"].iter().chain(arguments);
        let Some(Command::Run(run)) = Cli::try_parse_from(all).unwrap().command else {
            panic!("another command");
        };
        Config::check(&run)
    }

    #[test]
    fn nobody_elsewhere_gets_in_unless_that_is_accepted_by_name() {
        let everywhere = "0.0.0.0:7080";
        for (arguments, has_tokens, expected) in [
            (&["--listen", "127.0.0.1:1"][..], false, true),
            (&["--listen", "[::1]:1"], false, true),
            (&["--listen", everywhere], false, false),
            (&["--listen", everywhere], true, false),
            (
                &["--listen", everywhere, "--insecure-plain-http"],
                true,
                true,
            ),
            (
                &["--listen", everywhere, "--insecure-plain-http"],
                false,
                false,
            ),
            (&["--listen", everywhere, "--insecure-no-auth"], false, true),
            (&["--listen", everywhere, "--insecure-no-auth"], true, true),
            (&["--operations-listen", "127.0.0.1:1"], true, true),
            (&["--operations-listen", everywhere], false, false),
            (&["--operations-listen", everywhere], true, false),
            (&["--ca-listen", "127.0.0.1:1"], true, true),
            (&["--ca-listen", everywhere], false, false),
            (
                &["--ca-listen", everywhere, "--insecure-plain-http"],
                true,
                true,
            ),
            (
                &["--operations-listen", everywhere, "--insecure-plain-http"],
                true,
                true,
            ),
            (
                &["--operations-listen", everywhere, "--insecure-no-auth"],
                true,
                true,
            ),
        ] {
            let verdict = config(arguments).unwrap().check_exposure(has_tokens);
            assert_eq!(verdict.is_ok(), expected, "{arguments:?} {has_tokens}");
        }
    }

    #[test]
    fn numbers_that_no_node_can_keep_are_refused_where_they_are_read() {
        let most = u64::MAX.to_string();
        for (flag, first, last) in [
            ("--head-timeout", 1, 86_400),
            ("--body-timeout", 1, 86_400),
            ("--stall-timeout", 1, 86_400),
            ("--couchdb-timeout", 1, 86_400),
            ("--query-timeout", 1, 86_400),
            ("--grace", 0, 86_400),
            ("--max-connections", 1, 1_000_000),
            ("--max-requests", 0, 1_000_000),
        ] {
            let takes = |number: &str| Cli::try_parse_from(["quire", "run", flag, number]).is_ok();
            assert!(
                takes(&first.to_string()) && takes(&last.to_string()),
                "{flag}"
            );
            assert!(first == 0 || !takes("0"), "{flag}");
            for number in [&(last + 1).to_string(), "9223372036854775807", &most] {
                assert!(!takes(number), "{flag} {number}");
            }
        }
    }

    #[test]
    fn what_cannot_work_is_refused_before_anything_starts() {
        for arguments in [
            &["--cors-origin", "shop.example"][..],
            &["--tls-cert", "a.pem"],
            &["--tls-key", "a.pem"],
            &["--state", "couchdb"],
            &["--state", "couchdb", "--couchdb-url", "couch:5984"],
            &[
                "--state",
                "couchdb",
                "--couchdb-url",
                "http://u:p@couch:5984",
            ],
            &[
                "--state",
                "couchdb",
                "--couchdb-url",
                "http://couch:5984",
                "--couchdb-user",
                "u",
            ],
            &["--tls-client-ca", "a.pem"],
            &[
                "--tls-cert",
                "/nowhere/a.pem",
                "--tls-key",
                "/nowhere/b.pem",
            ],
        ] {
            assert!(config(arguments).is_err(), "{arguments:?}");
        }
    }
}
