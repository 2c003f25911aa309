//! Who decides the order of transactions.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What says who orders, and how to reach it.
#[derive(Clone, Debug, Args)]
pub(crate) struct OrderingArguments {
    /// Who decides the order of transactions: `embedded`, this node alone; `kafka`, a topic of Apache Kafka for each
    /// channel, with all nodes that have the channel; or `remote`, orderers elsewhere, which the channel's configuration
    /// names: transactions go to them, and blocks come from them.
    #[arg(
        long,
        value_name = "KIND",
        env = "QUIRE_ORDERING",
        default_value = "embedded"
    )]
    pub(crate) ordering: OrderingKind,
    #[command(flatten)]
    pub(crate) kafka: KafkaArguments,
    #[command(flatten)]
    pub(crate) orderers: OrdererArguments,
}

/// How the brokers of Kafka are reached.
#[expect(
    clippy::struct_field_names,
    reason = "fields are named as their flags are"
)]
#[derive(Clone, Debug, Args)]
pub(crate) struct KafkaArguments {
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

/// How orderers elsewhere are reached.
#[derive(Clone, Debug, Args)]
pub(crate) struct OrdererArguments {
    /// Where an orderer is, in place of the address by which a channel's configuration names it: `NAMED=HOST:PORT`; may be
    /// repeated.
    #[arg(
        long,
        value_name = "NAMED=ADDR",
        env = "QUIRE_ORDERER_OVERRIDE",
        value_delimiter = ','
    )]
    pub(crate) orderer_override: Vec<String>,
    /// The authorities, PEM, that vouch for the orderers by TLS; without it, those that a channel's configuration names for
    /// each orderer's organisation.
    #[arg(long, value_name = "FILE", env = "QUIRE_ORDERER_CA")]
    pub(crate) orderer_ca: Option<PathBuf>,
    /// The certificate that this node shows to orderers which want one, PEM.
    #[arg(long, value_name = "FILE", env = "QUIRE_ORDERER_TLS_CERT")]
    pub(crate) orderer_tls_cert: Option<PathBuf>,
    /// The key of that certificate, PEM.
    #[arg(long, value_name = "FILE", env = "QUIRE_ORDERER_TLS_KEY")]
    pub(crate) orderer_tls_key: Option<PathBuf>,
    /// Speak with orderers without TLS: whoever is on the way reads what they order, and can hold it back. Blocks are
    /// verified all the same.
    #[arg(long, env = "QUIRE_INSECURE_PLAIN_ORDERERS")]
    pub(crate) insecure_plain_orderers: bool,
}

/// Who decides the order of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OrderingKind {
    /// This node alone.
    Embedded,
    /// A topic of Apache Kafka.
    Kafka,
    /// Orderers elsewhere.
    Remote,
}
