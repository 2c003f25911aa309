//! Why a channel is not opened, and how it may end.

use quire_chaincode::lifecycle::LifecycleError;

use crate::config::ConfigError;

/// Why a channel does not take transactions.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its configuration cannot be used.
    #[error("the configuration of channel {channel} cannot be used")]
    Config {
        /// The channel.
        channel: String,
        /// What is wrong with it.
        source: ConfigError,
    },
    /// Its definitions of chaincodes cannot be read.
    #[error("the definitions of chaincodes of channel {channel} cannot be read")]
    Definitions {
        /// The channel.
        channel: String,
        /// The cause.
        source: Box<LifecycleError>,
    },
    /// A topic of Kafka orders it. Blocks that this node would make alone would not be those of the other nodes.
    #[error("channel {channel} is ordered by a topic of Kafka: {reason}")]
    InTopic {
        /// The channel.
        channel: String,
        /// How that is known.
        reason: String,
    },
    /// Others make its blocks. Blocks that this node would make would be another chain.
    #[error("the orderers of channel {channel} are others: {reason}")]
    Elsewhere {
        /// The channel.
        channel: String,
        /// How that is known.
        reason: String,
    },
    /// Its orderers are said to be elsewhere, and nobody says where.
    #[error(
        "the configuration of channel {channel} names no orderers: no organisation that orders has Endpoints, and the \
         channel has no OrdererAddresses"
    )]
    NoOrderers {
        /// The channel.
        channel: String,
    },
    /// There is no way to its order.
    #[error("the order of channel {channel} cannot be used: {reason}")]
    Order {
        /// The channel.
        channel: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system cannot start a thread.
    #[error("no thread can be started for channel {channel}")]
    Thread {
        /// The channel.
        channel: String,
        /// The cause.
        source: std::io::Error,
    },
}

/// The committing thread of a channel panicked. Its own message is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the committing thread panicked")]
pub struct CommitterPanicked;
