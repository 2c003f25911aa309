//! A channel's topic: it is made where it is missing, and whether it can be the channel's is looked at before anything
//! of it counts.

use quire_ordering::kafka::Tip;
use quire_wire::kafka::{KafkaMessage, Kind};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

use crate::cluster::{ANSWER, Cluster, MESSAGE_BYTES};
use crate::reader::{Reader, Unreadable};

/// Most brokers that hold a topic, if nobody says how many.
const REPLICAS: usize = 3;

/// The place where a channel goes on in its topic.
#[derive(Debug)]
pub(crate) struct Place {
    /// The next message is at this offset, or the first one after it.
    pub(crate) next: i64,
    /// The offset after the last message that there was when this was asked.
    pub(crate) end: i64,
    /// The message with which the newest block ends, if that was made from the topic.
    pub(crate) last: Option<KafkaMessage>,
}

/// Finds the place where a channel goes on in its topic, and has `reader` read from there. Waits for the brokers.
///
/// # Errors
/// See [`Unreadable`].
pub(crate) fn begin(
    cluster: &Cluster,
    reader: &mut Reader,
    topic: &str,
    tip: &Tip,
) -> Result<Place, Unreadable> {
    if let Found::Missing { brokers } = partitions(reader, topic)? {
        if let Some(metadata) = tip.metadata {
            return Err(Unreadable::Missing(format!(
                "the brokers have no topic {topic}, but block {} ends with its offset {}",
                tip.number, metadata.last_offset_persisted
            )));
        }
        create(cluster, topic, brokers)?;
    }
    let (low, high) = reader.watermarks()?;
    let Some(metadata) = tip.metadata else {
        if low > 0 {
            return Err(deleted(topic, low, 0));
        }
        reader.read_from(0)?;
        return Ok(Place {
            next: 0,
            end: high,
            last: None,
        });
    };
    let last = metadata.last_offset_persisted;
    if last >= high {
        return Err(Unreadable::Wrong(format!(
            "topic {topic} ends at offset {high}, but block {} ends with offset {last}: the topic was made anew, or \
             lost what it held",
            tip.number
        )));
    }
    let first = tip.before.map_or(low, |before| before.saturating_add(1));
    if first < low {
        return Err(deleted(topic, low, first));
    }
    reader.read_from(first)?;
    let message = holds_tip(reader, topic, tip, last)?;
    let next = last.saturating_add(1);
    reader.read_from(next)?;
    Ok(Place {
        next,
        end: high,
        last: Some(message),
    })
}

enum Found {
    One,
    Missing { brokers: usize },
}

fn partitions(reader: &Reader, topic: &str) -> Result<Found, Unreadable> {
    let metadata = reader.metadata()?;
    let brokers = metadata.brokers().len();
    let found = metadata.topics().first();
    let error = found.and_then(rdkafka::metadata::MetadataTopic::error);
    let partitions = found.map_or(0, |found| found.partitions().len());
    match error {
        Some(
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
        ) => Ok(Found::Missing { brokers }),
        Some(error) => {
            let error = RDKafkaErrorCode::from(error);
            Err(Unreadable::Away(format!("topic {topic}: {error}")))
        }
        None if partitions == 1 => Ok(Found::One),
        None => Err(Unreadable::Wrong(format!(
            "topic {topic} has {partitions} partitions: the order of a channel is that of one"
        ))),
    }
}

fn create(cluster: &Cluster, topic: &str, brokers: usize) -> Result<(), Unreadable> {
    let away = |error: String| Unreadable::Away(format!("topic {topic} cannot be made: {error}"));
    let admin: AdminClient<DefaultClientContext> = cluster
        .producer()
        .create()
        .map_err(|error| away(error.to_string()))?;
    let usual = i32::try_from(brokers.min(REPLICAS)).unwrap_or(1);
    let replicas = cluster.replicas.unwrap_or(usual);
    // With three replicas, one broker may fail and nothing is lost or stops.
    let in_sync = if replicas >= 3 { "2" } else { "1" };
    let largest = MESSAGE_BYTES.to_string();
    let new = NewTopic::new(topic, 1, TopicReplication::Fixed(replicas))
        .set("cleanup.policy", "delete")
        .set("retention.ms", "-1")
        .set("retention.bytes", "-1")
        .set("unclean.leader.election.enable", "false")
        .set("min.insync.replicas", in_sync)
        .set("max.message.bytes", &largest);
    let options = AdminOptions::new()
        .request_timeout(Some(ANSWER))
        .operation_timeout(Some(ANSWER));
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| away(error.to_string()))?;
    let made = runtime.block_on(admin.create_topics([&new], &options));
    let made = made.map_err(|error| away(error.to_string()))?;
    match made.into_iter().next() {
        Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => {
            Err(away(code.to_string()))
        }
        _ => {
            tracing::info!(topic, replicas, "the topic was made");
            Ok(())
        }
    }
}

fn deleted(topic: &str, low: i64, first: i64) -> Unreadable {
    Unreadable::Wrong(format!(
        "topic {topic} begins at offset {low}, and the channel goes on at offset {first}: what was between them is \
         deleted. The topic must keep everything (retention.ms and retention.bytes of -1)"
    ))
}

/// Reads the messages of the newest block, up to the offset `last`. They must hold its envelopes: otherwise the topic
/// is another one of the same name. Returns the message at `last`.
fn holds_tip(
    reader: &mut Reader,
    topic: &str,
    tip: &Tip,
    last: i64,
) -> Result<KafkaMessage, Unreadable> {
    let mut expected = tip.envelopes.iter().peekable();
    let mut newest = KafkaMessage::default();
    loop {
        let Some((offset, message)) = reader.poll(ANSWER)? else {
            let reason = format!("the messages of block {} are not answered", tip.number);
            return Err(Unreadable::Away(reason));
        };
        if offset > last {
            break;
        }
        if let Some(Kind::Regular(regular)) = &message.kind {
            expected.next_if(|envelope| **envelope == regular.payload);
        }
        if offset == last {
            newest = message;
            break;
        }
    }
    if expected.peek().is_some() {
        return Err(Unreadable::Wrong(format!(
            "topic {topic} does not hold the transactions of block {} where the block says: it is not the topic that \
             the channel was made of",
            tip.number
        )));
    }
    Ok(newest)
}
