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

/// The arguments with two dashes where a long flag has one, as Go's tools take them.
pub(crate) fn with_double_dashes(
    arguments: impl IntoIterator<Item = OsString>,
) -> impl Iterator<Item = OsString> {
    arguments.into_iter().map(|argument| {
        let text = argument.to_string_lossy();
        let flag = text.strip_prefix('-').filter(|flag| {
            let name = flag.split('=').next().unwrap_or_default();
            name.len() > 1 && name.starts_with(|letter: char| letter.is_ascii_alphabetic())
        });
        match flag {
            Some(_) => {
                let mut double = OsString::from("-");
                double.push(&argument);
                double
            }
            None => argument.clone(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_dash_is_as_good_as_two_before_a_long_flag() {
        let given = [
            "-profile",
            "One",
            "-channelID=x",
            "--asOrg",
            "-h",
            "-",
            "-1",
        ];
        let doubled: Vec<_> = with_double_dashes(given.map(OsString::from)).collect();
        let expected = [
            "--profile",
            "One",
            "--channelID=x",
            "--asOrg",
            "-h",
            "-",
            "-1",
        ];
        assert_eq!(doubled, expected);
    }
}
