//! The order of many orderers: a topic of Apache Kafka with one partition, which all of them read.

mod replay;
mod start;

pub use replay::{Disorder, Replay, Rules, Step};
pub use start::{Ends, Start, Tip, Topics};
