//! How streams fail.

use tokio::sync::watch;
use tonic::Status;

/// What Go's decoder says of bytes that are no message.
pub(crate) const GARBAGE: &str = "proto: cannot parse invalid wire-format data";

/// A message that cannot be read, in the words of grpc-go.
pub(crate) fn unreadable() -> Status {
    Status::internal(format!(
        "grpc: failed to unmarshal the received message: {GARBAGE}"
    ))
}

/// The node stops.
pub(crate) fn stopped() -> Status {
    Status::unavailable("the node stops")
}

/// Ready when the node stops.
pub(crate) async fn stops(stopping: &mut watch::Receiver<bool>) {
    // If nobody is left who could say so, it has stopped.
    drop(stopping.wait_for(|stopping| *stopping).await);
}
