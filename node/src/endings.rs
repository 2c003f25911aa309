//! What a node holds that comes to an end: certificates, by their dates, and tokens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use quire_disk::{Disk, FileError, OsDisk, read_file};
use quire_identity::Tokens;
use quire_identity::organization::{ADMINISTRATOR, OWN_IDENTITIES};
use quire_ledger::chain_of;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::pem::Pem;

/// Most bytes of a file of certificates.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// What comes to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// An identity that the node itself signs as.
    Own,
    /// Who vouches for identities.
    Ca,
    /// What a listener or a connection shows.
    Tls,
    /// The identity of a caller.
    Caller,
    /// A token.
    Token,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Ca => "ca",
            Self::Tls => "tls",
            Self::Caller => "caller",
            Self::Token => "token",
        }
    }

    /// What its end means.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Own => {
                "What the node signs after that is refused, here and by others. Its blocks and transactions stay valid."
            }
            Self::Ca => {
                "Others stop trusting what it issued, and it issues nothing more. What is in blocks stays valid."
            }
            Self::Tls => {
                "Clients stop connecting. Put a new certificate in the file's place, and restart the node."
            }
            Self::Caller => {
                "Its writes are refused after that. Its transactions stay valid; it is never issued again: its holder \
                 goes on under another name."
            }
            Self::Token => {
                "Its holder is not let in after that: `quire token rotate` gives it another secret and end."
            }
        }
    }
}

/// Something that comes to an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ending {
    pub(crate) kind: Kind,
    /// The identity's or the token's name, or the file's.
    pub(crate) name: String,
    /// RFC 3339; null if it has no end.
    pub(crate) ends: Option<String>,
    /// The same in seconds since 1970.
    #[serde(skip)]
    pub(crate) second: Option<i64>,
}

impl Ending {
    fn of(kind: Kind, name: &str, second: Option<i64>) -> Self {
        let moment = second.and_then(|second| OffsetDateTime::from_unix_timestamp(second).ok());
        Self {
            kind,
            name: name.to_owned(),
            ends: moment.and_then(|moment| moment.format(&Rfc3339).ok()),
            second,
        }
    }

    /// Whole days from `now` to its end, negative behind it.
    pub(crate) fn days(&self, now: SystemTime) -> Option<i64> {
        let now = OffsetDateTime::from(now).unix_timestamp();
        Some((self.second? - now).div_euclid(DAY))
    }

    fn has_ended(&self, now: SystemTime) -> bool {
        self.days(now).is_some_and(|days| days < 0)
    }
}

/// What was found, the first to end first, and what could not be read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Endings {
    pub(crate) all: Vec<Ending>,
    pub(crate) unread: Vec<String>,
}

impl Endings {
    /// Reads the certificates and tokens of a data directory, and of files of TLS certificates, each with the name
    /// of the flag that names it. Changes nothing, and needs nobody's leave.
    pub(crate) fn read(data: &Path, tls: &[(&str, PathBuf)]) -> Self {
        let mut found = Self::default();
        let own = data.join("organization");
        found.files(Kind::Ca, &own.join("ca"), "organization/ca");
        for folder in ["cacerts", "intermediatecerts", "tlscacerts"] {
            let name = format!("organization/given/msp/{folder}");
            found.files(Kind::Ca, &data.join(&name), &name);
        }
        let folder = data.join("identities");
        for identity in found.names_in(&folder) {
            let is_own = OWN_IDENTITIES.iter().any(|(name, _)| *name == identity);
            let kind = if is_own || identity == ADMINISTRATOR {
                Kind::Own
            } else {
                Kind::Caller
            };
            let certificates = folder.join(&identity).join("msp/signcerts");
            for file in found.names_in(&certificates) {
                found.file(kind, &certificates.join(file), &identity);
            }
        }
        for (flag, path) in tls {
            found.file(Kind::Tls, path, flag);
        }
        match Tokens::open(&quire_disk::os(), data) {
            Ok(tokens) => {
                let ends = tokens.list().into_iter().map(|token| {
                    let end = token.expires.map(OffsetDateTime::unix_timestamp);
                    Ending::of(Kind::Token, &token.id, end)
                });
                found.all.extend(ends);
            }
            Err(error) => found.unread.push(chain_of(&error)),
        }
        // What has no end comes last.
        found
            .all
            .sort_by_key(|one| (one.second.is_none(), one.second, one.kind, one.name.clone()));
        found
    }

    fn names_in(&mut self, folder: &Path) -> Vec<String> {
        let mut names = match OsDisk.list(folder) {
            Ok(names) => names,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.unread
                    .push(chain_of(&FileError::of("list", folder)(error)));
                Vec::new()
            }
        };
        names.retain(|name| !name.starts_with('.'));
        names.sort_unstable();
        names
    }

    /// The certificates in a folder; keys may lie beside them.
    fn files(&mut self, kind: Kind, folder: &Path, name: &str) {
        for file in self.names_in(folder) {
            if Path::new(&file)
                .extension()
                .is_some_and(|end| end == "pem" || end == "crt")
            {
                self.file(kind, &folder.join(&file), &format!("{name}/{file}"));
            }
        }
    }

    /// A file of certificates ends with the first of them.
    fn file(&mut self, kind: Kind, path: &Path, name: &str) {
        let content = match read_file(&OsDisk, path, MAX_FILE_BYTES) {
            Ok(content) => content,
            Err(error) => {
                self.unread.push(chain_of(&error));
                return;
            }
        };
        match end_of(&content) {
            Some(second) => self.all.push(Ending::of(kind, name, Some(second))),
            None => self
                .unread
                .push(format!("{} holds no certificate", path.display())),
        }
    }

    /// What gauges show: the node's own, and of callers and tokens the next to end.
    pub(crate) fn shown(&self, now: SystemTime) -> BTreeMap<(&'static str, String), i64> {
        let mut shown = BTreeMap::new();
        for ending in &self.all {
            let Some(second) = ending.second else {
                continue;
            };
            let of_many = matches!(ending.kind, Kind::Caller | Kind::Token);
            if of_many && ending.has_ended(now) {
                continue;
            }
            let name = if of_many {
                "next"
            } else {
                ending.name.as_str()
            };
            // They are in the order of their ends.
            shown
                .entry((ending.kind.name(), name.to_owned()))
                .or_insert(second);
        }
        shown
    }
}

/// When the first certificate of a file ends, in seconds since 1970.
fn end_of(content: &[u8]) -> Option<i64> {
    let blocks = Pem::iter_from_buffer(content).filter_map(Result::ok);
    let ends = blocks
        .filter(|block| block.label == "CERTIFICATE")
        .filter_map(|block| {
            let certificate = block.parse_x509().ok()?;
            Some(certificate.validity().not_after.timestamp())
        });
    ends.min()
}
