//! Who decides the order of transactions.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What says who orders, and how to reach it.
#[derive(Clone, Debug, Args)]
pub(crate) struct OrderingArguments {
    /// Who decides the order of transactions: `embedded`, this node alone, or `kafka`, a topic of Apache Kafka for each
    /// channel, with all nodes that have the channel.
    #[arg(
        long,
        value_name = "KIND",
        env = "QUIRE_ORDERING",
        default_value = "embedded"
    )]
    pub(crate) ordering: OrderingKind,
    /// The brokers to begin with, `HOST:PORT`, separated by commas.
    #[arg(long, value_name = "LIST", env = "QUIRE_KAFKA_BROKERS")]
    pub(crate) kafka_brokers: Option<String>,
    /// The file of how to reach them, such as TLS and passwords: lines `NAME=VALUE` with the names of librdkafka.
    #[arg(long, value_name = "FILE", env = "QUIRE_KAFKA_CONFIG")]
    pub(crate) kafka_config: Option<PathBuf>,
    /// How many brokers hold a topic that the node makes; without it, all, and three at most.
    #[arg(
        long,
        value_name = "N",
        env = "QUIRE_KAFKA_REPLICAS",
        value_parser = clap::value_parser!(i32).range(1..)
    )]
    pub(crate) kafka_replicas: Option<i32>,
}

/// Who decides the order of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OrderingKind {
    /// This node alone.
    Embedded,
    /// A topic of Apache Kafka.
    Kafka,
}
