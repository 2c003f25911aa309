//! The I/O seam: everything that Quire asks of a file system for what must survive.
//!
//! Block files, the id store, the organisation and the tokens go through [`Disk`], so that a test can put a failing one in
//! its place. fjall, which holds only what can be rebuilt, does its own I/O.
//!
//! What is assumed of the medium: after `sync_data` returned without error, the bytes written to
//! that file before survive power loss; after `sync_dir`, so do names created, renamed or removed
//! in that directory. Nothing is assumed of bytes whose sync has not returned, nor of any byte of a
//! file after a sync of it failed.
//!
//! [`replace_file`] and [`create_folder`] are the write-temporary, rename, sync-parent dance, once:
//! what they write is there whole or not at all, however the process ends.

mod os;
mod whole;

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

pub use os::{OsDisk, os};
pub use whole::{
    FileError, NewFile, create_folder, make_dir, read_file, remove_leftover, remove_leftovers,
    replace_file,
};

/// A file system.
pub trait Disk: Send + Sync + Debug {
    /// Opens a file for reading and writing; with `create`, makes it where it is missing, for its owner
    /// alone. A new name is durable after [`Disk::sync_dir`] of its directory.
    ///
    /// # Errors
    /// As the file system says.
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>>;

    /// The names in a directory, in no order.
    ///
    /// # Errors
    /// As the file system says; `NotFound` where there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Whether there is something of that name.
    ///
    /// # Errors
    /// As the file system says.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Makes a directory and those above it, for their owner alone. Durable after [`Disk::sync_dir`] of each parent.
    ///
    /// # Errors
    /// As the file system says.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Gives a file or directory another name, replacing a file of that name.
    ///
    /// # Errors
    /// As the file system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the file system says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory and all in it; missing is fine.
    ///
    /// # Errors
    /// As the file system says.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// As the file system says; nothing is known about the names then.
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
    /// As the file system says.
    fn len(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` where the file ends first.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`. Nothing is durable before [`DiskFile::sync_data`].
    ///
    /// # Errors
    /// As the file system says; any part of the bytes may have been written then.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Writes all of `pieces`, one after the other, from `offset` on. Nothing is durable before
    /// [`DiskFile::sync_data`]. What `pieces` hold afterwards is of no use to anybody.
    ///
    /// # Errors
    /// As the file system says; any part of the bytes may have been written then.
    fn write_all_vectored_at(&self, pieces: &mut [IoSlice<'_>], offset: u64) -> io::Result<()>;

    /// Makes all bytes written so far durable, and the length that reading them needs.
    ///
    /// # Errors
    /// As the file system says; nothing is known about unsynced bytes then, and a later success
    /// says nothing about them either.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts or extends (with zeros) the file. Durable after [`DiskFile::sync_data`].
    ///
    /// # Errors
    /// As the file system says.
    fn set_len(&self, len: u64) -> io::Result<()>;
}
