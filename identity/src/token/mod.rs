//! Tokens: what a caller shows to be taken for an identity, and what it may do then.
//!
//! ```text
//! DATA/tokens/tokens.json     every token without its secret; replaced atomically, see [`file`]
//! ```
//!
//! A token belongs to an identity, which outlives it: tokens come, rotate and go while the
//! identity's certificate, and with it every transaction id, stays. The secret is told once, when
//! it is made; what is kept is its hash.
//!
//! **The file's existence means that callers must prove who they are.** Revoking the last token
//! leaves an empty file and opens nothing. A file that is lost must not open anything either: its
//! folder appears with it, so a folder without a file tells of the loss, and so does an identity that
//! only a token can have been made for.

mod error;
mod file;
mod secret;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::{Mutex, RwLock};
use quire_disk::{Disk, FileError, NewFile, create_folder, replace_file};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::files::{exists, names_in};
use crate::organization::{ADMINISTRATOR, OWN_IDENTITIES, is_identity_name, read_certificate};
pub use error::{ChangeTokenError, NotAuthenticated, OpenTokensError, TokenFileError};
pub use secret::Secret;
use secret::{SecretHash, id_in, random_id};

/// The file's name.
const FILE: &str = "tokens.json";

/// Most tokens of a node: all of them are in memory, and in every new version of the file.
pub const MAX_TOKENS: usize = 10_000;

/// What the holder of a credential may do. Each role includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessRole {
    /// Reads, queries and evaluations.
    Reader,
    /// Transactions too.
    Writer,
    /// Channels, indexes and the node's settings too.
    Admin,
}

impl AccessRole {
    /// The role's name, as on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Admin => "admin",
        }
    }
}

/// By what a token's holder is known.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    /// By the secret with this hash.
    Secret(SecretHash),
    /// By a TLS client certificate whose common name is the identity's.
    Certificate,
}

/// A token without its secret.
#[derive(Clone, Debug)]
pub struct Token {
    /// Names it in lists and commands; no secret.
    pub id: Arc<str>,
    /// The identity that its holder is taken for.
    pub identity: String,
    /// What its holder may do.
    pub role: AccessRole,
    /// The channels it is good for, sorted; empty means all, and the node itself.
    pub channels: Vec<String>,
    /// When it was made.
    pub created: OffsetDateTime,
    /// From when on it is no longer good.
    pub expires: Option<OffsetDateTime>,
    proof: Proof,
}

impl Token {
    /// Whether its holder shows a client certificate instead of a secret.
    #[must_use]
    pub fn is_certificate(&self) -> bool {
        matches!(self.proof, Proof::Certificate)
    }

    /// Whether its time is over.
    #[must_use]
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| utc(now) >= expires)
    }

    /// Whether it is good for the channel.
    #[must_use]
    pub fn reaches(&self, channel: &str) -> bool {
        self.channels.is_empty() || self.channels.iter().any(|name| name == channel)
    }
}

/// What a new token is to be.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The identity it belongs to. Whoever calls makes sure that there is one.
    pub identity: String,
    /// What its holder may do.
    pub role: AccessRole,
    /// The channels it is good for; empty means all, and the node itself.
    pub channels: Vec<String>,
    /// From when on it is no longer good.
    pub expires: Option<OffsetDateTime>,
    /// Whether its holder shows a client certificate instead of a secret.
    pub certificate: bool,
}

/// The tokens of a node.
#[derive(Debug)]
pub struct Tokens {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// `None` until the first token is made.
    table: RwLock<Option<Arc<Table>>>,
    /// Held while a change is written: two must not overtake each other.
    changing: Mutex<()>,
}

/// All tokens, by id.
type Table = BTreeMap<Arc<str>, Arc<Token>>;

impl Tokens {
    /// Reads the tokens of a data directory; changes nothing.
    ///
    /// # Errors
    /// If the file cannot be read, is not what this release writes, or is lost: then nobody is let in.
    pub fn open(disk: &Arc<dyn Disk>, data_dir: &Path) -> Result<Self, OpenTokensError> {
        let tokens = Self::open_to_make(disk, data_dir)?;
        if tokens.are_required() {
            return Ok(tokens);
        }
        let folder = data_dir.join("tokens");
        let reason = if exists(disk.as_ref(), &folder)? {
            "its folder is there".to_owned()
        } else if let Some(name) = identity_of_a_token(disk.as_ref(), data_dir)? {
            format!("the identity {name} was made for a token")
        } else {
            return Ok(tokens);
        };
        let path = folder.join(FILE);
        Err(OpenTokensError::Missing { path, reason })
    }

    /// As [`Tokens::open`], for somebody who is about to make a token: where the file was lost, it is
    /// begun anew, and callers must show what is in it.
    ///
    /// # Errors
    /// If the file cannot be read, or is not what this release writes.
    pub fn open_to_make(disk: &Arc<dyn Disk>, data_dir: &Path) -> Result<Self, OpenTokensError> {
        let path = data_dir.join("tokens").join(FILE);
        let table = if exists(disk.as_ref(), &path)? {
            Some(Arc::new(file::load(disk.as_ref(), &path)?))
        } else {
            None
        };
        Ok(Self {
            disk: Arc::clone(disk),
            path,
            table: RwLock::new(table),
            changing: Mutex::default(),
        })
    }

    /// Whether a token was ever made: from then on callers must show one.
    #[must_use]
    pub fn are_required(&self) -> bool {
        self.table.read().is_some()
    }

    /// Every token, by id.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Token>> {
        let table = self.table.read();
        table
            .iter()
            .flat_map(|table| table.values().cloned())
            .collect()
    }

    /// The token that a caller shows. Takes the same time for every wrong secret.
    ///
    /// # Errors
    /// If there is none such, or its time is over.
    pub fn authenticate(
        &self,
        shown: &str,
        now: SystemTime,
    ) -> Result<Arc<Token>, NotAuthenticated> {
        let token = id_in(shown).and_then(|id| self.table.read().as_ref()?.get(id).cloned());
        let token = token.ok_or(NotAuthenticated::Unknown)?;
        match &token.proof {
            Proof::Secret(hash) if hash.is_of(shown) => {}
            Proof::Secret(_) | Proof::Certificate => return Err(NotAuthenticated::Unknown),
        }
        not_expired(token, now)
    }

    /// Whether a token that was found earlier is still good: neither revoked, nor rotated, nor
    /// expired since.
    #[must_use]
    pub fn still_hold(&self, token: &Arc<Token>, now: SystemTime) -> bool {
        let table = self.table.read();
        let found = table.as_ref().and_then(|table| table.get(&token.id));
        // Whatever changes a token puts another one in its place.
        found.is_some_and(|found| Arc::ptr_eq(found, token)) && !token.is_expired(now)
    }

    /// The token of whoever has shown a client certificate with this common name.
    ///
    /// # Errors
    /// If none was made for that identity, or its time is over.
    pub fn of_certificate(
        &self,
        identity: &str,
        now: SystemTime,
    ) -> Result<Arc<Token>, NotAuthenticated> {
        let table = self.table.read().clone();
        let token = table
            .as_ref()
            .and_then(|table| certificate_token(table, identity));
        not_expired(token.ok_or(NotAuthenticated::Unknown)?, now)
    }

    /// Makes a token, durable on return; the secret is told now and never again. None where the
    /// holder shows a certificate.
    ///
    /// # Errors
    /// Nothing was made, or (where syncing failed) perhaps a token that nobody knows.
    pub fn create(
        &self,
        new: NewToken,
        now: SystemTime,
    ) -> Result<(Arc<Token>, Option<Secret>), ChangeTokenError> {
        let mut channels = new.channels;
        channels.sort();
        channels.dedup();
        self.change(|table| {
            if table.len() >= MAX_TOKENS {
                return Err(ChangeTokenError::TooMany);
            }
            let id = random_id()?;
            let (proof, secret) = if new.certificate {
                if certificate_token(table, &new.identity).is_some() {
                    return Err(ChangeTokenError::CertificateTaken(new.identity));
                }
                (Proof::Certificate, None)
            } else {
                let (hash, secret) = Secret::random(&id)?;
                (Proof::Secret(hash), Some(secret))
            };
            let token = Arc::new(Token {
                id: Arc::clone(&id),
                identity: new.identity,
                role: new.role,
                channels,
                created: whole_seconds(utc(now)),
                expires: new.expires.map(whole_seconds),
                proof,
            });
            table.insert(id, Arc::clone(&token));
            Ok((token, secret))
        })
    }

    /// Gives a token a new secret, told now and never again; the old one is good for nothing from
    /// now on. Without `expires` its time stays what it was.
    ///
    /// # Errors
    /// If there is no such token or it has no secret, or the file cannot be written.
    pub fn rotate(
        &self,
        id: &str,
        expires: Option<OffsetDateTime>,
    ) -> Result<(Arc<Token>, Secret), ChangeTokenError> {
        self.change(|table| {
            let unknown = || ChangeTokenError::NoSuchToken(id.to_owned());
            let token = table.get_mut(id).ok_or_else(unknown)?;
            if token.is_certificate() {
                return Err(ChangeTokenError::NoSecret(id.to_owned()));
            }
            let (hash, secret) = Secret::random(&token.id)?;
            let expires = expires.map(whole_seconds);
            let rotated = Arc::new(Token {
                proof: Proof::Secret(hash),
                expires: expires.or(token.expires),
                ..Token::clone(token)
            });
            *token = Arc::clone(&rotated);
            Ok((rotated, secret))
        })
    }

    /// Ends a token. Its identity stays.
    ///
    /// # Errors
    /// If there is no such token, or the file cannot be written: then it is still good.
    pub fn revoke(&self, id: &str) -> Result<Arc<Token>, ChangeTokenError> {
        self.change(|table| {
            let unknown = || ChangeTokenError::NoSuchToken(id.to_owned());
            table.remove(id).ok_or_else(unknown)
        })
    }

    /// Changes a copy of the table, writes it, and only then lets callers meet it.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Table) -> Result<T, ChangeTokenError>,
    ) -> Result<T, ChangeTokenError> {
        let _changing = self.changing.lock();
        let mut table = self.table.read().as_deref().cloned().unwrap_or_default();
        let changed = change(&mut table)?;
        let content = file::render(&table)?;
        let disk = self.disk.as_ref();
        match self.path.parent() {
            // The folder appears with the file: one without is a loss.
            Some(folder) if !exists(disk, folder)? => {
                let content = String::from_utf8_lossy(&content);
                let file = NewFile {
                    path: FILE,
                    content: &content,
                };
                create_folder(disk, folder, &[file])?;
            }
            _ => replace_file(disk, &self.path, &content)?,
        }
        *self.table.write() = Some(Arc::new(table));
        Ok(changed)
    }
}

/// An identity that is none of the node's own: only for a token is one made. One of the node's own under
/// another folder's name, as a copy of it has, is none.
fn identity_of_a_token(disk: &dyn Disk, data_dir: &Path) -> Result<Option<String>, FileError> {
    let is_own =
        |name: &str| name == ADMINISTRATOR || OWN_IDENTITIES.iter().any(|(own, _)| *own == name);
    let folder = data_dir.join("identities");
    let names = names_in(disk, &folder)?.into_iter();
    let mut others = names.filter(|name| is_identity_name(name) && !is_own(name));
    // What cannot be read may have been anybody's.
    Ok(others.find(|name| {
        let path = folder.join(name).join("msp/signcerts/cert.pem");
        let certificate = read_certificate(disk, &path);
        !matches!(certificate, Ok(Ok((certificate, _))) if is_own(&certificate.common_name))
    }))
}

fn certificate_token(table: &Table, identity: &str) -> Option<Arc<Token>> {
    let mut tokens = table.values();
    let found = tokens.find(|token| token.is_certificate() && token.identity == identity);
    found.cloned()
}

fn not_expired(token: Arc<Token>, now: SystemTime) -> Result<Arc<Token>, NotAuthenticated> {
    if token.is_expired(now) {
        return Err(NotAuthenticated::Expired);
    }
    Ok(token)
}

/// The time that a clock shows; of one beyond the years that have a name, the nearest of those.
#[must_use]
pub fn utc(now: SystemTime) -> OffsetDateTime {
    let (since, is_before) = match now.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => (since, false),
        Err(error) => (error.duration(), true),
    };
    let nanos = i128::try_from(since.as_nanos()).unwrap_or(i128::MAX);
    let nanos = if is_before { -nanos } else { nanos };
    let nearest = if is_before {
        PrimitiveDateTime::MIN
    } else {
        PrimitiveDateTime::MAX
    };
    OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(nearest.assume_utc())
}

/// The file tells seconds.
fn whole_seconds(time: OffsetDateTime) -> OffsetDateTime {
    time.replace_nanosecond(0).unwrap_or(time)
}

#[cfg(test)]
mod tests;
