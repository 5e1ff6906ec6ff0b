//! A real server as a child process: built or found, started on a free port, ended by its own process id.
//!
//! Used by every command that talks to a server. Knows nothing of what is asked of it.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::workspace::{cargo, run, target};

/// How long a server may take to say where it listens. Generous: a loaded machine is no fault of the server's.
const START: Duration = Duration::from_secs(30);
/// Log lines kept for a failure's message.
const TAIL: usize = 20;
/// What a server says in front of its address.
const LISTENING: [&str; 2] = ["listening on http://", "listening on https://"];

/// The server's program, and what it finds in its environment beside our own.
#[derive(Clone, Debug)]
pub struct Binary {
    path: PathBuf,
    environment: Vec<(String, String)>,
}

impl Binary {
    /// The one given on the command line, else a fresh release build.
    pub fn given_or_built(given: Option<&Path>) -> Result<Self> {
        if let Some(path) = given {
            ensure!(path.is_file(), "{} is not a program", path.display());
            return Ok(Self::at(std::path::absolute(path)?));
        }
        run(&mut cargo(["build", "--release", "--package", "poll-server"]))?;
        Ok(Self::at(target().join("release/poll-server")))
    }

    fn at(path: PathBuf) -> Self {
        Self { path, environment: Vec::new() }
    }

    /// The same program with one more variable in its environment.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command that runs the program, with this binary's environment variables and without `RUST_LOG`.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        command.env_remove("RUST_LOG").envs(environment).stdin(Stdio::null());
        command
    }

    /// The one that `cargo test` has built beside its tests.
    pub fn of_the_tests() -> Result<Self> {
        let path = target().join("debug/poll-server");
        ensure!(path.is_file(), "the tests have left no server at {}", path.display());
        Ok(Self::at(path))
    }
}

/// Whether a Ctrl-C at the keyboard reaches the server too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyboard {
    /// It ends the server together with us.
    Shared,
    /// It is for us alone, and we drop the server.
    Apart,
}

/// A running server. Killed when dropped, unless it was ended before.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// None until it has said so.
    address: Option<SocketAddr>,
    say_address: Receiver<SocketAddr>,
    /// Gives nothing; its other end is dropped when the server closes its error stream, that is, when it is gone.
    gone: Receiver<()>,
    log: Option<JoinHandle<VecDeque<String>>>,
}

impl Server {
    /// Starts a server and waits until it listens.
    pub fn start(binary: &Binary, arguments: &[&str], keyboard: Keyboard) -> Result<Self> {
        let mut server = Self::spawn(binary, arguments, keyboard)?;
        match server.say_address.recv_timeout(START) {
            Ok(address) => server.address = Some(address),
            Err(_) => bail!("the server did not say where it listens; {}", server.end_and_quote()),
        }
        Ok(server)
    }

    /// Starts a server and waits for nothing. Unless the arguments say otherwise it listens on a free port of the
    /// loopback interface and keeps its store in memory.
    pub fn spawn(binary: &Binary, arguments: &[&str], keyboard: Keyboard) -> Result<Self> {
        let is_given = |option| arguments.iter().any(|argument| argument.starts_with(option));
        let defaults = [("--listen", "--listen=127.0.0.1:0"), ("--store", "--store=memory:")];
        let defaults = defaults.iter().filter(|(option, _)| !is_given(option)).map(|(_, default)| default);
        let mut command = binary.command();
        if keyboard == Keyboard::Apart {
            command.process_group(0);
        }
        let mut child = command
            .args(defaults)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.path.display()))?;
        let errors = child.stderr.take().context("the server's error stream is a pipe")?;
        let (tell_address, say_address) = channel();
        let (hold, gone) = channel();
        let log = std::thread::spawn(move || follow(errors, &tell_address, &hold));
        Ok(Self { child, address: None, say_address, gone, log: Some(log) })
    }

    /// Whether it has said by now that it listens; an error if it has ended instead.
    pub fn is_listening(&mut self) -> Result<bool> {
        if self.address.is_none() {
            self.address = self.say_address.try_recv().ok();
        }
        ensure!(self.address.is_some() || !self.has_ended(), "the server ended; {}", self.end_and_quote());
        Ok(self.address.is_some())
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        matches!(self.gone.try_recv(), Err(TryRecvError::Disconnected))
    }

    /// Asks it to drain, and waits for nothing.
    pub fn terminate(&self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).context("cannot signal the server")
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens, once it has [said so](Self::is_listening).
    pub fn address(&self) -> SocketAddr {
        self.address.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Asks it to drain, waits at most so long, and fails unless it ends by itself with 0.
    pub fn drain(self, patience: Duration) -> Result<()> {
        self.terminate()?;
        self.wait(patience)
    }

    /// Waits at most so long for it to end, and fails unless it does so with 0.
    pub fn wait(mut self, patience: Duration) -> Result<()> {
        match self.gone.recv_timeout(patience) {
            Err(RecvTimeoutError::Disconnected) => {}
            _ => bail!(
                "the server did not end within {} s of SIGTERM; {}",
                patience.as_secs(),
                self.end_and_quote()
            ),
        }
        let status: ExitStatus = self.child.wait().context("cannot wait for the server")?;
        ensure!(status.success(), "the server ended with {status}; {}", self.end_and_quote());
        Ok(())
    }

    /// Ends it at once and gives the last lines of its log.
    pub fn end(&mut self) -> VecDeque<String> {
        self.kill();
        self.log.take().and_then(|log| log.join().ok()).unwrap_or_default()
    }

    /// The same as one text.
    fn end_and_quote(&mut self) -> String {
        let lines = self.end();
        if lines.is_empty() {
            return "it logged nothing".to_owned();
        }
        format!("its last words:\n  {}", Vec::from(lines).join("\n  "))
    }

    fn kill(&mut self) {
        // Neither can fail for a child that is ours and not yet waited for; once waited for, both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads the log to its end, so that the server never blocks on it; the first address goes to the starter.
fn follow(errors: ChildStderr, say_address: &Sender<SocketAddr>, _hold: &Sender<()>) -> VecDeque<String> {
    let mut last = VecDeque::with_capacity(TAIL);
    for line in BufReader::new(errors).lines().map_while(Result::ok) {
        if let Some(address) = address_in(&line) {
            // The starter takes the first and hangs up.
            let _ = say_address.send(address);
        }
        if last.len() == TAIL {
            last.pop_front();
        }
        last.push_back(line);
    }
    last
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = LISTENING.iter().find_map(|words| line.split_once(words))?;
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '/' | '\x1b')).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_text_and_json_logs() {
        let address = "127.0.0.1:8080".parse().ok();
        assert_eq!(address_in("listening on http://127.0.0.1:8080"), address);
        assert_eq!(
            address_in("2026-11-20T10:00:00Z  INFO listening on http://127.0.0.1:8080 workers=2"),
            address
        );
        assert_eq!(address_in("listening on https://127.0.0.1:8080"), address);
        assert_eq!(address_in(r#"{"message":"listening on http://127.0.0.1:8080"}"#), address);
        assert_eq!(address_in("listening on nothing"), None);
    }

    #[test]
    fn a_program_that_never_listens_is_quoted() {
        // Any program that knows no `--listen` says so and goes.
        let error = Server::start(&Binary::at("/bin/sh".into()), &[], Keyboard::Shared).unwrap_err();
        assert!(format!("{error:#}").contains("option"), "{error:#}");
    }
}
