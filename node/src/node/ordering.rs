//! Who decides the order of a channel's transactions: this node alone, or a topic that all nodes read.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quire_kafka::{Cluster, ClusterError, LogObserver};
use quire_ledger::Ledger;
use quire_ordering::kafka::{Ends, Start, Topics};
use quire_peer::OpenChannel;
use quire_peer::channel::{Host, QUEUE_LENGTH, StartError};
use quire_peer::join::OrderOf;
use quire_rpc::{OrdererSettings, Orderers, OrderersError};

use crate::arguments::ordering::{KafkaArguments, OrdererArguments};
use crate::arguments::{OrderingArguments, OrderingKind};
use crate::metrics::Metrics;

/// Who decides the order, as the settings have it.
#[derive(Clone, Debug)]
pub(crate) enum OrderedBy {
    /// This node alone.
    Embedded,
    /// A topic of Apache Kafka for each channel.
    Kafka(Cluster),
    /// Orderers elsewhere.
    Remote(OrdererSettings),
}

/// The way to who decides the order.
#[derive(Clone, Debug)]
pub(super) enum Ordering {
    Embedded,
    Kafka(Cluster),
    Remote(Arc<Orderers>),
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderingError {
    #[error("--ordering kafka needs --kafka-brokers")]
    NoBrokers,
    #[error("--{flag} needs --ordering {kind}")]
    OfAnother {
        flag: &'static str,
        kind: &'static str,
    },
    #[error("--orderer-tls-cert and --orderer-tls-key belong together")]
    HalfCertificate,
    #[error("--insecure-plain-orderers is no TLS: --{0} makes no sense beside it")]
    PlainAndTls(&'static str),
    #[error("--orderer-override {0:?} is not of the form NAMED=HOST:PORT")]
    Override(String),
    #[error("--{flag} {} cannot be read", path.display())]
    Read {
        flag: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the brokers' settings cannot be used")]
    Cluster(#[from] ClusterError),
    #[error("the orderers' settings cannot be used")]
    Orderers(#[from] OrderersError),
}

impl OrderedBy {
    /// Reads the settings.
    pub(crate) fn check(arguments: &OrderingArguments) -> Result<Self, OrderingError> {
        let OrderingArguments {
            ordering,
            kafka,
            orderers,
        } = arguments;
        // Who says how to reach somebody means them.
        if *ordering != OrderingKind::Kafka {
            refuse("kafka", &kafka_flags(kafka))?;
        }
        if *ordering != OrderingKind::Remote {
            refuse("remote", &orderer_flags(orderers))?;
        }
        Ok(match ordering {
            OrderingKind::Embedded => Self::Embedded,
            OrderingKind::Kafka => Self::Kafka(cluster(kafka)?),
            OrderingKind::Remote => Self::Remote(settings(orderers)?),
        })
    }

    /// Finds the way. Nobody is dialled yet.
    pub(super) fn open(self) -> Result<Ordering, OrderingError> {
        Ok(match self {
            Self::Embedded => Ordering::Embedded,
            Self::Kafka(cluster) => Ordering::Kafka(cluster),
            Self::Remote(settings) => Ordering::Remote(Arc::new(Orderers::new(settings)?)),
        })
    }
}

impl Ordering {
    pub(super) fn order_of(&self) -> OrderOf {
        match self {
            Self::Embedded => OrderOf::ThisNode,
            Self::Kafka(_) => OrderOf::Topic,
            Self::Remote(_) => OrderOf::Others,
        }
    }

    /// Opens a channel that takes transactions.
    pub(super) fn open(
        &self,
        ledger: Ledger,
        host: &Host,
        metrics: &Metrics,
    ) -> Result<OpenChannel, StartError> {
        let name = ledger.reader().channel().to_owned();
        let queue = Arc::new(metrics.queue(&name, QUEUE_LENGTH));
        match self {
            Self::Embedded => OpenChannel::ordered_here(ledger, host, queue),
            Self::Kafka(cluster) => {
                let observer = Arc::new(metrics.log(&name));
                OpenChannel::ordered_by(ledger, host, queue, &InKafka { cluster, observer })
            }
            Self::Remote(orderers) => {
                let observer = Arc::new(metrics.orderers(&name));
                let network = Arc::clone(orderers) as Arc<_>;
                OpenChannel::ordered_elsewhere(ledger, host, network, queue, observer)
            }
        }
    }
}

/// The flags that were given of those with which Kafka is reached.
fn kafka_flags(arguments: &KafkaArguments) -> [(&'static str, bool); 3] {
    let KafkaArguments {
        kafka_brokers,
        kafka_config,
        kafka_replicas,
    } = arguments;
    [
        ("kafka-brokers", kafka_brokers.is_some()),
        ("kafka-config", kafka_config.is_some()),
        ("kafka-replicas", kafka_replicas.is_some()),
    ]
}

/// The same of those with which orderers are reached.
fn orderer_flags(arguments: &OrdererArguments) -> [(&'static str, bool); 5] {
    let OrdererArguments {
        orderer_override,
        orderer_ca,
        orderer_tls_cert,
        orderer_tls_key,
        insecure_plain_orderers,
    } = arguments;
    [
        ("orderer-override", !orderer_override.is_empty()),
        ("orderer-ca", orderer_ca.is_some()),
        ("orderer-tls-cert", orderer_tls_cert.is_some()),
        ("orderer-tls-key", orderer_tls_key.is_some()),
        ("insecure-plain-orderers", *insecure_plain_orderers),
    ]
}

fn refuse(kind: &'static str, flags: &[(&'static str, bool)]) -> Result<(), OrderingError> {
    match flags.iter().find(|(_, given)| *given) {
        Some(&(flag, _)) => Err(OrderingError::OfAnother { flag, kind }),
        None => Ok(()),
    }
}

fn cluster(arguments: &KafkaArguments) -> Result<Cluster, OrderingError> {
    let brokers = arguments.kafka_brokers.as_deref();
    let brokers = brokers.ok_or(OrderingError::NoBrokers)?;
    let properties = match &arguments.kafka_config {
        Some(path) => fs::read_to_string(path).map_err(|source| OrderingError::Read {
            flag: "kafka-config",
            path: path.clone(),
            source,
        })?,
        None => String::new(),
    };
    let cluster = Cluster::new(brokers, &properties, arguments.kafka_replicas);
    Ok(cluster?)
}

fn settings(arguments: &OrdererArguments) -> Result<OrdererSettings, OrderingError> {
    let is_plain = arguments.insecure_plain_orderers;
    let flags = orderer_flags(arguments);
    let is_tls = |flag| matches!(flag, "orderer-ca" | "orderer-tls-cert" | "orderer-tls-key");
    let tls = flags.iter().find(|(flag, given)| is_tls(*flag) && *given);
    if let (true, Some(&(flag, _))) = (is_plain, tls) {
        return Err(OrderingError::PlainAndTls(flag));
    }
    let read = |flag, path: &Option<PathBuf>| {
        let read = |path: &PathBuf| read(flag, path);
        path.as_ref().map(read).transpose()
    };
    let chain = read("orderer-tls-cert", &arguments.orderer_tls_cert)?;
    let key = read("orderer-tls-key", &arguments.orderer_tls_key)?;
    let client = match (chain, key) {
        (Some(chain), Some(key)) => Some((chain, key)),
        (None, None) => None,
        _ => return Err(OrderingError::HalfCertificate),
    };
    let overrides = arguments.orderer_override.iter().map(|text| {
        let parts = text.split_once('=');
        let parts = parts.filter(|(named, at)| !named.is_empty() && at.contains(':'));
        let (named, at) = parts.ok_or_else(|| OrderingError::Override(text.clone()))?;
        Ok::<_, OrderingError>((named.to_owned(), at.to_owned()))
    });
    let settings = OrdererSettings {
        overrides: overrides.collect::<Result<BTreeMap<_, _>, _>>()?,
        is_plain,
        roots: read("orderer-ca", &arguments.orderer_ca)?,
        client,
    };
    settings.check()?;
    Ok(settings)
}

fn read(flag: &'static str, path: &Path) -> Result<bytes::Bytes, OrderingError> {
    let read = fs::read(path).map(bytes::Bytes::from);
    read.map_err(|source| OrderingError::Read {
        flag,
        path: path.to_owned(),
        source,
    })
}

/// The topic of one channel.
#[derive(Debug)]
struct InKafka<'a> {
    cluster: &'a Cluster,
    observer: Arc<dyn LogObserver>,
}

impl Topics for InKafka<'_> {
    fn open<T: Send + fmt::Debug + 'static>(&self, start: Start<T>) -> Result<Ends<T>, String> {
        let observer = Arc::clone(&self.observer);
        let (order, log) = quire_kafka::order(self.cluster, start, observer)
            .map_err(|error| quire_ledger::chain_of(&error))?;
        Ok((Arc::new(order), Box::new(log)))
    }
}
