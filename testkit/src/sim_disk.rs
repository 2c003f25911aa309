//! A disk that keeps what the page cache holds apart from what power loss leaves.
//!
//! Every file has *live* bytes (what reads see, what a killed process leaves), *durable* bytes (what is there
//! when the power comes back), and a list of the changes between the two that no sync has covered. Names are
//! kept in the same two images, one directory entry at a time: a file whose bytes were synced is still lost
//! if its name was not synced.
//!
//! What may go wrong, by kind of file:
//!
//! | | block files | id store | directories | `derived/` (fjall) |
//! |---|---|---|---|---|
//! | process death between any two operations, and in the middle of a write | yes | yes | yes | kept as it is |
//! | power loss: of the unsynced changes none, all, a prefix torn at a byte, any set of 512-byte sectors, the length without the bytes | yes | yes | any set of entries | gone, or an older copy |
//! | a sync that fails, after which its pages count as clean: readable, never written by a later sync | yes | yes | the entries stay unsynced | no |
//! | a write that fails having written nothing, a part, or all (EIO, ENOSPC) | yes | yes | - | no |
//! | a read that fails (EIO) | yes | yes | yes | no |
//! | flipped bits of what is durable | `flips.rs`, on real files | no | no | `flips.rs` |
//!
//! These faults are not modelled: synced bytes that change while a process runs, syncs that lie, entries of
//! one directory that come back in an order that a journal forbids *and* with contents of another file. fjall
//! does its own I/O, so paths whose first component below the root begins with `derived` go to the real file
//! system; the loss of *some* unsynced pages of these files is not modelled. That is tolerable only because
//! all that fjall holds is rebuilt from the block files.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use quire_disk::{Disk, DiskFile, OsDisk};

use crate::image::{Change, Image, Inode, Node};

/// What goes wrong with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process is gone: this operation and all later ones have no effect.
    Death,
    /// EIO: a failed sync leaves its pages clean; a failed write leaves half of its bytes.
    Io,
    /// ENOSPC: a write leaves a part of its bytes, any other operation leaves nothing.
    Full,
}

/// What must go wrong. The operations that change something are counted, and so are reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    /// The number of a changing operation, from 0, and its fault.
    pub change: Option<(usize, Fault)>,
    /// The number of a read, from 0, that fails with EIO.
    pub read: Option<usize>,
}

/// The image just before a changing operation, or in the middle of a write.
#[derive(Clone, Debug)]
pub struct Moment {
    /// What the disk held.
    pub image: Image,
    /// What was about to happen.
    pub what: String,
}

#[derive(Debug, Default)]
struct State {
    image: Image,
    plan: Plan,
    changes: usize,
    reads: usize,
    dead: bool,
    moments: Option<Vec<Moment>>,
}

/// A disk below one real directory. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    root: PathBuf,
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk below a real directory.
    pub fn new(root: &Path) -> Self {
        Self::of(root, Image::new(root))
    }

    /// A disk that holds an image.
    pub fn of(root: &Path, image: Image) -> Self {
        let state = State {
            image,
            ..State::default()
        };
        Self {
            root: root.to_owned(),
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The same disk as a shared [`Disk`].
    pub fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    /// Sets what goes wrong from now on; the counts begin anew.
    pub fn plan(&self, plan: Plan) {
        let mut state = self.state.lock();
        (state.plan, state.changes, state.reads) = (plan, 0, 0);
    }

    /// Keeps the image before every change from now on.
    pub fn record(&self) {
        self.state.lock().moments = Some(Vec::new());
    }

    /// The number of images kept so far.
    pub fn moments(&self) -> usize {
        self.state.lock().moments.as_ref().map_or(0, Vec::len)
    }

    /// Returns the images that were kept, and keeps no more.
    pub fn take_moments(&self) -> Vec<Moment> {
        self.state.lock().moments.take().unwrap_or_default()
    }

    /// Changing operations since the plan was made.
    pub fn changes(&self) -> usize {
        self.state.lock().changes
    }

    /// Reads since the plan was made.
    pub fn reads(&self) -> usize {
        self.state.lock().reads
    }

    /// What the disk holds now.
    pub fn image(&self) -> Image {
        self.state.lock().image.clone()
    }

    /// Whether fjall uses the path.
    fn is_real(&self, path: &Path) -> bool {
        let below = path.components().skip(self.root.components().count());
        let mut below = below.map(|part| part.as_os_str().to_string_lossy().into_owned());
        below.any(|part| part.starts_with("derived"))
    }

    /// Counts a change, and lets it happen, fail, or end the process. The change itself says what a
    /// failure leaves.
    fn change(
        &self,
        what: impl FnOnce() -> String,
        act: impl FnOnce(&mut Image, Option<Fault>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.dead {
            return Err(dead());
        }
        let fault = state
            .plan
            .change
            .filter(|(at, _)| *at == state.changes)
            .map(|(_, fault)| fault);
        state.changes += 1;
        if state.moments.is_some() {
            let image = state.image.clone();
            let moment = Moment {
                image,
                what: what(),
            };
            state.moments.as_mut().unwrap().push(moment);
        }
        if fault == Some(Fault::Death) {
            state.dead = true;
            return Err(dead());
        }
        act(&mut state.image, fault)
    }

    fn looking<T>(&self, act: impl FnOnce(&Image) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        if state.dead {
            return Err(dead());
        }
        let fails = state.plan.read == Some(state.reads);
        state.reads += 1;
        if fails {
            return Err(error(Fault::Io));
        }
        act(&state.image)
    }
}

fn dead() -> io::Error {
    io::Error::other("the process is dead")
}

fn error(fault: Fault) -> io::Error {
    match fault {
        Fault::Death => dead(),
        Fault::Io => io::Error::other("input/output error"),
        Fault::Full => io::Error::from(io::ErrorKind::StorageFull),
    }
}

fn fails(fault: Option<Fault>) -> io::Result<()> {
    fault.map_or(Ok(()), |fault| Err(error(fault)))
}

fn not_found() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let existing = self.looking(|image| Ok(image.live.get(path).copied()))?;
        let inode = match existing {
            Some(Node::File(inode)) => inode,
            Some(Node::Dir) => return Err(io::ErrorKind::IsADirectory.into()),
            None if !create => return Err(not_found()),
            None => {
                let mut made = 0;
                self.change(
                    || format!("create {}", path.display()),
                    |image, fault| {
                        fails(fault)?;
                        if !Image::parent_exists(&image.live, path) {
                            return Err(not_found());
                        }
                        made = image.inodes.len();
                        image.inodes.push(Inode::default());
                        image.live.insert(path.to_owned(), Node::File(made));
                        Ok(())
                    },
                )?;
                made
            }
        };
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            name: path.display().to_string(),
            inode,
        }))
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        if self.exists(path)? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.open(path, true)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = self.looking(|image| {
            if image.live.get(dir) != Some(&Node::Dir) {
                return Err(not_found());
            }
            let children = image.live.keys().filter(|path| path.parent() == Some(dir));
            let names = children.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
            Ok(names.collect::<Vec<_>>())
        })?;
        // The files of fjall are in the real directory of the same name.
        let real = OsDisk.list(dir).unwrap_or_default();
        names.extend(real.into_iter().filter(|name| name.starts_with("derived")));
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        if self.is_real(path) {
            return OsDisk.exists(path);
        }
        self.looking(|image| Ok(image.live.contains_key(path)))
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let missing = self.looking(|image| {
            let missing = dir.ancestors().filter(|dir| !image.live.contains_key(*dir));
            let below = missing.filter(|dir| dir.starts_with(&self.root));
            Ok(below.map(Path::to_owned).collect::<Vec<_>>())
        })?;
        for dir in missing.into_iter().rev() {
            self.change(
                || format!("mkdir {}", dir.display()),
                |image, fault| {
                    fails(fault)?;
                    image.live.insert(dir.clone(), Node::Dir);
                    Ok(())
                },
            )?;
        }
        Ok(())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if self.exists(dir)? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.is_real(from) {
            return OsDisk.rename(from, to);
        }
        self.change(
            || format!("rename {}", to.display()),
            |image, fault| {
                fails(fault)?;
                if image.live.get(from) == Some(&Node::Dir) {
                    Image::rename_dir(&mut image.live, from, to);
                    image.renamed.push((from.to_owned(), to.to_owned()));
                    return Ok(());
                }
                let node = image.live.remove(from).ok_or_else(not_found)?;
                image.live.insert(to.to_owned(), node);
                Ok(())
            },
        )
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(
            || format!("link {}", to.display()),
            |image, fault| {
                fails(fault)?;
                let Some(Node::File(inode)) = image.live.get(from).copied() else {
                    return Err(not_found());
                };
                if image.live.contains_key(to) {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                if !Image::parent_exists(&image.live, to) {
                    return Err(not_found());
                }
                image.live.insert(to.to_owned(), Node::File(inode));
                Ok(())
            },
        )
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.change(
            || format!("unlink {}", path.display()),
            |image, fault| {
                fails(fault)?;
                image.live.remove(path).map(|_| ()).ok_or_else(not_found)
            },
        )
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        let names: Vec<PathBuf> = self.looking(|image| {
            let below = image.live.keys().filter(|path| path.starts_with(dir));
            Ok(below.cloned().collect())
        })?;
        // The deepest name goes first. Each is a step, so that a crash can come between.
        for path in names.into_iter().rev() {
            self.change(
                || format!("unlink {}", path.display()),
                |image, fault| {
                    fails(fault)?;
                    image.live.remove(&path);
                    Ok(())
                },
            )?;
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.change(
            || format!("sync {}", dir.display()),
            |image, fault| {
                fails(fault)?;
                if image.live.get(dir) != Some(&Node::Dir) {
                    // The path is outside the simulated part, or gone.
                    let outside = !dir.starts_with(&self.root);
                    return if outside { Ok(()) } else { Err(not_found()) };
                }
                let renamed = std::mem::take(&mut image.renamed);
                for (from, to) in renamed {
                    if to.parent() == Some(dir) {
                        Image::rename_dir(&mut image.durable, &from, &to);
                    } else {
                        image.renamed.push((from, to));
                    }
                }
                let is_child = |path: &&PathBuf| path.parent() == Some(dir);
                let gone: Vec<PathBuf> = image
                    .durable
                    .keys()
                    .filter(is_child)
                    .filter(|path| !image.live.contains_key(*path))
                    .cloned()
                    .collect();
                for path in gone {
                    image.durable.retain(|name, _| !name.starts_with(&path));
                }
                let children = image.live.iter().filter(|(path, _)| is_child(path));
                let children: Vec<_> = children.map(|(path, node)| (path.clone(), *node)).collect();
                image.durable.extend(children);
                Ok(())
            },
        )
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    name: String,
    inode: usize,
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.disk
            .looking(|image| Ok(image.inodes[self.inode].live.len() as u64))
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.looking(|image| {
            let offset = usize::try_from(offset).unwrap();
            let live = &image.inodes[self.inode].live;
            let bytes = live.get(offset..offset + buffer.len());
            let bytes = bytes.ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))?;
            buffer.copy_from_slice(bytes);
            Ok(())
        })
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        let change = |bytes: &[u8]| Change::Write {
            offset,
            bytes: bytes.to_vec(),
        };
        let half = change(&bytes[..bytes.len() / 2]);
        self.disk.change(
            || format!("write {} at {offset}", self.name),
            |image, fault| {
                let inode = &mut image.inodes[self.inode];
                let change = if fault.is_some() {
                    half.clone()
                } else {
                    change(bytes)
                };
                change.apply(&mut inode.live);
                inode.unsynced.push(change);
                fails(fault)
            },
        )?;
        // A process can also die while only half of the bytes are in the cache.
        let mut state = self.disk.state.lock();
        if let Some(mut last) = state.moments.as_ref().and_then(|all| all.last().cloned()) {
            let inode = &mut last.image.inodes[self.inode];
            half.apply(&mut inode.live);
            inode.unsynced.push(half);
            last.what = format!("half of {}", last.what);
            state.moments.as_mut().unwrap().push(last);
        }
        Ok(())
    }

    fn write_all_vectored_at(&self, pieces: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let bytes: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| piece.iter().copied())
            .collect();
        self.write_all_at(&bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.change(
            || format!("sync {}", self.name),
            |image, fault| {
                let inode = &mut image.inodes[self.inode];
                let unsynced = std::mem::take(&mut inode.unsynced);
                // After a failure the pages count as clean, so no later sync writes them.
                fails(fault)?;
                for change in &unsynced {
                    change.apply(&mut inode.durable);
                }
                Ok(())
            },
        )
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let change = Change::SetLen(usize::try_from(len).unwrap());
        self.disk.change(
            || format!("set length of {} to {len}", self.name),
            |image, fault| {
                fails(fault)?;
                let inode = &mut image.inodes[self.inode];
                change.apply(&mut inode.live);
                inode.unsynced.push(change.clone());
                Ok(())
            },
        )
    }
}
