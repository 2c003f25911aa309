//! The arguments of a tool.

use std::ffi::OsString;

use clap::Parser;

use crate::streams::{DONE, Streams};

/// The parsed arguments, or the status to exit with, where help was asked for or the arguments are wrong.
pub(crate) fn parse<Arguments: Parser>(
    tool: &str,
    arguments: impl IntoIterator<Item = OsString>,
    wrong: u8,
    streams: &mut Streams<'_>,
) -> Result<Arguments, u8> {
    let named = std::iter::once(OsString::from(tool)).chain(arguments);
    Arguments::try_parse_from(named).map_err(|error| {
        let text = error.render().to_string();
        let (stream, status) = if error.use_stderr() {
            (&mut streams.errors, wrong)
        } else {
            (&mut streams.output, DONE)
        };
        match stream.write_all(text.as_bytes()) {
            Ok(()) => status,
            Err(_) => wrong,
        }
    })
}
