//! Somebody else's server as a child process that has children, in a folder of its own.
//!
//! Unlike [`xtask::server`] it is given an address instead of logging one, and is up once it accepts there.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::endpoints::Endpoints;
use crate::peer::Running;
use crate::target::{Needs, Target};

/// How long a server may take to accept.
const START: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);
const LOG: &str = "stderr.log";

/// A running server.
struct Process {
    child: Child,
    folder: TempDir,
}

/// Starts a server and waits until it accepts and its workers are there. Its log is a file in its folder.
pub(super) fn start(mut command: Command, folder: TempDir, endpoints: Endpoints) -> Result<Running> {
    let log = File::create(folder.path().join(LOG))?;
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
    let mut process = Process { child, folder };
    let begun = Instant::now();
    // It accepts before its workers are there.
    while TcpStream::connect(endpoints.address).is_err() || process.all().len() == 1 {
        if process.child.try_wait()?.is_some() || begun.elapsed() > START {
            let log = fs::read_to_string(process.folder.path().join(LOG)).unwrap_or_default();
            bail!("{name} does not accept at {}; its log:\n{}", endpoints.address, log.trim_end());
        }
        std::thread::park_timeout(LOOK);
    }
    let target = Target { endpoints, processes: process.all(), waits: Needs::PLAIN.waits() };
    Ok(Running::new(target, process))
}

impl Process {
    /// It and its children.
    fn all(&self) -> Vec<u32> {
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

/// A free loopback address. If somebody else takes it first, the start fails.
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
