//! The I/O seam: all that Quire asks of a file system for data that must survive.
//!
//! Block files, the id store, the organisation and the tokens go through [`Disk`], so that a test can replace
//! it by a disk that fails. fjall, which holds only what can be rebuilt, does its own I/O.
//!
//! What is assumed of the medium: after `sync_data` returned without error, the bytes written to that file
//! before survive power loss; after `sync_dir`, names created, renamed or removed in that directory survive
//! too. Nothing is assumed of bytes whose sync has not returned, or of any byte of a file whose sync failed.
//!
//! [`replace_file`] and [`create_folder`] write a temporary file, rename it and sync its parent: what they
//! write is there whole or not at all, however the process ends.

mod growing;
mod os;
mod whole;

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

pub use growing::{GrowingFolder, NewFile, create_folder};
pub use os::{OsDisk, os};
pub use whole::{FileError, make_dir, read_file, remove_leftover, remove_leftovers, replace_file};

/// A file system.
pub trait Disk: Send + Sync + Debug {
    /// Opens a file for reading and writing. With `create`, makes a missing file, which only its owner may
    /// use. A new name is durable after [`Disk::sync_dir`] of its directory.
    ///
    /// # Errors
    /// Fails if the file system does.
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes a file, which only its owner may use. A link of that name is not followed.
    ///
    /// # Errors
    /// Fails if the file system does, with `AlreadyExists` if there is something of that name.
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// The names in a directory, in no order.
    ///
    /// # Errors
    /// Fails if the file system does, with `NotFound` if there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Whether there is something of that name.
    ///
    /// # Errors
    /// Fails if the file system does.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Makes a directory and its ancestors, which only their owner may use. They are durable after
    /// [`Disk::sync_dir`] of each parent.
    ///
    /// # Errors
    /// Fails if the file system does.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Makes a directory, which only its owner may use. A link of that name is not followed.
    ///
    /// # Errors
    /// Fails if the file system does, with `AlreadyExists` if there is something of that name.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Gives a file or directory another name, replacing a file of that name.
    ///
    /// # Errors
    /// Fails if the file system does.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name, on the same file system: both names are of the same bytes. The name is
    /// durable after [`Disk::sync_dir`] of its directory.
    ///
    /// # Errors
    /// Fails if the file system does, also if it has no such names, or something of that name exists.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Fails if the file system does.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory and all in it; it need not exist.
    ///
    /// # Errors
    /// Fails if the file system does.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// Fails if the file system does; then nothing is known about the names.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file.
#[expect(
    clippy::len_without_is_empty,
    reason = "a file's length is asked to find its end"
)]
pub trait DiskFile: Send + Sync + Debug {
    /// Length in bytes.
    ///
    /// # Errors
    /// Fails if the file system does.
    fn len(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// Fails with `UnexpectedEof` if the file ends first.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`. Nothing is durable before [`DiskFile::sync_data`].
    ///
    /// # Errors
    /// Fails if the file system does; then any part of the bytes may have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Writes all of `pieces`, one after the other, from `offset` on. Nothing is durable before
    /// [`DiskFile::sync_data`]. `pieces` hold nothing of use afterwards.
    ///
    /// # Errors
    /// Fails if the file system does; then any part of the bytes may have been written.
    fn write_all_vectored_at(&self, pieces: &mut [IoSlice<'_>], offset: u64) -> io::Result<()>;

    /// Makes all bytes written so far durable, and the file length that is needed to read them.
    ///
    /// # Errors
    /// Fails if the file system does; then nothing is known about unsynced bytes, and a later success says
    /// nothing about them either.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file, or extends it with zeros. The length is durable after [`DiskFile::sync_data`].
    ///
    /// # Errors
    /// Fails if the file system does.
    fn set_len(&self, len: u64) -> io::Result<()>;
}
