//! Where a verb's answer goes: a file, or standard output.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use crate::exit::failed;

/// Writes the bytes to the file, or to standard output where none is named, or `-`.
pub(crate) fn put_out(file: Option<&Path>, bytes: &[u8]) -> ExitCode {
    let written = match file.filter(|file| file.as_os_str() != "-") {
        Some(file) => std::fs::write(file, bytes),
        None => io::stdout().lock().write_all(bytes),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, None),
    }
}
