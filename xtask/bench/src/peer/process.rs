//! Somebody else's server as a child process that may have children, in a folder of its own.
//!
//! Ended by SIGTERM, so that a server ends its workers too, and by force if that does not help. Unlike
//! [`xtask::server`] it is given an address instead of logging one, and is up once it accepts there.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a server may take to accept.
const START: Duration = Duration::from_secs(20);
/// How long it may take to end.
const END: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);
const LOG: &str = "stderr.log";

/// A running server.
pub(super) struct Process {
    child: Child,
    folder: TempDir,
}

impl Process {
    /// Starts it and waits until it accepts at `address`. Its log is a file in its folder.
    pub(super) fn start(mut command: Command, folder: TempDir, address: SocketAddr) -> Result<Self> {
        let log = File::create(folder.path().join(LOG))?;
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut process = Self { child, folder };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if process.child.try_wait()?.is_some() || begun.elapsed() > START {
                bail!("{name} does not accept at {address}; the end of its log:\n{}", process.end_of_log());
            }
            std::thread::park_timeout(LOOK);
        }
        Ok(process)
    }

    /// It and its children.
    pub(super) fn all(&self) -> Vec<u32> {
        let mut all = vec![self.child.id()];
        all.extend(children(self.child.id()));
        all
    }

    /// Waits until it has a child: a server whose workers are processes accepts before they are there.
    pub(super) fn with_children(self) -> Result<Self> {
        let begun = Instant::now();
        while children(self.child.id()).is_empty() {
            if begun.elapsed() > START {
                bail!("the server started no worker; the end of its log:\n{}", self.end_of_log());
            }
            std::thread::park_timeout(LOOK);
        }
        Ok(self)
    }

    fn end_of_log(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let all = self.all();
        // An error means that it has ended already.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let begun = Instant::now();
        while !matches!(self.child.try_wait(), Ok(Some(_))) {
            if begun.elapsed() > END {
                for process in all.iter().filter_map(|&process| Pid::from_raw(i32::try_from(process).ok()?)) {
                    let _ = kill_process(process, Signal::KILL);
                }
                let _ = self.child.wait();
                return;
            }
            std::thread::park_timeout(LOOK);
        }
    }
}

/// A free loopback port. If somebody else takes it first, the start fails.
pub(super) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}

/// A folder for one server, on the disk of the builds: the system's temporary folder may be in memory.
pub(super) fn folder() -> Result<TempDir> {
    let target = xtask::workspace::target();
    fs::create_dir_all(&target)?;
    tempfile::Builder::new().prefix("bench-").tempdir_in(&target).context("cannot make a folder for a server")
}

/// Processes whose parent this is.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&process: &u32| parent_of(process) == Some(parent))
        .collect()
}

fn parent_of(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat")).ok()?;
    // The state and the parent follow the name in brackets.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_found_under_its_parent() {
        let mut child = Command::new("sh").args(["-c", "read x"]).stdin(Stdio::piped()).spawn().unwrap();
        assert!(children(std::process::id()).contains(&child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_program_that_ends_is_quoted() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no port >&2; exit 1"]);
        let error = Process::start(command, folder().unwrap(), free_address().unwrap()).err().unwrap();
        assert!(format!("{error:#}").ends_with("no port"), "{error:#}");
    }
}
