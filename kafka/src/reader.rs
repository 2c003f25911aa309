//! Reads a channel's topic from a place on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quire_wire::Message as _;
use quire_wire::kafka::KafkaMessage;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::metadata::Metadata;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use crate::client::{is_away, log};
use crate::cluster::{Cluster, ClusterError, FIRST_ANSWER};
use crate::status::Status;

/// The one partition of a topic.
const PARTITION: i32 = 0;

/// Why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// The brokers do not answer as they should. It is tried again.
    #[error("{0}")]
    Away(String),
    /// The topic is not there. A broker that has just started may say so for a moment.
    #[error("{0}")]
    Missing(String),
    /// The log cannot be the channel's, or not any more.
    #[error("{0}")]
    Wrong(String),
}

/// Reads a topic.
pub(crate) struct Reader {
    topic: String,
    consumer: BaseConsumer<Context>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

struct Context {
    status: Arc<Status>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        log(level, fac, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if is_away(&error) {
            self.status.in_trouble(reason);
        }
    }
}

impl ConsumerContext for Context {}

impl Reader {
    pub(crate) fn new(
        cluster: &Cluster,
        topic: &str,
        status: &Arc<Status>,
    ) -> Result<Self, ClusterError> {
        let context = Context {
            status: Arc::clone(status),
        };
        Ok(Self {
            topic: topic.to_owned(),
            consumer: cluster.consumer().create_with_context(context)?,
        })
    }

    pub(crate) fn metadata(&self) -> Result<Metadata, Unreadable> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(&self.topic), FIRST_ANSWER);
        metadata.map_err(|error| Unreadable::Away(error.to_string()))
    }

    /// The first offset that is kept, and the one after the last.
    pub(crate) fn watermarks(&self) -> Result<(i64, i64), Unreadable> {
        let marks = self
            .consumer
            .fetch_watermarks(&self.topic, PARTITION, FIRST_ANSWER);
        marks.map_err(|error| Unreadable::Away(error.to_string()))
    }

    /// The next message is the one at `offset`, or the first one after it.
    pub(crate) fn read_from(&mut self, offset: i64) -> Result<(), Unreadable> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, PARTITION, Offset::Offset(offset))
            .and_then(|()| self.consumer.assign(&list))
            .map_err(|error| Unreadable::Away(error.to_string()))
    }

    /// The next message, if one comes in time. A message that nobody can read means nothing to anybody.
    pub(crate) fn poll(
        &mut self,
        wait: Duration,
    ) -> Result<Option<(i64, KafkaMessage)>, Unreadable> {
        match self.consumer.poll(wait) {
            None => Ok(None),
            Some(Ok(message)) => {
                let bytes = Bytes::copy_from_slice(message.payload().unwrap_or_default());
                let offset = message.offset();
                let message = KafkaMessage::decode(bytes).unwrap_or_else(|error| {
                    tracing::warn!(offset, %error, "a message of the order's log cannot be read");
                    KafkaMessage::default()
                });
                Ok(Some((offset, message)))
            }
            Some(Err(error)) => self.failed(&error).map(|()| None),
        }
    }

    fn failed(&self, error: &KafkaError) -> Result<(), Unreadable> {
        let topic = &self.topic;
        let wrong = |what: &str| Err(Unreadable::Wrong(format!("topic {topic} {what}: {error}")));
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset) => {
                wrong("does not hold the next message any more")
            }
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition,
            ) => {
                let reason = format!("topic {topic} is not there any more: {error}");
                Err(Unreadable::Missing(reason))
            }
            Some(RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::InvalidMessage) => {
                wrong("is damaged")
            }
            _ if is_away(error) => Err(Unreadable::Away(error.to_string())),
            _ => {
                tracing::debug!(%error, "the order's log");
                Ok(())
            }
        }
    }
}
