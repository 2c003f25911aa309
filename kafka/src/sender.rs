//! Puts messages at the end of the log, and hears what became of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;
use quire_wire::Message as _;
use quire_wire::kafka::{KafkaMessage, KafkaMessageConnect, Kind};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};

use crate::client::{is_away, log};
use crate::cluster::{Cluster, ClusterError};
use crate::mine::Mine;
use crate::status::Status;

/// How long a node that stops waits for the brokers to take what is on its way.
const FLUSH: Duration = Duration::from_secs(2);

/// The end of a channel's log.
pub(crate) struct Sender<T: Send + 'static> {
    topic: String,
    cluster: Cluster,
    status: Arc<Status>,
    mine: Arc<Mine<T>>,
    producer: RwLock<ThreadedProducer<Reports<T>>>,
}

impl<T: Send + 'static> std::fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// Why a message is not on its way.
#[derive(Debug)]
pub(crate) enum NotSent {
    /// Too many wait.
    Full,
    /// The client refuses it.
    Refused(String),
}

/// Hears what became of messages.
struct Reports<T> {
    status: Arc<Status>,
    mine: Arc<Mine<T>>,
}

/// What a message carries with it: its envelope, if it has one.
type Carried = Box<Option<Bytes>>;

impl<T: Send + 'static> ClientContext for Reports<T> {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        log(level, fac, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.status.set_fatal(reason);
        } else if is_away(&error) {
            self.status.in_trouble(reason);
        }
    }
}

impl<T: Send + 'static> ProducerContext for Reports<T> {
    type DeliveryOpaque = Carried;

    fn delivery(&self, result: &DeliveryResult<'_>, carried: Carried) {
        match result {
            Ok(_) => self.status.well(),
            Err((error, _)) => {
                if let Some(envelope) = *carried {
                    self.mine.lose(&envelope);
                }
                let code = error.rdkafka_error_code();
                if code == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
                    tracing::error!(
                        "a transaction is larger than the topic takes (max.message.bytes)"
                    );
                } else {
                    self.status
                        .in_trouble(&format!("a message was not taken: {error}"));
                }
            }
        }
    }
}

impl<T: Send + 'static> Sender<T> {
    pub(crate) fn new(
        cluster: &Cluster,
        topic: &str,
        status: &Arc<Status>,
        mine: &Arc<Mine<T>>,
    ) -> Result<Self, ClusterError> {
        Ok(Self {
            topic: topic.to_owned(),
            producer: RwLock::new(producer(cluster, status, mine)?),
            cluster: cluster.clone(),
            status: Arc::clone(status),
            mine: Arc::clone(mine),
        })
    }

    /// Makes the client anew. What was on its way is lost, as far as can be told.
    pub(crate) fn renew(&self) {
        match producer(&self.cluster, &self.status, &self.mine) {
            Ok(new) => {
                let old = std::mem::replace(&mut *self.producer.write(), new);
                drop(old);
                self.mine.lose_all();
            }
            Err(error) => self.status.set_fatal(&error.to_string()),
        }
    }

    /// Puts a message at the end of the log, and returns at once. `envelope` is the one in it, if it is this node's.
    pub(crate) fn send(
        &self,
        message: &KafkaMessage,
        envelope: Option<Bytes>,
    ) -> Result<(), NotSent> {
        let payload = message.encode_to_vec();
        let record = BaseRecord::<[u8], _, _>::with_opaque_to(&self.topic, Box::new(envelope));
        let record = record.partition(0).payload(&payload);
        self.producer.read().send(record).map_err(|(error, _)| {
            if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) {
                NotSent::Full
            } else {
                let reason = error.to_string();
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::MessageSizeTooLarge) {
                    self.status.in_trouble(&reason);
                }
                NotSent::Refused(reason)
            }
        })
    }

    /// Says that this node is there, and of which network it is.
    pub(crate) fn connect(&self, network: Bytes) {
        let kind = Kind::Connect(KafkaMessageConnect { payload: network });
        let message = KafkaMessage { kind: Some(kind) };
        if let Err(error) = self.send(&message, None) {
            tracing::debug!(?error, "a message to connect was not sent");
        }
    }

    /// Waits a moment until the brokers have taken what is on its way.
    pub(crate) fn flush(&self) {
        if let Err(error) = self.producer.read().flush(FLUSH) {
            tracing::warn!(%error, "messages to the brokers are still on their way");
        }
    }
}

fn producer<T: Send + 'static>(
    cluster: &Cluster,
    status: &Arc<Status>,
    mine: &Arc<Mine<T>>,
) -> Result<ThreadedProducer<Reports<T>>, ClusterError> {
    let reports = Reports {
        status: Arc::clone(status),
        mine: Arc::clone(mine),
    };
    Ok(cluster.producer().create_with_context(reports)?)
}
