//! The memory and file limits of this process, as the system reports them.

use std::path::{Path, PathBuf};

/// Returns the peak resident memory of this process in bytes; 0 if the system does not report it.
pub fn peak_memory() -> u64 {
    read_status_field("VmHWM:")
}

/// Returns the current resident memory of this process in bytes; 0 if the system does not report it.
pub fn resident_memory() -> u64 {
    read_status_field("VmRSS:")
}

fn read_status_field(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| parse_kilobytes(line.strip_prefix(name)?)).unwrap_or(0)
}

/// Raises this process's limit on open files to the maximum that the system allows: a source may have
/// thousands.
pub fn allow_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Returns the memory that this process may use, in bytes: that of the machine, or the lowest limit of its
/// control groups (version 1 or 2) if that is lower. None if the system reports neither.
pub fn usable_memory() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| {
        text.lines().find_map(|line| parse_kilobytes(line.strip_prefix("MemTotal:")?))
    });
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = cgroup_limit_files(&groups, Path::new("/sys/fs/cgroup"));
    let limits = limits.iter().filter_map(|file| {
        std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok() // `max` means no limit.
    });
    machine.into_iter().chain(limits).min()
}

/// The pressure on a machine: the part of the last 10 s, in percent, in which some task waited.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// For memory.
    pub memory: f64,
    /// For a processor.
    pub cpu: f64,
}

/// Returns the pressure that the system reports; None if it reports none.
pub fn read_pressure() -> Option<Pressure> {
    let read = |what: &str| {
        let text = std::fs::read_to_string(format!("/proc/pressure/{what}")).ok()?;
        parse_pressure(&text)
    };
    Some(Pressure { memory: read("memory")?, cpu: read("cpu")? })
}

/// Parses the first line of a file of /proc/pressure: `some avg10=1.50 avg60=...`.
fn parse_pressure(text: &str) -> Option<f64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split(' ').find_map(|part| part.strip_prefix("avg10=")?.parse().ok())
}

/// Parses `1024 kB` into bytes.
fn parse_kilobytes(text: &str) -> Option<u64> {
    text.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Returns the files that hold the memory limits of a process, from the text of its /proc/self/cgroup: those
/// of its group and of all groups above it.
fn cgroup_limit_files(groups: &str, root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(kinds), Some(group)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let (root, name) = match kinds {
            "" => (root.to_path_buf(), "memory.max"),
            kinds if kinds.split(',').any(|kind| kind == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = Path::new(group.trim_start_matches('/'));
        files.extend(group.ancestors().map(|group| root.join(group).join(name)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_all_above_them_limit() {
        let root = Path::new("/sys/fs/cgroup");
        let files = |groups: &str| -> Vec<String> {
            let files = cgroup_limit_files(groups, root);
            files.iter().map(|file| file.display().to_string()).collect()
        };
        assert_eq!(
            files("0::/a.slice/job"),
            [
                "/sys/fs/cgroup/a.slice/job/memory.max",
                "/sys/fs/cgroup/a.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(
            files("5:cpu,cpuacct:/x\n4:memory:/docker/1\n1:name=systemd:/"),
            [
                "/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes"
            ]
        );
        assert_eq!(parse_kilobytes("   2048 kB"), Some(2 << 20));
        assert_eq!(parse_kilobytes("2048"), None);
        assert!(usable_memory().is_some_and(|bytes| bytes > 1 << 26));
        assert!(resident_memory() > 1 << 16 && peak_memory() >= resident_memory() / 2);
    }
}
