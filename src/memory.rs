//! How much memory there is, and what asks for a lot of it at once.

use crate::units::show_bytes;
use std::path::{Path, PathBuf};

/// Value of a field of `/proc/self/status`.
pub(crate) fn status(key: &str) -> Option<String> {
    field(&std::fs::read_to_string("/proc/self/status").ok()?, key)
}

/// Bytes of a field that a file of the system has in kB.
pub(crate) fn kilobytes(file: &str, key: &str) -> Option<u64> {
    let kilobytes: u64 = field(&std::fs::read_to_string(file).ok()?, key)?.strip_suffix(" kB")?.trim().parse().ok()?;
    Some(1024 * kilobytes)
}

/// Value of the first line `key : value`.
pub(crate) fn field(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find(|l| l.split(':').next().is_some_and(|k| k.trim() == key))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

/// What this process can have: the memory of the machine, or what its container is limited to.
pub(crate) fn total() -> Option<u64> {
    least([kilobytes("/proc/meminfo", "MemTotal"), container()])
}

/// What this process can still have, as far as the system tells: the machine's memory that is not in use, what its container and a limit on its addresses (`ulimit -v`) leave it.
fn left() -> Option<u64> {
    let of_machine = kilobytes("/proc/meminfo", "MemAvailable").map(|free| free + kilobytes("/proc/meminfo", "SwapFree").unwrap_or(0));
    let beside = |limit: Option<u64>, key| Some(limit?.saturating_sub(kilobytes("/proc/self/status", key)?));
    let addresses = rustix::process::getrlimit(rustix::process::Resource::As).current;
    least([of_machine, beside(container(), "VmRSS"), beside(addresses, "VmSize")])
}

fn least<const N: usize>(all: [Option<u64>; N]) -> Option<u64> {
    all.into_iter().flatten().min()
}

/// The limit of the container (control group) that this process is in, if it has one.
fn container() -> Option<u64> {
    limit_of(&std::fs::read_to_string("/proc/self/cgroup").ok()?, Path::new("/sys/fs/cgroup"))
}

/// The least limit of the groups that `/proc/self/cgroup` names and of those above them, of either version; `mount` is where they are. A group that a container does not see
/// stands at the root there.
fn limit_of(groups: &str, mount: &Path) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let (controllers, own) = line.split_once(':')?.1.split_once(':')?;
        let (root, name) = match controllers {
            "" => (mount.to_path_buf(), "memory.max"),
            of if of.split(',').any(|c| c == "memory") => (mount.join("memory"), "memory.limit_in_bytes"),
            _ => return None,
        };
        let own = PathBuf::from(own.trim_start_matches('/'));
        own.ancestors().filter_map(|group| std::fs::read_to_string(root.join(group).join(name)).ok()?.trim().parse().ok()).min()
    });
    limits.min()
}

/// Whether this process can still have so many bytes, as far as the system tells.
pub(crate) fn is_left(bytes: u64) -> bool {
    left().is_none_or(|left| bytes <= left)
}

/// Panics, as libtorch does where it is refused memory, if so many bytes cannot be had: better than to be killed, or to abort, when they are used. Who trains takes it as an outcome.
///
/// # Panics
/// With a text that [`crate::units::is_exhaustion`] knows.
pub(crate) fn demand(bytes: u64, what: &str) {
    if let Some(left) = left().filter(|left| bytes > *left) {
        let (wanted, left) = (show_bytes(bytes), show_bytes(left));
        panic!("can't allocate memory: {what}, of which {left} are left: you tried to allocate {wanted}. ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "MemTotalX: 1 kB\nMemTotal:       16 kB\nmodel name\t: AMD EPYC\n";
        assert_eq!(field(text, "MemTotal").as_deref(), Some("16 kB"));
        assert_eq!(field(text, "model name").as_deref(), Some("AMD EPYC"));
        assert_eq!(field(text, "Mem"), None);
    }

    #[test]
    fn the_least_limit_of_a_group_and_those_above_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let of = |groups: &str| limit_of(groups, folder.path());
        assert_eq!(of("0::/a/b\n"), None, "there are no files");
        put("a/b/memory.max", "max\n");
        put("a/memory.max", "5000\n");
        assert_eq!(of("0::/a/b\n"), Some(5000), "that of the group above");
        put("a/b/memory.max", "4000\n");
        assert_eq!(of("0::/a/b\n"), Some(4000));
        put("memory.max", "3000\n");
        assert_eq!(of("0::/not/seen/here\n"), Some(3000), "in a container its own group is the root");
        put("memory/memory.limit_in_bytes", "2000\n");
        assert_eq!(of("4:cpu,cpuacct:/x\n3:memory:/docker/1\n"), Some(2000), "the first version");
    }

    #[test]
    fn what_cannot_be_had_is_refused_before_it_is_used() {
        demand(1, "a byte");
        assert!(is_left(1) && !is_left(u64::MAX));
        let payload = std::panic::catch_unwind(|| demand(u64::MAX, "the weights")).unwrap_err();
        assert!(crate::units::is_exhaustion(payload.downcast_ref::<String>().unwrap()));
        assert!(total().is_none_or(|bytes| bytes > 100 << 20));
    }
}
