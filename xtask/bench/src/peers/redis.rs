//! A Redis that servers share: Debian's, with its defaults except that it keeps nothing on disk.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use xtask::tools::{self, Install, TOOLS};

use super::folder::folder;

/// How long it may take to accept.
const START: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// A running Redis. Killed when dropped.
pub(crate) struct Redis {
    pub(crate) address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Redis {
    /// Starts one on the cores of this thread.
    pub(crate) fn start() -> Result<Self> {
        let program = tools::find("redis-server").context("redis-server is missing")?;
        let folder = folder()?;
        let address = TcpListener::bind(("127.0.0.1", 0)).context("no free port")?.local_addr()?;
        let log = File::create(folder.path().join("log"))?;
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", ""]);
        command.arg("--dir").arg(folder.path()).stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
        let child = command.spawn().context("cannot start redis-server")?;
        let mut redis = Self { address, child, _folder: folder };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            ensure!(redis.child.try_wait()?.is_none(), "redis-server has ended");
            ensure!(begun.elapsed() < START, "redis-server does not accept after {START:?}");
            std::thread::park_timeout(LOOK);
        }
        Ok(redis)
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Neither can fail for a child that is ours and not yet waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes sure of redis-server; fails with the line that installs it.
pub(crate) fn ensure() -> Result<()> {
    let ours: Vec<_> = TOOLS.iter().filter(|tool| tool.program.starts_with("redis-")).copied().collect();
    tools::ensure_these(&ours, "the bench", Install::Allowed)
}
