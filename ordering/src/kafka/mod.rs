//! The order of many orderers: a topic of Apache Kafka with one partition, which all of them read.

mod replay;

pub use replay::{Disorder, Replay, Rules, Step};
