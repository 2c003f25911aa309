//! The tokens as they stand on disk.
//!
//! ```json
//! {"version": 1,
//!  "tokens": [{"id": "0a1b2c3d4e5f6071", "identity": "shop", "role": "writer",
//!              "channels": ["main"], "created": "2026-01-02T03:04:05Z",
//!              "expires": "2027-01-02T03:04:05Z", "secretSha256": "9f86..."}]}
//! ```
//!
//! No `channels` means all; no `expires`, never; no `secretSha256`, that the holder shows a client
//! certificate. Anything else than this is refused: a token that is misread could let somebody in.

use std::path::Path;
use std::sync::Arc;

use quire_disk::{Disk, read_file};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::secret::{SecretHash, is_id};
use super::{AccessRole, OpenTokensError, Proof, Table, Token, TokenFileError};
use crate::organization::is_identity_name;

const VERSION: u64 = 1;

/// More than [`super::MAX_TOKENS`] tokens of ordinary size need.
const MAX_FILE_BYTES: u64 = 64 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u64,
    tokens: Vec<Entry>,
}

/// What every version has.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    id: String,
    identity: String,
    role: AccessRole,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    channels: Vec<String>,
    created: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret_sha256: Option<String>,
}

pub(super) fn load(disk: &dyn Disk, path: &Path) -> Result<Table, OpenTokensError> {
    let content = read_file(disk, path, MAX_FILE_BYTES)?;
    parse(&content).map_err(|source| OpenTokensError::Damaged {
        path: path.to_owned(),
        source,
    })
}

pub(super) fn parse(content: &[u8]) -> Result<Table, TokenFileError> {
    let Versioned { version } = serde_json::from_slice(content)?;
    if version != VERSION {
        return Err(TokenFileError::Version(version));
    }
    let document: Document = serde_json::from_slice(content)?;
    let mut table = Table::new();
    for entry in document.tokens {
        let token = token(entry)?;
        if let Some(twice) = table.insert(Arc::clone(&token.id), Arc::new(token)) {
            return Err(TokenFileError::Twice(twice.id.to_string()));
        }
    }
    Ok(table)
}

pub(super) fn render(table: &Table) -> Result<Vec<u8>, serde_json::Error> {
    let tokens = table.values().map(|token| Entry {
        id: token.id.to_string(),
        identity: token.identity.clone(),
        role: token.role,
        channels: token.channels.clone(),
        created: rfc3339(token.created),
        expires: token.expires.map(rfc3339),
        secret_sha256: match &token.proof {
            Proof::Secret(hash) => Some(hash.to_hex()),
            Proof::Certificate => None,
        },
    });
    let document = Document {
        version: VERSION,
        tokens: tokens.collect(),
    };
    let mut text = serde_json::to_vec_pretty(&document)?;
    text.push(b'\n');
    Ok(text)
}

fn token(entry: Entry) -> Result<Token, TokenFileError> {
    let impossible = |member| TokenFileError::Member {
        id: entry.id.clone(),
        member,
    };
    if !is_id(&entry.id) {
        return Err(impossible("id"));
    }
    if !is_identity_name(&entry.identity) {
        return Err(impossible("identity"));
    }
    let created = time(&entry.created).ok_or_else(|| impossible("created"))?;
    let expires = match &entry.expires {
        Some(text) => Some(time(text).ok_or_else(|| impossible("expires"))?),
        None => None,
    };
    let proof = match &entry.secret_sha256 {
        Some(text) => {
            Proof::Secret(SecretHash::from_hex(text).ok_or_else(|| impossible("secretSha256"))?)
        }
        None => Proof::Certificate,
    };
    Ok(Token {
        id: entry.id.into(),
        identity: entry.identity,
        role: entry.role,
        channels: entry.channels,
        created,
        expires,
        proof,
    })
}

fn time(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// Years before 0 have no such form; the empty text is refused when it is read.
fn rfc3339(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}
