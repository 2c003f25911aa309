//! A backup as one file: `NAME.tar.zst`. Unpacked by other tools, it is a folder that is a backup.
//!
//! Its last entry is `backup.json`. It is written to `.NAME.tar.zst.new` and renamed when all of it is durable.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use quire_disk::{Disk, DiskFile, FileError, make_dir};
use quire_ledger::Progress;
use ring::digest::{Context, SHA256};
use tar::{Archive, Builder, Header};

use super::copy::{Copied, Target, copy_all};
use super::error::BackupError;
use super::make::{BackedUp, SYNC_EVERY};
use super::manifest::{FileRow, MANIFEST, MAX_BYTES, Manifest};
use super::place::{beside, parent, refuse_inside, rename};
use super::pump::{Sha256, of};
use super::source::Source;
use super::time::rfc3339;

/// How a file is named that is an archive.
pub(crate) const SUFFIX: &str = ".tar.zst";
/// zstd's level: blocks shrink to a half at a speed that a disk has.
const LEVEL: i32 = 1;
/// What every file packed by zstd begins with.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// GNU tar's kind of an entry that holds the name of the next.
const LONG_NAME: u8 = b'L';
/// The most bytes of a name.
const MAX_NAME_BYTES: u64 = 4096;
/// The most bytes behind the last entry.
const MAX_END_BYTES: u64 = 1 << 20;
/// The most files of an archive.
const MAX_FILES: usize = 2_000_000;

type Packed = zstd::stream::write::Encoder<'static, AtEnd>;

/// Makes a backup in the file `target`, which replaces an archive that was there.
pub(crate) fn archive(
    disk: &dyn Disk,
    source: &Source,
    target: &Path,
    now: SystemTime,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<BackedUp, BackupError> {
    refuse_inside(&source.data, target)?;
    refuse_other(disk, target)?;
    make_dir(disk, parent(target))?;
    let new = beside(target, "new");
    // What is there may have another mode, or be somebody else's, or a link: keys are not written to it.
    match disk.remove_file(&new) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed.map_err(FileError::of("remove", &new))?,
    }
    let file = disk.create_new(&new);
    let file = file.map_err(FileError::of("create", &new))?;
    let subject = target.display().to_string();
    let written = write_all(
        disk,
        source,
        (new.as_path(), file),
        (subject.as_str(), now),
        progress,
    );
    let copied = written.inspect_err(|_| {
        // A full disk is left as it was found. If this fails too, the next backup removes it.
        drop(disk.remove_file(&new));
    })?;
    rename(disk, &new, target)?;
    Ok(BackedUp::of(target, source, copied))
}

/// Refuses to replace anything else than an archive or an empty file.
fn refuse_other(disk: &dyn Disk, target: &Path) -> Result<(), BackupError> {
    let occupied = |found: &str| BackupError::Occupied {
        path: target.to_owned(),
        found: found.to_owned(),
    };
    let opened = disk.open(target, false).and_then(|file| {
        let mut begin = [0_u8; MAGIC.len()];
        if file.len()? >= begin.len() as u64 {
            file.read_exact_at(&mut begin, 0)?;
        }
        Ok((file.len()?, begin))
    });
    match opened {
        Ok((0, _) | (_, MAGIC)) => Ok(()),
        Ok(_) => Err(occupied("something that is no backup")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Err(occupied("a folder")),
        Err(error) => Err(FileError::of("open", target)(error).into()),
    }
}

/// Writes all of an archive to an empty file, durably but for its name.
fn write_all(
    disk: &dyn Disk,
    source: &Source,
    (new, file): (&Path, Arc<dyn DiskFile>),
    (subject, now): (&str, SystemTime),
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Copied, BackupError> {
    let failed = |error| BackupError::from(FileError::of("write", new)(error));
    let end = AtEnd {
        file: Arc::clone(&file),
        at: 0,
        synced: 0,
    };
    let packed = zstd::stream::write::Encoder::new(end, LEVEL).and_then(|mut packed| {
        packed.include_checksum(true)?;
        Ok(packed)
    });
    let mut archive = InArchive {
        builder: Builder::new(packed.map_err(failed)?),
        path: new,
    };
    let copied = copy_all(disk, source, &mut archive, rfc3339(now), subject, progress)?;
    let content = copied.manifest.content()?;
    let mut header = header(content.len() as u64);
    let builder = &mut archive.builder;
    let ended = builder.append_data(&mut header, MANIFEST, &content[..]);
    let ended = ended.and_then(|()| archive.builder.into_inner()?.finish());
    ended.and_then(|_| file.sync_data()).map_err(failed)?;
    Ok(copied)
}

struct InArchive<'a> {
    builder: Builder<Packed>,
    path: &'a Path,
}

impl Target for InArchive<'_> {
    fn share(&mut self, _: (&str, u64), _: Option<&str>) -> Result<Option<FileRow>, BackupError> {
        Ok(None)
    }

    fn take(
        &mut self,
        path: &str,
        file: &dyn DiskFile,
        bytes: u64,
        tell: &mut dyn FnMut(u64),
    ) -> Result<Sha256, BackupError> {
        let mut hashed = Hashed {
            file,
            at: 0,
            bytes,
            context: Context::new(&SHA256),
            tell,
        };
        let appended = self
            .builder
            .append_data(&mut header(bytes), path, &mut hashed);
        appended.map_err(FileError::of("write", self.path))?;
        Ok(of(&hashed.context.finish()))
    }
}

fn header(bytes: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(0);
    header
}

/// The beginning of a file, hashed as it is read.
struct Hashed<'a> {
    file: &'a dyn DiskFile,
    at: u64,
    bytes: u64,
    context: Context,
    tell: &'a mut dyn FnMut(u64),
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.bytes - self.at).unwrap_or(usize::MAX);
        let len = left.min(buffer.len());
        let Some(buffer) = buffer.get_mut(..len) else {
            return Ok(0);
        };
        self.file.read_exact_at(buffer, self.at)?;
        self.context.update(buffer);
        self.at += len as u64;
        (self.tell)(len as u64);
        Ok(len)
    }
}

/// Writes to a file, one piece after the other.
struct AtEnd {
    file: Arc<dyn DiskFile>,
    at: u64,
    synced: u64,
}

impl Write for AtEnd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        if self.at - self.synced >= SYNC_EVERY {
            self.file.sync_data()?;
            self.synced = self.at;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a file from its beginning.
struct FromStart {
    file: Arc<dyn DiskFile>,
    at: u64,
    len: u64,
}

impl Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len - self.at).unwrap_or(usize::MAX);
        let len = left.min(buffer.len());
        let Some(buffer) = buffer.get_mut(..len) else {
            return Ok(0);
        };
        self.file.read_exact_at(buffer, self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

/// What is done with a file of an archive: its path, its size, and its bytes; the answer is their hash.
pub(super) type Take<'a> = dyn FnMut(&str, u64, &mut dyn Read) -> Result<Sha256, BackupError> + 'a;

/// Reads an archive to its end. Everything in it is as its manifest says, or it is refused.
pub(super) fn read_archive(
    file: Arc<dyn DiskFile>,
    path: &Path,
    take: &mut Take<'_>,
) -> Result<Manifest, BackupError> {
    let damaged = |error: io::Error| BackupError::Damaged {
        path: path.to_owned(),
        expected: "an archive of a backup".to_owned(),
        found: error.to_string(),
    };
    let len = file.len().map_err(FileError::of("read", path))?;
    let unpacked = zstd::stream::read::Decoder::new(FromStart { file, at: 0, len });
    let mut archive = Archive::new(unpacked.map_err(damaged)?);
    // Raw: names of any length would be read into memory else.
    let entries = archive.entries().map_err(damaged)?.raw(true);
    let mut rows = Vec::new();
    let mut long_name = None;
    let mut manifest = None;
    for entry in entries {
        let mut entry = entry.map_err(damaged)?;
        if entry.header().entry_type().as_byte() == LONG_NAME {
            long_name = Some(name_in(&mut entry).map_err(damaged)?);
            continue;
        }
        let name = long_name
            .take()
            .unwrap_or_else(|| entry.path_bytes().into_owned());
        let name = String::from_utf8_lossy(&name).into_owned();
        let bytes = entry.size();
        if name == MANIFEST {
            let mut content = Vec::new();
            let read = (&mut entry).take(MAX_BYTES).read_to_end(&mut content);
            read.map_err(damaged)?;
            manifest = Some(Manifest::parse(&path.join(MANIFEST), &content)?);
            break;
        }
        if !super::manifest::is_inside(&name) || rows.len() >= MAX_FILES {
            return Err(damaged(io::Error::other(format!("an entry {name:?}"))));
        }
        let hash = take(&name, bytes, &mut entry)?;
        rows.push(FileRow {
            path: name,
            bytes,
            sha256: hex::encode(hash),
        });
    }
    let Some(manifest) = manifest else {
        return Err(damaged(io::Error::other("its end without backup.json")));
    };
    // What follows is the archive's end, which has a checksum of all.
    let mut end = archive.into_inner().take(MAX_END_BYTES);
    io::copy(&mut end, &mut io::sink()).map_err(damaged)?;
    if end.limit() == 0 {
        return Err(damaged(io::Error::other("more behind backup.json")));
    }
    compared(path, manifest, rows)
}

/// The name that an entry of its own holds for the next.
fn name_in(entry: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut name = Vec::new();
    entry.take(MAX_NAME_BYTES).read_to_end(&mut name)?;
    let end = name.iter().position(|byte| *byte == 0);
    name.truncate(end.unwrap_or(name.len()));
    Ok(name)
}

/// The manifest, if what was found is what it says.
fn compared(
    path: &Path,
    manifest: Manifest,
    mut found: Vec<FileRow>,
) -> Result<Manifest, BackupError> {
    found.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    let told = |row: Option<&FileRow>| {
        row.map_or("no file".to_owned(), |row| {
            format!(
                "{} of {} bytes with SHA-256 {}",
                row.path, row.bytes, row.sha256
            )
        })
    };
    let most = manifest.files.len().max(found.len());
    let differs = (0..most).find(|at| manifest.files.get(*at) != found.get(*at));
    match differs {
        None => Ok(manifest),
        Some(at) => {
            let of = manifest.files.get(at).or(found.get(at));
            Err(BackupError::Damaged {
                path: of.map_or_else(|| path.to_owned(), |row| path.join(&row.path)),
                expected: told(manifest.files.get(at)),
                found: told(found.get(at)),
            })
        }
    }
}
