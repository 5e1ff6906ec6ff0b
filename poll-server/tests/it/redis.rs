//! A real `redis-server` on a free port, with its files in a folder of its own; dropping it ends it.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::proxies::{Port, program};

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Redis {
    port: Port,
    arguments: Vec<String>,
    child: Option<Child>,
    files: tempfile::TempDir,
}

impl Redis {
    /// Starts one that keeps a file, with more `arguments`.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let files = tempfile::tempdir().unwrap();
        let mut redis = Self { port: Port::reserve(), arguments, child: None, files };
        redis.start_again();
        redis
    }

    /// Starts it on what it left.
    pub(crate) fn start_again(&mut self) {
        let mut command = Command::new(program("redis-server"));
        command.args(["--bind", "127.0.0.1", "--port", &self.port.number.to_string()]);
        command.args(["--save", "", "--appendonly", "yes", "--dir"]).arg(self.files.path());
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("redis-server is needed: apt-get install redis-server"));
        let deadline = Instant::now() + PATIENCE;
        while self.ask("PING").as_deref() != Some("+PONG\r\n") {
            assert!(Instant::now() < deadline, "redis-server does not answer");
            std::thread::yield_now();
        }
    }

    /// Ends it at once. What it wrote stays.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Gives it one command and what it says at once, which is all for short answers.
    pub(crate) fn ask(&self, command: &str) -> Option<String> {
        use std::io::{Read as _, Write as _};
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "{command}\r\n").ok()?;
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    /// Gives it a command that it must accept.
    pub(crate) fn tell(&self, command: &str) {
        assert_eq!(self.ask(command).as_deref(), Some("+OK\r\n"), "{command}");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _already_gone = child.kill();
            let _reaped = child.wait();
        }
    }
}
