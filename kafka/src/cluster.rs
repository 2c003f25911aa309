//! The brokers, and how to reach them.

use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

/// How long a broker may take for an answer.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);
/// How long a node waits for the first answer of a cluster: it may be told to stop meanwhile.
pub(crate) const FIRST_ANSWER: Duration = Duration::from_secs(3);
/// How long a message may be on its way before it counts as lost.
const MESSAGE_TIMEOUT_MS: &str = "30000";
/// Most bytes of one message: a transaction fits in a block file, which has 64 MiB.
pub(crate) const MESSAGE_BYTES: u32 = 64 << 20;

/// Properties that decide what the log means, or what this crate does. Nobody changes them.
const OURS: [&str; 27] = [
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "check.crcs",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "fetch.error.backoff.ms",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.id",
    "isolation.level",
    "linger.ms",
    "message.max.bytes",
    "message.timeout.ms",
    "metadata.broker.list",
    "plugin.library.paths",
    "queue.buffering.max.ms",
    "queued.max.messages.kbytes",
    "receive.message.max.bytes",
    "request.required.acks",
    "request.timeout.ms",
    "socket.timeout.ms",
    "transactional.id",
];

/// Brokers of Apache Kafka, and how to reach them.
#[derive(Clone)]
pub struct Cluster {
    brokers: String,
    properties: Vec<(String, String)>,
    /// How many brokers hold a topic that is made here; as many as there are, and three at most, if nobody says.
    pub(crate) replicas: Option<i32>,
}

// The properties hold passwords.
impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.properties.iter().map(|(name, _)| name).collect();
        f.debug_struct("Cluster")
            .field("brokers", &self.brokers)
            .field("properties", &names)
            .field("replicas", &self.replicas)
            .finish()
    }
}

/// Why the brokers cannot be used. The operator corrects the settings.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A property that decides what the log means.
    #[error("the property {0:?} is not for settings: what the log means depends on it")]
    Ours(String),
    /// A line of the file of properties is no property.
    #[error("line {0} is not NAME=VALUE")]
    Line(usize),
    /// The client does not know a property, or not this value of it, which may be a password and is not told.
    #[error("the property {name:?} is not known here, or cannot have this value: {reason}")]
    Property {
        /// Its name.
        name: String,
        /// What the client says.
        reason: String,
    },
    /// The client refuses the settings.
    #[error("the settings cannot be used: {0}")]
    Client(String),
}

impl From<KafkaError> for ClusterError {
    fn from(error: KafkaError) -> Self {
        match error {
            KafkaError::ClientConfig(_, reason, name, _) => {
                // The library's reason quotes the value.
                let reason = reason
                    .split('"')
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .to_owned();
                Self::Property { name, reason }
            }
            KafkaError::ClientCreation(reason) => Self::Client(reason),
            other => Self::Client(other.to_string()),
        }
    }
}

impl Cluster {
    /// The brokers to begin with.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// `brokers` is a list of `host:port`, separated by commas. `properties` is a text of lines `name=value`, with the
    /// names of librdkafka's configuration, such as `security.protocol` and `sasl.username`; lines that begin with `#`,
    /// and empty ones, say nothing. `replicas` brokers hold a topic that is made here.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub fn new(
        brokers: &str,
        properties: &str,
        replicas: Option<i32>,
    ) -> Result<Self, ClusterError> {
        let mut read = Vec::new();
        for (place, line) in properties.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) = line
                .split_once('=')
                .ok_or(ClusterError::Line(place.saturating_add(1)))?;
            let name = name.trim();
            if OURS.contains(&name) {
                return Err(ClusterError::Ours(name.to_owned()));
            }
            read.push((name.to_owned(), value.trim().to_owned()));
        }
        let cluster = Self {
            brokers: brokers.to_owned(),
            properties: read,
            replicas,
        };
        // A name or a value that the client does not know is told now, and not when a channel is opened.
        cluster.client().create_native_config()?;
        Ok(cluster)
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("client.id", "quire")
            .set("socket.timeout.ms", ANSWER.as_millis().to_string())
            .set("reconnect.backoff.max.ms", "1000")
            .set("log.connection.close", "false");
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// For what writes: every message is on all replicas in sync, once and in order, or reported as lost.
    pub(crate) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("message.timeout.ms", MESSAGE_TIMEOUT_MS)
            .set("request.timeout.ms", ANSWER.as_millis().to_string())
            .set("message.max.bytes", MESSAGE_BYTES.to_string());
        config
    }

    /// For what reads, from a place that the channel knows: nothing is kept in the brokers.
    pub(crate) fn consumer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", "quire")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_uncommitted")
            .set("check.crcs", "true")
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.queue.backoff.ms", "10")
            .set("fetch.wait.max.ms", "500")
            .set("fetch.error.backoff.ms", "200")
            .set("message.max.bytes", MESSAGE_BYTES.to_string())
            .set("receive.message.max.bytes", "134217728");
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_that_the_order_depends_on_are_refused() {
        for name in OURS {
            let refused = Cluster::new("127.0.0.1:1", &format!("{name}=1"), None);
            assert!(matches!(refused, Err(ClusterError::Ours(it)) if it == name));
        }
        let text = "# the company's\n\n sasl.username = quire \nsasl.password=a=b#c\n";
        let cluster = Cluster::new("127.0.0.1:1", text, Some(3)).unwrap();
        let password = ("sasl.password".to_owned(), "a=b#c".to_owned());
        assert!(cluster.properties.contains(&password));
        assert!(!format!("{cluster:?}").contains("a=b#c"));
        let line = Cluster::new("127.0.0.1:1", "sasl.username=a\nsasl.password", None);
        assert!(matches!(line, Err(ClusterError::Line(2))));
    }

    #[test]
    fn a_property_that_is_not_known_is_told_without_its_value() {
        for text in ["sasl.pasword=of nodes", "security.protocol=of nodes"] {
            let error = Cluster::new("127.0.0.1:1", text, None).unwrap_err();
            let told = error.to_string();
            assert!(matches!(error, ClusterError::Property { .. }), "{told}");
            assert!(!told.contains("of nodes"), "{told}");
        }
    }
}
