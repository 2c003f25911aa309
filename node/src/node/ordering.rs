//! Who decides the order of a channel's transactions: this node alone, or a topic that all nodes read.

use std::fmt;
use std::fs;
use std::sync::Arc;

use quire_kafka::{Cluster, ClusterError, LogObserver};
use quire_ledger::Ledger;
use quire_ordering::kafka::{Ends, Start, Topics};
use quire_peer::OpenChannel;
use quire_peer::channel::{Host, QUEUE_LENGTH, StartError};

use crate::arguments::{OrderingArguments, OrderingKind};
use crate::metrics::Metrics;

/// Who decides the order.
#[derive(Clone, Debug)]
pub(crate) enum OrderedBy {
    /// This node alone.
    Embedded,
    /// A topic of Apache Kafka for each channel.
    Kafka(Cluster),
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderingError {
    #[error("--ordering kafka needs --kafka-brokers")]
    NoBrokers,
    #[error("--kafka-{0} needs --ordering kafka")]
    NotKafka(&'static str),
    #[error("--kafka-config {path} cannot be read")]
    Read {
        path: String,
        source: std::io::Error,
    },
    #[error("the brokers' settings cannot be used")]
    Cluster(#[from] ClusterError),
}

impl OrderedBy {
    /// Reads the settings.
    pub(crate) fn check(arguments: &OrderingArguments) -> Result<Self, OrderingError> {
        let OrderingArguments {
            ordering,
            kafka_brokers,
            kafka_config,
            kafka_replicas,
        } = arguments;
        if *ordering == OrderingKind::Embedded {
            // Who says how to reach brokers means them.
            return match (kafka_brokers, kafka_config, kafka_replicas) {
                (None, None, None) => Ok(Self::Embedded),
                (Some(_), ..) => Err(OrderingError::NotKafka("brokers")),
                (_, Some(_), _) => Err(OrderingError::NotKafka("config")),
                (.., Some(_)) => Err(OrderingError::NotKafka("replicas")),
            };
        }
        let brokers = kafka_brokers.as_deref().ok_or(OrderingError::NoBrokers)?;
        let properties = match kafka_config {
            Some(path) => fs::read_to_string(path).map_err(|source| OrderingError::Read {
                path: path.display().to_string(),
                source,
            })?,
            None => String::new(),
        };
        Ok(Self::Kafka(Cluster::new(
            brokers,
            &properties,
            *kafka_replicas,
        )?))
    }

    pub(super) fn is_kafka(&self) -> bool {
        matches!(self, Self::Kafka(_))
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
        }
    }
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
