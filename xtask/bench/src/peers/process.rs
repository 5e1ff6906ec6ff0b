//! A server that is not ours as a child process: started with a log in its folder, ended together with its children.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a server may take to accept.
const START: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);
const LOG: &str = "stderr.log";

/// Whether a server is ready only once it has started processes of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Children {
    None,
    Awaited,
}

/// A running server.
pub(super) struct Process {
    child: Child,
    folder: TempDir,
}

impl Process {
    /// Starts a server and waits until it accepts, and until its children are there.
    pub(super) fn launch(
        mut command: Command,
        folder: TempDir,
        address: SocketAddr,
        children: Children,
    ) -> Result<Self> {
        let log = File::create(folder.path().join(LOG))?;
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let mut process = Self { child, folder };
        let begun = Instant::now();
        // It may accept before its children are there.
        while TcpStream::connect(address).is_err()
            || (children == Children::Awaited && process.all().len() == 1)
        {
            if process.child.try_wait()?.is_some() || begun.elapsed() > START {
                let log = fs::read_to_string(process.folder.path().join(LOG)).unwrap_or_default();
                bail!("{name} does not accept at {address}; its log:\n{}", log.trim_end());
            }
            std::thread::park_timeout(LOOK);
        }
        Ok(process)
    }

    /// It and its children.
    pub(super) fn all(&self) -> Vec<u32> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        std::iter::once(id).chain(children.split(' ').filter_map(|child| child.parse().ok())).collect()
    }
}

/// The parent first, so that it starts no new children.
impl Drop for Process {
    fn drop(&mut self) {
        for process in self.all().iter().filter_map(|&process| Pid::from_raw(i32::try_from(process).ok()?)) {
            // An error means that it has ended already.
            let _ = kill_process(process, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// A free loopback address. If another program takes it first, the start fails.
pub(super) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}
