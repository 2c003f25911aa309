//! A tar within a gzip, read and written within bounds.

use std::io::{self, Read, Write as _};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use tar::{Archive, Builder, Header};

/// Most bytes that an archive may unpack to.
pub(super) const MAX_UNPACKED_BYTES: u64 = 256 << 20;
/// Most entries of an archive.
pub(super) const MAX_ENTRIES: usize = 10_000;
/// Most bytes of an entry's name.
const MAX_NAME_BYTES: u64 = 4096;
/// Kinds of entries whose content is the name of the next.
const LONG_NAME: u8 = b'L';
const EXTENDED_HEADER: u8 = b'x';
/// Kinds of regular files.
const REGULAR: u8 = b'0';
const OLD_REGULAR: u8 = 0;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is no gzip, or ends before it begins.
    #[error("error reading as gzip stream: {0}")]
    Gzip(io::Error),
    /// What follows is no entry.
    #[error("error inspecting next tar header: {0}")]
    Header(io::Error),
    /// An entry's content is not whole.
    #[error("could not read {name} from tar: {source}")]
    Content {
        /// The entry.
        name: String,
        /// What is wrong.
        source: io::Error,
    },
    /// It unpacks to more than anybody needs.
    #[error("it unpacks to more than {MAX_UNPACKED_BYTES} bytes")]
    TooLarge,
    /// It has more entries than anybody needs.
    #[error("it has more than {MAX_ENTRIES} entries")]
    TooManyEntries,
}

/// One entry of an archive.
pub(super) struct Entry<'a> {
    pub(super) name: String,
    /// Its type as a byte of the header.
    pub(super) kind: u8,
    content: &'a mut dyn Read,
    size: u64,
}

impl Entry<'_> {
    /// Whether it is a regular file.
    pub(super) fn is_file(&self) -> bool {
        self.kind == REGULAR || (self.kind == OLD_REGULAR && !self.name.ends_with('/'))
    }

    /// Its content; none where it has more than `limit` bytes.
    pub(super) fn read(&mut self, limit: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
        if self.size > limit {
            return Ok(None);
        }
        let mut content = Vec::new();
        match self.content.take(limit).read_to_end(&mut content) {
            Ok(read) if u64::try_from(read).ok() == Some(self.size) => Ok(Some(content)),
            Ok(_) => Err(self.broken(ended())),
            Err(error) => Err(self.broken(error)),
        }
    }

    fn skip(&mut self) -> Result<(), ArchiveError> {
        match io::copy(self.content, &mut io::sink()) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.broken(error)),
        }
    }

    fn broken(&self, source: io::Error) -> ArchiveError {
        if source.kind() == io::ErrorKind::FileTooLarge {
            return ArchiveError::TooLarge;
        }
        let name = self.name.clone();
        ArchiveError::Content { name, source }
    }
}

/// Shows `visit` every entry until it has seen enough, which it says by `true`, or fails.
pub(super) fn visit<E: From<ArchiveError>>(
    source: &[u8],
    mut visit: impl FnMut(&mut Entry<'_>) -> Result<bool, E>,
) -> Result<(), E> {
    let unpacked = MultiGzDecoder::new(source);
    if unpacked.header().is_none() {
        return Err(ArchiveError::Gzip(no_gzip(source)).into());
    }
    let mut archive = Archive::new(Bounded {
        unpacked,
        left: MAX_UNPACKED_BYTES,
    });
    // Raw: names of any length would be read into memory else.
    let entries = archive.entries().map_err(header_error)?.raw(true);
    let mut long_name = None;
    for (number, entry) in entries.enumerate() {
        let mut entry = entry.map_err(header_error)?;
        if number >= MAX_ENTRIES {
            return Err(ArchiveError::TooManyEntries.into());
        }
        let kind = entry.header().entry_type().as_byte();
        if matches!(kind, LONG_NAME | EXTENDED_HEADER) {
            let name = long_name_in(kind, &mut entry).map_err(header_error)?;
            long_name = name.or(long_name);
            continue;
        }
        let name = long_name.take();
        let name = name.unwrap_or_else(|| entry.path_bytes().into_owned());
        let mut shown = Entry {
            name: String::from_utf8_lossy(&name).into_owned(),
            kind,
            size: entry.size(),
            content: &mut Whole {
                left: entry.size(),
                content: &mut entry,
            },
        };
        if visit(&mut shown)? {
            return Ok(());
        }
        shown.skip()?;
    }
    Ok(())
}

/// The name that an entry of its own holds for the next.
fn long_name_in(kind: u8, entry: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    let limit = MAX_NAME_BYTES;
    if u64::try_from(entry.take(limit + 1).read_to_end(&mut content)?)
        .is_ok_and(|read| read > limit)
    {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "header field too long",
        ));
    }
    if kind == LONG_NAME {
        let end = content.iter().position(|byte| *byte == 0);
        content.truncate(end.unwrap_or(content.len()));
        return Ok(Some(content));
    }
    let mut name = None;
    for extension in tar::PaxExtensions::new(&content) {
        let extension = extension?;
        match extension.key_bytes() {
            b"path" => name = Some(extension.value_bytes().to_vec()),
            // Of files larger than may be here.
            b"size" => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "invalid tar header",
                ));
            }
            _ => {}
        }
    }
    Ok(name)
}

fn header_error(error: io::Error) -> ArchiveError {
    if error.kind() == io::ErrorKind::FileTooLarge {
        return ArchiveError::TooLarge;
    }
    ArchiveError::Header(error)
}

fn no_gzip(source: &[u8]) -> io::Error {
    if source.len() < 10 {
        return ended();
    }
    io::Error::new(io::ErrorKind::InvalidData, "gzip: invalid header")
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "unexpected EOF")
}

/// Ends with an error what unpacks to more than is left.
struct Bounded<R> {
    unpacked: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.unpacked.read(buffer)?;
        let left = u64::try_from(read).ok();
        let left = left.and_then(|read| self.left.checked_sub(read));
        self.left = left.ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(read)
    }
}

/// Ends with an error content that is shorter than its header says.
struct Whole<R> {
    content: R,
    left: u64,
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buffer)?;
        if read == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(ended());
        }
        self.left = self
            .left
            .saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}

/// An archive of these files, the same bytes whenever it is made.
pub(super) fn pack(files: &[(&str, &[u8])]) -> io::Result<Vec<u8>> {
    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, content) in files {
        let mut header = Header::new_ustar();
        header.set_size(u64::try_from(content.len()).map_err(io::Error::other)?);
        header.set_mode(0o100_644);
        archive.append_data(&mut header, name, *content)?;
    }
    let mut packed = archive.into_inner()?;
    packed.flush()?;
    packed.finish()
}
