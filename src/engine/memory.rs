//! How much memory there is, for whoever sets no limit.

/// Three quarters of what the machine or its container has: sorts spill before the system stops the
/// process. None where neither tells.
pub(super) fn most() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| of_machine(&text));
    let container = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok())
        .min();
    let all = [machine, container].into_iter().flatten().min()?;
    Some(all / 4 * 3)
}

/// `MemTotal: 1024 kB` in bytes.
fn of_machine(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_memory_is_read() {
        assert_eq!(of_machine("MemTotal:   2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
        assert_eq!(of_machine("MemFree: 1 kB\n"), None);
        assert!(most().is_none_or(|bytes| bytes > 64 << 20));
    }
}
