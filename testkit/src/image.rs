//! What a simulated disk holds: live and durable bytes of every file, live and durable names. It
//! tells what a power loss leaves of them. See [`sim_disk`](super::sim_disk) for the faults.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::rng::Rng;

const SECTOR: usize = 512;

/// A change of a file that no sync has covered.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

impl Change {
    pub(crate) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
            Self::SetLen(len) => content.resize(*len, 0),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Inode {
    pub(crate) live: Vec<u8>,
    pub(crate) durable: Vec<u8>,
    pub(crate) unsynced: Vec<Change>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Dir,
    File(usize),
}

/// Everything a disk holds, cached and durable.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pub(crate) inodes: Vec<Inode>,
    pub(crate) live: BTreeMap<PathBuf, Node>,
    pub(crate) durable: BTreeMap<PathBuf, Node>,
    /// Directories that were renamed and not synced since: the old and the new path.
    pub(crate) renamed: Vec<(PathBuf, PathBuf)>,
}

/// Which of the changes that no sync covered survive a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// No change survives.
    None,
    /// All changes survive.
    All,
    /// All entries and lengths survive, but no bytes: the files end in zeros.
    LengthsOnly,
    /// A seed decides: some entries survive, and of each file a prefix torn at a byte, or some
    /// sectors.
    Torn(u64),
}

impl Image {
    pub(crate) fn parent_exists(names: &BTreeMap<PathBuf, Node>, path: &Path) -> bool {
        path.parent()
            .is_some_and(|parent| names.get(parent) == Some(&Node::Dir))
    }

    /// A disk on which only `root` exists.
    pub fn new(root: &Path) -> Self {
        let names = BTreeMap::from([(root.to_owned(), Node::Dir)]);
        Self {
            inodes: Vec::new(),
            live: names.clone(),
            durable: names,
            renamed: Vec::new(),
        }
    }

    /// Renames a directory with all that is in it.
    pub(crate) fn rename_dir(names: &mut BTreeMap<PathBuf, Node>, from: &Path, to: &Path) {
        let below = names.keys().filter(|path| path.starts_with(from));
        let below: Vec<PathBuf> = below.cloned().collect();
        for path in below {
            if let (Some(node), Ok(rest)) = (names.remove(&path), path.strip_prefix(from)) {
                let path = if rest.as_os_str().is_empty() {
                    to.to_owned()
                } else {
                    to.join(rest)
                };
                names.insert(path, node);
            }
        }
    }

    /// The image after the power came back.
    pub fn after_power_loss(mut self, loss: Loss) -> Self {
        let mut rng = Rng::new(match loss {
            Loss::Torn(seed) => seed,
            _ => 0,
        });
        // A directory has its old name or its new name, and holds what was durable in it.
        for (from, to) in std::mem::take(&mut self.renamed) {
            let keeps = match loss {
                Loss::None => false,
                Loss::All | Loss::LengthsOnly => true,
                Loss::Torn(_) => rng.chance(2),
            };
            if keeps {
                Self::rename_dir(&mut self.durable, &from, &to);
            } else {
                Self::rename_dir(&mut self.live, &to, &from);
            }
        }
        let mut names = self.durable.clone();
        let all: Vec<PathBuf> = self.live.keys().chain(names.keys()).cloned().collect();
        for path in all {
            let keeps = match loss {
                Loss::None => false,
                Loss::All | Loss::LengthsOnly => true,
                Loss::Torn(_) => !rng.chance(3),
            };
            if keeps {
                match self.live.get(&path) {
                    Some(node) => names.insert(path, *node),
                    None => names.remove(&path),
                };
            }
        }
        // If the entry of a directory is lost, its content is lost too. Parents sort first.
        let mut kept = BTreeMap::new();
        for (path, node) in names {
            if self.is_root(&path) || Self::parent_exists(&kept, &path) {
                kept.insert(path, node);
            }
        }
        let names = kept;
        for inode in &mut self.inodes {
            inode.lose(loss, &mut rng);
        }
        self.live.clone_from(&names);
        self.durable = names;
        self
    }

    fn is_root(&self, path: &Path) -> bool {
        self.live.keys().next().is_some_and(|root| root == path)
    }

    /// What a killed process leaves if the kernel also failed to write the cached pages back and
    /// counts them as clean.
    pub fn with_clean_pages(mut self) -> Self {
        for inode in &mut self.inodes {
            inode.unsynced.clear();
        }
        self
    }

    /// The files below `dir`, as a read sees them.
    pub fn files(&self, dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let files = self.live.iter().filter(|(path, _)| path.starts_with(dir));
        files
            .filter_map(|(path, node)| match node {
                Node::Dir => None,
                Node::File(inode) => Some((path.clone(), self.inodes[*inode].live.clone())),
            })
            .collect()
    }
}

impl Inode {
    fn lose(&mut self, loss: Loss, rng: &mut Rng) {
        let unsynced = std::mem::take(&mut self.unsynced);
        let durable = &mut self.durable;
        match loss {
            Loss::None => {}
            Loss::All => unsynced.iter().for_each(|change| change.apply(durable)),
            Loss::LengthsOnly => {
                if !unsynced.is_empty() {
                    durable.resize(self.live.len(), 0);
                }
            }
            Loss::Torn(_) if rng.chance(2) => {
                let whole = rng.below(unsynced.len() + 1);
                unsynced[..whole]
                    .iter()
                    .for_each(|change| change.apply(durable));
                if let Some(Change::Write { offset, bytes }) = unsynced.get(whole) {
                    let torn = bytes[..rng.below(bytes.len() + 1)].to_vec();
                    let offset = *offset;
                    Change::Write {
                        offset,
                        bytes: torn,
                    }
                    .apply(durable);
                }
            }
            Loss::Torn(_) => {
                for change in &unsynced {
                    let Change::Write { offset, bytes } = change else {
                        if rng.chance(2) {
                            change.apply(durable);
                        }
                        continue;
                    };
                    // The sectors are those of a file, not of a write: the first may hold less than
                    // 512 bytes.
                    let mut at = 0;
                    while at < bytes.len() {
                        let end = (at + SECTOR - (offset + at) % SECTOR).min(bytes.len());
                        if rng.chance(2) {
                            let bytes = bytes[at..end].to_vec();
                            let offset = offset + at;
                            Change::Write { offset, bytes }.apply(durable);
                        }
                        at = end;
                    }
                }
            }
        }
        self.live.clone_from(durable);
    }
}
