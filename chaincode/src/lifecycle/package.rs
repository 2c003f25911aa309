//! Fabric's chaincode packages: `metadata.json` and `code.tar.gz` in a tar within a gzip.

use std::io;

use bytes::Bytes;
use quire_wire::hash::sha256;
use serde::Serialize;

use super::archive::{self, ArchiveError};
use super::connection::{Connection, ConnectionError};
use super::members;
use super::name::is_label;

/// Most bytes of a package, and of the code in it: what Fabric's peers take in one message.
pub const MAX_PACKAGE_BYTES: usize = 100 << 20;
/// Most bytes of a label. Files are named after it.
pub const MAX_LABEL_BYTES: usize = 160;
/// Most bytes of `metadata.json`.
const MAX_METADATA_BYTES: u64 = 64 << 10;
/// Most bytes of `connection.json`.
const MAX_CONNECTION_BYTES: u64 = 256 << 10;

const METADATA: &str = "metadata.json";
const CODE: &str = "code.tar.gz";
const CONNECTION: &str = "connection.json";

/// A package, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// What it says of itself.
    pub metadata: Metadata,
    /// Its code, whatever that is; mostly a tar within a gzip.
    pub code: Bytes,
}

/// `metadata.json` of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// Where the code stood; of interest to whoever builds it.
    pub path: String,
    /// The language, or `ccaas` for a chaincode as a service.
    #[serde(rename = "type")]
    pub kind: String,
    /// A name for people.
    pub label: String,
}

/// Why bytes are no package.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// They are no archive.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The archive has a folder or a link.
    #[error("tar entry {name} is not a regular file, type {kind}")]
    NoFile {
        /// The entry.
        name: String,
        /// Its type, as tar numbers it.
        kind: u8,
    },
    /// A file of the archive, or the package itself, has more bytes than is allowed.
    #[error("{name} has more than {limit} bytes")]
    TooLarge {
        /// The file.
        name: &'static str,
        /// How many it may have.
        limit: u64,
    },
    /// The metadata is not what it must be.
    #[error("could not unmarshal {METADATA} as json: {0}")]
    Metadata(serde_json::Error),
    /// The code is no archive.
    #[error("error retrieving DB artifacts from code package: {0}")]
    Code(#[source] ArchiveError),
    /// It brings more indexes than a channel may have.
    #[error("it has more than {0} files of indexes")]
    TooManyIndexes(usize),
    /// There is no code.
    #[error("did not find a code package inside the package")]
    NoCode,
    /// There is no metadata.
    #[error("did not find any package metadata (missing {METADATA})")]
    NoMetadata,
    /// The label breaks Fabric's rule.
    #[error(
        "invalid label '{0}'. Label must be non-empty, can only consist of alphanumerics, symbols \
         from '.+-_', and can only begin with alphanumerics"
    )]
    Label(String),
    /// The label is longer than a file can be named after.
    #[error("a label of {0} bytes, at most {MAX_LABEL_BYTES} are allowed")]
    LongLabel(usize),
    /// A package could not be written.
    #[error("the package could not be packed")]
    Pack(#[source] io::Error),
}

impl Package {
    /// Reads a package.
    ///
    /// # Errors
    /// If it is none, or larger than is allowed, packed or unpacked.
    pub fn read(source: &[u8]) -> Result<Self, PackageError> {
        if source.len() > MAX_PACKAGE_BYTES {
            return Err(too_large("the package", byte_limit(MAX_PACKAGE_BYTES)));
        }
        let (mut metadata, mut code) = (None, None);
        archive::visit(source, |entry| {
            if !entry.is_file() {
                let (name, kind) = (entry.name.clone(), entry.kind);
                return Err(PackageError::NoFile { name, kind });
            }
            match &*entry.name {
                METADATA => {
                    let limit = MAX_METADATA_BYTES;
                    let text = entry.read(limit)?.ok_or(too_large(METADATA, limit))?;
                    metadata = Some(Metadata::read(&text).map_err(PackageError::Metadata)?);
                }
                CODE => {
                    let limit = byte_limit(MAX_PACKAGE_BYTES);
                    code = Some(entry.read(limit)?.ok_or(too_large(CODE, limit))?);
                }
                _ => {}
            }
            Ok(false)
        })?;
        let code = code.ok_or(PackageError::NoCode)?.into();
        let metadata = metadata.ok_or(PackageError::NoMetadata)?;
        check_label(&metadata.label)?;
        Ok(Self { metadata, code })
    }

    /// The package as bytes: the same for the same content. Fabric makes others of it, and so another id.
    ///
    /// # Errors
    /// If its label breaks the rule, or it is too large.
    pub fn write(&self) -> Result<Vec<u8>, PackageError> {
        check_label(&self.metadata.label)?;
        let metadata = serde_json::to_vec(&self.metadata).map_err(PackageError::Metadata)?;
        let files: [(&str, &[u8]); 2] = [(METADATA, &metadata), (CODE, &self.code)];
        let packed = archive::pack(&files).map_err(PackageError::Pack)?;
        if packed.len() > MAX_PACKAGE_BYTES {
            return Err(too_large("the package", byte_limit(MAX_PACKAGE_BYTES)));
        }
        Ok(packed)
    }

    /// A package of a chaincode as a service: where to find it, and nothing else.
    ///
    /// # Errors
    /// If its label breaks the rule.
    pub fn of_service(label: &str, connection: &Connection) -> Result<Self, PackageError> {
        let text = connection.to_json();
        let code = archive::pack(&[(CONNECTION, text.as_bytes())]).map_err(PackageError::Pack)?;
        let metadata = Metadata {
            path: String::new(),
            kind: "ccaas".to_owned(),
            label: label.to_owned(),
        };
        check_label(&metadata.label)?;
        let code = code.into();
        Ok(Self { metadata, code })
    }

    /// Whether the code is an archive, which who installs a package demands.
    pub(super) fn check_code(&self) -> Result<(), PackageError> {
        let checked = archive::visit(&self.code, |_| Ok::<_, ArchiveError>(false));
        checked.map_err(PackageError::Code)
    }

    /// Where the chaincode answers, if its code says so in `connection.json`.
    ///
    /// # Errors
    /// If its code is no archive, or `connection.json` is not what it must be.
    pub fn connection(&self) -> Result<Option<Connection>, ConnectionError> {
        let mut found = None;
        archive::visit(&self.code, |entry| {
            let name = entry.name.strip_prefix("./").unwrap_or(&entry.name);
            if entry.is_file() && name == CONNECTION {
                let text = entry.read(MAX_CONNECTION_BYTES)?;
                let text = text.ok_or(ConnectionError::TooLarge(MAX_CONNECTION_BYTES))?;
                found = Some(Connection::read(&text)?);
            }
            Ok::<_, ConnectionError>(false)
        })?;
        Ok(found)
    }
}

impl Metadata {
    fn read(text: &[u8]) -> Result<Self, serde_json::Error> {
        let mut metadata = Self::default();
        for (name, value) in members::read(text, &["path", "type", "label"])? {
            let Some(text) = members::text(name, value)? else {
                continue;
            };
            match name {
                "path" => metadata.path = text,
                "type" => metadata.kind = text,
                _ => metadata.label = text,
            }
        }
        Ok(metadata)
    }
}

/// The id by which definitions name a package.
#[must_use]
pub fn package_id(label: &str, source: &[u8]) -> String {
    format!("{label}:{}", hex::encode(sha256([source])))
}

fn check_label(label: &str) -> Result<(), PackageError> {
    if !is_label(label) {
        return Err(PackageError::Label(label.to_owned()));
    }
    if label.len() > MAX_LABEL_BYTES {
        return Err(PackageError::LongLabel(label.len()));
    }
    Ok(())
}

fn too_large(name: &'static str, limit: u64) -> PackageError {
    PackageError::TooLarge { name, limit }
}

fn byte_limit(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "package/tests.rs"]
mod tests;
