//! What the machine has, as far as the system says: Linux says all of it.

use std::path::Path;

use poll_core::environment::Environment;
use rustix::process::{Resource, getrlimit};

/// What the machine has; `None` is not known, or for files unlimited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    /// Open files that the server may have, once it has raised its own limit.
    pub(super) files: Option<u64>,
    /// The longest queue of connections that are not accepted yet.
    pub(super) somaxconn: Option<u64>,
    /// Bytes of memory: the machine's, or the container's.
    pub(super) memory: Option<u64>,
    /// Cores that the process may use.
    pub(super) cores: Option<usize>,
}

impl Machine {
    pub(super) fn read(environment: &Environment) -> Self {
        let text = |path: &str| environment.read_file(Path::new(path)).ok();
        let number = |path: &str| text(path)?.trim().parse::<u64>().ok();
        let installed = text("/proc/meminfo").and_then(|text| installed(&text));
        // Version 2 of control groups, then version 1, where no limit is a huge number.
        let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
        let allowed = groups.into_iter().find_map(number);
        Self {
            files: getrlimit(Resource::Nofile).maximum,
            somaxconn: number("/proc/sys/net/core/somaxconn"),
            memory: installed.into_iter().chain(allowed).min(),
            cores: std::thread::available_parallelism().ok().map(usize::from),
        }
    }
}

/// `MemTotal: 16303412 kB`, in bytes.
fn installed(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_what_linux_says() {
        assert_eq!(installed("MemTotal:       16303412 kB\nMemFree: 1 kB\n"), Some(16_303_412 * 1_024));
        assert_eq!(installed("MemFree: 1 kB\n"), None);
    }
}
