//! The registry as it stands on disk.
//!
//! ```text
//! 1f0c8a3e {"quireCa":1}                               what the file is
//! 9be2d1b0 [{"affiliation":"org1"}]                    what there was when the file was last replaced
//! a0d0c1f3 []                                          its end
//! 40a7ee51 [{"identity":{"name":"admin", ...}}, ...]   and one line a request: the changes it made
//! ```
//!
//! Each line begins with the CRC32C of its JSON. Lines are only appended, one at a time, and each is
//! synced before the next is written: a crash leaves one damaged line at the end at most, of a request
//! that nobody was told of. One that sound lines follow was acknowledged, and the file is refused.

use std::path::Path;

use serde::Deserialize;

use super::state::{Change, State};
use crate::error::{ChangeError, OpenRegistryError};

/// The version of this format.
const VERSION: u64 = 1;

/// The longest line: more than one request can change.
pub(super) const MAX_LINE_BYTES: usize = 32 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Header {
    quire_ca: u64,
}

/// What was read of a file.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) state: State,
    /// Bytes at its end that were never acknowledged.
    pub(super) torn_bytes: usize,
}

/// Reads the whole of a file.
pub(super) fn parse(path: &Path, content: &[u8]) -> Result<Read, OpenRegistryError> {
    let mut lines = content.split(|byte| *byte == b'\n').enumerate();
    let not_ours = || OpenRegistryError::NotARegistry(path.to_owned());
    let (_, first) = lines.next().ok_or_else(not_ours)?;
    let header: Header = checked(first).ok_or_else(not_ours)?;
    if header.quire_ca != VERSION {
        return Err(OpenRegistryError::Version {
            path: path.to_owned(),
            found: header.quire_ca,
        });
    }
    let mut state = State::default();
    let mut damaged: Option<(usize, usize)> = None;
    let mut at = first.len() + 1;
    let refused = |line: usize| OpenRegistryError::Damaged {
        path: path.to_owned(),
        line: line + 1,
    };
    for (index, line) in lines {
        match checked::<Vec<Change>>(line) {
            Some(_) if let Some((line, _)) = damaged => return Err(refused(line)),
            Some(changes) => changes.into_iter().for_each(|change| state.apply(change)),
            // What stands behind the last line's end.
            None if line.is_empty() && at >= content.len() => {}
            None if ends_with_a_sound_line(line) => return Err(refused(index)),
            None => damaged = damaged.or(Some((index, at))),
        }
        at += line.len() + 1;
    }
    let torn_bytes = damaged.map_or(0, |(_, at)| content.len().saturating_sub(at));
    Ok(Read { state, torn_bytes })
}

/// Whether the end of the line before is what was damaged.
fn ends_with_a_sound_line(line: &[u8]) -> bool {
    let spaces = line.iter().enumerate();
    let spaces = spaces.filter(|(_, byte)| **byte == b' ');
    let begins = spaces.filter_map(|(space, _)| space.checked_sub(8));
    let mut ends = begins.filter_map(|begin| line.get(begin..));
    ends.any(|end| checked::<Vec<Change>>(end).is_some())
}

/// The JSON of a line whose checksum is right.
fn checked<T: for<'de> Deserialize<'de>>(line: &[u8]) -> Option<T> {
    let (checksum, json) = line.split_at_checked(9)?;
    let mut expected = [0; 4];
    hex::decode_to_slice(checksum.strip_suffix(b" ")?, &mut expected).ok()?;
    if crc_fast::crc32_iscsi(json) != u32::from_be_bytes(expected) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// A line of changes, with its end.
pub(super) fn line(changes: &[Change]) -> Result<Vec<u8>, ChangeError> {
    let json = serde_json::to_string(changes).map_err(|_| ChangeError::TooLarge)?;
    if json.len() > MAX_LINE_BYTES {
        return Err(ChangeError::TooLarge);
    }
    Ok(sealed(&json))
}

/// A whole file that says all that `state` holds.
pub(super) fn snapshot(state: &State) -> Result<Vec<u8>, ChangeError> {
    let mut content = sealed(&format!("{{\"quireCa\":{VERSION}}}"));
    for change in state.changes() {
        content.extend(line(&[change])?);
    }
    // It appears whole, so what comes before its end was acknowledged.
    content.extend(line(&[])?);
    Ok(content)
}

fn sealed(json: &str) -> Vec<u8> {
    let checksum = crc_fast::crc32_iscsi(json.as_bytes());
    format!("{checksum:08x} {json}\n").into_bytes()
}
