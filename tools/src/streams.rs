//! Where a tool reads and writes.

use std::fmt::{Debug, Formatter};
use std::io::{Read, Write};

/// The standard streams of a process, or what a test puts in their place.
pub struct Streams<'a> {
    /// What the tool reads where no file is named.
    pub input: &'a mut dyn Read,
    /// Its results.
    pub output: &'a mut dyn Write,
    /// What it tells beside them.
    pub errors: &'a mut dyn Write,
}

impl Debug for Streams<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams").finish_non_exhaustive()
    }
}

/// The status of a tool that did what it was told.
pub(crate) const DONE: u8 = 0;

/// The status of a tool that did not.
pub(crate) const FAILED: u8 = 1;

impl Streams<'_> {
    /// Tells of a result: an error is printed as Fabric's tools print it.
    pub(crate) fn finish(&mut self, tool: &str, result: Result<(), impl std::fmt::Display>) -> u8 {
        match result {
            Ok(()) => DONE,
            Err(error) => {
                self.tell(&format!("{tool}: error: {error}"));
                FAILED
            }
        }
    }

    /// A line for people. Where nobody listens it is lost.
    pub(crate) fn tell(&mut self, line: &str) {
        if writeln!(self.errors, "{line}").is_err() {
            // There is nobody to tell.
        }
    }
}
