//! How much memory there is for this process, and what requests may hold of it where nobody says.
//!
//! ```text
//! /proc/meminfo            the machine's
//! /proc/self/limits        what the process may address (ulimit -v)
//! cgroup v2                memory.max of its group and of those above
//! cgroup v1                memory.limit_in_bytes, likewise
//! ```
//!
//! The least of them counts. What cannot be read, or says no number, is passed over.

use std::fs::read_to_string;
use std::path::Path;

/// Requests may hold one part in so many of the memory.
const SHARE: u64 = 4;
/// What they may hold however little there is: less than this would not serve.
const LEAST_BYTES: u64 = 64 << 20;
/// What is taken for the memory where nothing tells.
const UNKNOWN_BYTES: u64 = 4 << 30;

/// The embedded engine's cache, as a part of what requests may hold, and its least and most.
const CACHE_SHARE: u64 = 4;
const CACHE_BYTES: (u64, u64) = (16 << 20, 256 << 20);

/// What requests may hold in sum where nobody says.
pub(crate) fn default_budget() -> u64 {
    budget_of(available(Path::new("/")))
}

/// What the embedded engine caches beside that.
pub(crate) fn engine_cache(budget: u64) -> u64 {
    let (least, most) = CACHE_BYTES;
    (budget / CACHE_SHARE).clamp(least, most)
}

fn budget_of(available: Option<u64>) -> u64 {
    (available.unwrap_or(UNKNOWN_BYTES) / SHARE).max(LEAST_BYTES)
}

/// The memory of this process, in bytes; files are looked for below `root`.
fn available(root: &Path) -> Option<u64> {
    let machine = read_to_string(root.join("proc/meminfo"));
    let machine = machine.ok().and_then(|text| total(&text));
    let addressed = read_to_string(root.join("proc/self/limits"));
    let addressed = addressed.ok().and_then(|text| address_space(&text));
    let groups = read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let groups = groups.lines().flat_map(|group| limits_of(root, group));
    groups.chain(machine).chain(addressed).min()
}

/// `MemTotal` of `/proc/meminfo`, which is in kibibytes.
fn total(meminfo: &str) -> Option<u64> {
    let rest = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = rest.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The soft limit of the address space.
fn address_space(limits: &str) -> Option<u64> {
    let rest = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max address space"))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The limits of a line of `/proc/self/cgroup`, `ID:CONTROLLERS:/PATH`: of the group, of all above it, and of
/// the root, where a container sees its own.
fn limits_of(root: &Path, group: &str) -> Vec<u64> {
    let mut parts = group.splitn(3, ':');
    let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
    else {
        return Vec::new();
    };
    let (hierarchy, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        several if several.split(',').any(|one| one == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let hierarchy = root.join(hierarchy);
    let path = Path::new(path.trim_start_matches('/'));
    let limit = |above: &Path| -> Option<u64> {
        let text = read_to_string(hierarchy.join(above).join(file)).ok()?;
        text.trim().parse().ok()
    };
    path.ancestors().filter_map(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Path and text.
    type File<'a> = (&'a str, &'a str);

    /// What is available where these files are.
    fn of(files: &[File<'_>]) -> Option<u64> {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        available(dir.path())
    }

    #[test]
    fn the_least_of_what_limits_the_process_counts() {
        let machine = ("proc/meminfo", "MemTotal:  8388608 kB\nMemFree: 1 kB\n");
        let second = ("proc/self/cgroup", "0::/system.slice/quire.service\n");
        let own = "sys/fs/cgroup/system.slice/quire.service/memory.max";
        let above = "sys/fs/cgroup/system.slice/memory.max";
        let first = ("proc/self/cgroup", "3:cpu:/a\n4:hugetlb,memory:/docker/1\n");
        let old = "sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes";
        let of_container = "sys/fs/cgroup/memory/memory.limit_in_bytes";
        let unlimited = (
            "proc/self/limits",
            "Max address space  unlimited unlimited bytes\n",
        );
        let limited = (
            "proc/self/limits",
            "Max address space  2097152 unlimited bytes\n",
        );
        let rows: [(&[File<'_>], Option<u64>); 9] = [
            (&[], None),
            (&[machine, unlimited], Some(8192 * MIB)),
            (&[machine, limited], Some(2 * MIB)),
            (&[machine, second, (own, "max\n")], Some(8192 * MIB)),
            (&[machine, second, (own, "2147483648\n")], Some(2048 * MIB)),
            (
                &[machine, second, (own, "max\n"), (above, "1048576\n")],
                Some(MIB),
            ),
            (&[machine, first, (old, "1048576\n")], Some(MIB)),
            (&[machine, first, (of_container, "1048576\n")], Some(MIB)),
            (
                &[machine, first, (old, "9223372036854771712\n")],
                Some(8192 * MIB),
            ),
        ];
        for (files, expected) in rows {
            assert_eq!(of(files), expected, "{files:?}");
        }
    }

    #[test]
    fn requests_may_hold_a_quarter_and_never_less_than_what_serves() {
        assert_eq!(budget_of(Some(2048 * MIB)), 512 * MIB);
        assert_eq!(budget_of(Some(100 * MIB)), 64 * MIB);
        assert_eq!(budget_of(None), 1024 * MIB);
        for (budget, cache) in [(32, 16), (512, 128), (1024, 256), (6144, 256)] {
            assert_eq!(engine_cache(budget * MIB), cache * MIB, "{budget}");
        }
    }
}
