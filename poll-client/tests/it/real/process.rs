//! A `poll` process, its lines as they come, and how it exits.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running command; dropping it kills it.
pub(crate) struct Poll {
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<String>,
    errors: Receiver<String>,
}

impl Poll {
    /// `poll ARGUMENTS` for the server at this address.
    pub(crate) fn start(server: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poll"));
        command.args(arguments).env("POLL_SERVER", server).env_remove("POLL_TOKEN");
        command.env_remove("POLL_ADMIN_TOKEN");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (output, errors) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Self { input: child.stdin.take(), child, output, errors }
    }

    /// The next line on its standard output.
    pub(crate) fn line(&self) -> String {
        self.output.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line; {:?}", self.errors.try_recv()))
    }

    /// The next line on its standard error.
    pub(crate) fn error(&self) -> String {
        self.errors.recv_timeout(PATIENCE).expect("a line on stderr")
    }

    /// Writes to its standard input.
    pub(crate) fn write(&mut self, text: &str) {
        self.input.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Ends its standard input.
    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end: its status, and the lines not taken yet.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<String>, Vec<String>) {
        self.end_input();
        let rest = |lines: &Receiver<String>| {
            std::iter::from_fn(|| match lines.recv_timeout(PATIENCE) {
                Ok(line) => Some(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
                Err(timeout) => panic!("the command does not end: {timeout}"),
            })
            .collect()
        };
        let (output, errors) = (rest(&self.output), rest(&self.errors));
        (self.child.wait().unwrap(), output, errors)
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Runs `poll ARGUMENTS` to its end: exit code, output, errors.
pub(crate) fn poll(server: &str, arguments: &[&str]) -> (i32, String, String) {
    let (status, output, errors) = Poll::start(server, arguments).end();
    (status.code().expect("no signal"), output.join("\n"), errors.join("\n"))
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
