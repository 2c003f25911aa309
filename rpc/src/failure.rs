//! How streams fail.

use bytes::Bytes;
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

/// Bytes of a text in a status, at most: it goes into the head of an answer, percent-encoded.
const TEXT_BYTES: usize = 2048;

/// The beginning of a text, as long as a status may have it.
pub(crate) fn cut(text: &str) -> &str {
    let ends = text.char_indices().map(|(at, one)| at + one.len_utf8());
    let end = ends.take_while(|end| *end <= TEXT_BYTES).last();
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// The same status with a text that is not too long. Its details stay.
pub(crate) fn capped(status: Status) -> Status {
    let text = status.message();
    if text.len() <= TEXT_BYTES {
        return status;
    }
    let details = Bytes::copy_from_slice(status.details());
    Status::with_details(status.code(), cut(text), details)
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_the_details_stay() {
        let details = Bytes::from_static(b"details");
        let long = "\u{e9}".repeat(TEXT_BYTES);
        let status = capped(Status::with_details(
            Code::Aborted,
            format!("a{long}"),
            details,
        ));
        assert_eq!(status.code(), Code::Aborted);
        assert_eq!(status.message().len(), TEXT_BYTES - 1);
        assert_eq!(status.details(), b"details");
        assert_eq!(cut("short"), "short");
    }
}
