//! The version of a file's form, which is read before anything else in it.

use std::path::Path;

use serde::Deserialize;

use crate::error::OpenError;

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Makes sure that no newer release wrote a JSON file, whose `newest` form is this release's. What is wrong with it otherwise
/// is found when it is read whole.
pub(crate) fn check_version(file: &Path, content: &[u8], newest: u32) -> Result<(), OpenError> {
    match serde_json::from_slice(content) {
        Ok(Versioned { version }) if version > newest => Err(OpenError::Newer {
            file: file.to_owned(),
            version,
            newest,
        }),
        _ => Ok(()),
    }
}
