//! A Redis of a test's own, on a free port and in a directory that goes with it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a Redis may take to start.
const START: Duration = Duration::from_secs(20);

/// A `redis-server` process. Ends when it is dropped.
pub(crate) struct RedisServer {
    process: Child,
    /// Its files, unless it shares another's.
    directory: TempDir,
    port: u16,
    arguments: Vec<String>,
}

impl RedisServer {
    /// Starts one without persistence, with these arguments more, and waits until it answers.
    ///
    /// # Panics
    /// When there is no `redis-server`, or it does not answer in time.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        // Another process may take the port between the look and the start; then the next one is tried.
        for _ in 0..10 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            let mut process = spawn(&directory, port, &arguments);
            if answers(&mut process, port) {
                return Self { process, directory, port, arguments };
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        panic!("no redis-server answers");
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}/", self.address())
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let process = Pid::from_raw(self.pid().try_into().unwrap()).unwrap();
        kill_process(process, signal).unwrap();
    }

    /// Starts it again after [`kill`](Self::kill), on the same port and with the same files.
    ///
    /// # Panics
    /// When it does not answer in time.
    pub(crate) fn restart(&mut self) {
        self.process = spawn(&self.directory, self.port, &self.arguments);
        assert!(answers(&mut self.process, self.port), "redis-server does not answer after a restart");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(directory: &TempDir, port: u16, arguments: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"])
        .arg("--dir")
        .arg(directory.path())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits until it says PONG, or has ended.
fn answers(process: &mut Child, port: u16) -> bool {
    let deadline = Instant::now() + START;
    while Instant::now() < deadline {
        if process.try_wait().unwrap().is_some() {
            return false;
        }
        if ping(port).is_ok_and(|pong| pong) {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

fn ping(port: u16) -> std::io::Result<bool> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    connection.set_read_timeout(Some(Duration::from_secs(1)))?;
    connection.write_all(b"PING\r\n")?;
    let mut reply = [0; 5];
    connection.read_exact(&mut reply)?;
    Ok(reply == *b"+PONG")
}
