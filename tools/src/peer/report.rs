//! What a verb prints: results on standard output, and beside them lines as Fabric logs them.

use std::fmt::Arguments;
use std::time::SystemTime;

use time::OffsetDateTime;
use time::macros::format_description;

use super::error::PeerError;
use crate::streams::Streams;

/// The modules that Fabric's logs name.
pub(super) const CHAINCODE: &str = "chaincodeCmd";
pub(super) const CHANNEL: &str = "channelCmd";
pub(super) const LIFECYCLE: &str = "cli.lifecycle.chaincode";

/// The streams, and how many lines were logged.
pub(super) struct Report<'a, 's> {
    streams: &'a mut Streams<'s>,
    now: SystemTime,
    lines: u32,
}

impl<'a, 's> Report<'a, 's> {
    pub(super) fn new(streams: &'a mut Streams<'s>, now: SystemTime) -> Self {
        Self {
            streams,
            now,
            lines: 0,
        }
    }

    /// A result, as it is.
    pub(super) fn print(&mut self, text: Arguments<'_>) -> Result<(), PeerError> {
        Ok(self.streams.output.write_fmt(text)?)
    }

    /// A result of any bytes, with the end of a line.
    pub(super) fn print_bytes(&mut self, bytes: &[u8]) -> Result<(), PeerError> {
        self.streams.output.write_all(bytes)?;
        Ok(self.streams.output.write_all(b"\n")?)
    }

    /// A line on standard error. Scripts look for the message; the rest is Fabric's form without its colours.
    pub(super) fn log(&mut self, module: &str, function: &str, message: &str) {
        let form = format_description!(
            "[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3] UTC"
        );
        let time = OffsetDateTime::from(self.now).format(form);
        let time = time.unwrap_or_default();
        self.lines += 1;
        let line = self.lines;
        self.streams.tell(&format!(
            "{time} {line:04x} INFO [{module}] {function} -> {message}"
        ));
    }
}
