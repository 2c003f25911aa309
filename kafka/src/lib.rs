//! The order of a channel in a topic of Apache Kafka, which every node of the channel reads.
//!
//! ```text
//! envelopes --> Order     puts them at the end of the topic; this node's own are remembered
//!           --> Brokers   one topic a channel, one partition, every write on all replicas in sync
//!           --> Log       reads the topic from the place that the newest block names
//!           --> Replay    what the messages mean: the same blocks on every node (quire_ordering)
//! ```
//!
//! A node that has nothing else to do asks for the next block at once, if transactions of its own wait: a lone request
//! does not wait for a timer. Brokers that cannot be reached are waited for; a log that cannot be the channel's is
//! told, and nothing is ordered any more.

mod client;
mod cluster;
mod log;
mod mine;
mod order;
mod progress;
mod reader;
mod sender;
mod status;
mod topic;

use std::fmt;
use std::sync::Arc;

use quire_ordering::kafka::Start;

pub use cluster::{Cluster, ClusterError};
pub use log::Log;
pub use order::Order;
pub use status::{LogObserver, Unobserved};

/// A way into the order of a channel, and the way out of it. No broker is asked yet.
///
/// # Errors
/// The settings cannot be used.
pub fn order<T: Send + fmt::Debug + 'static>(
    cluster: &Cluster,
    start: Start<T>,
    observer: Arc<dyn LogObserver>,
) -> Result<(Order<T>, Log<T>), ClusterError> {
    let status = Arc::new(status::Status::new(observer));
    let mine = Arc::new(mine::Mine::new(
        start.envelopes,
        start.bytes,
        Arc::clone(&start.queue),
    ));
    let sender = sender::Sender::new(cluster, &start.channel, &status, &mine)?;
    let sender = Arc::new(sender);
    let order = Order::new(Arc::clone(&sender), Arc::clone(&status), Arc::clone(&mine));
    let log = Log::new(cluster, start, sender, status, mine)?;
    Ok((order, log))
}
