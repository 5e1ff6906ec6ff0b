//! A running `poll-server`: started, listened to, asked, signalled, and never left behind.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before a test gives up; far beyond what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary, with no environment of the caller's that could configure it.
pub(crate) fn command() -> Command {
    cleaned(Command::new(env!("CARGO_BIN_EXE_poll-server")))
}

/// The binary started by a shell that sets a limit of `files` open files first.
pub(crate) fn command_under_limit(files: u32) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
    command.args(["-c", script.as_str(), env!("CARGO_BIN_EXE_poll-server")]);
    cleaned(command)
}

/// The binary as a supervisor like systemd starts it, which has the listening socket and keeps it.
pub(crate) fn command_on(socket: &TcpListener) -> Command {
    let mut command = Command::new("sh");
    // Sockets are handed over from number 3 on.
    let script = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" 3<&0 0</dev/null";
    command.args(["-c", script, env!("CARGO_BIN_EXE_poll-server")]);
    let mut command = cleaned(command);
    command.stdin(Stdio::from(OwnedFd::from(socket.try_clone().unwrap())));
    command
}

/// The same of any command that starts it.
pub(crate) fn cleaned(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name == "RUST_LOG" || name.to_string_lossy().starts_with("POLL_") {
            command.env_remove(name);
        }
    }
    // What a test is not about leaves nothing behind.
    command.env("POLL_STORE", "memory:").stdin(Stdio::null());
    command
}

/// Its log so far, and a bell for each new line.
#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<String>, Ended)>,
    bell: Condvar,
}

#[derive(Default, PartialEq, Eq)]
enum Ended {
    Yes,
    #[default]
    No,
}

/// A server process; dropping it kills it.
pub(crate) struct Server {
    child: Child,
    log: Arc<Log>,
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Server {
    /// Starts on a free port of loopback with `arguments` and waits until it listens.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = command();
        command.args(["--listen", "127.0.0.1:0"]).args(arguments);
        Self::start_command(command, 1)
    }

    /// Starts `command` and waits for `count` address lines.
    pub(crate) fn start_command(mut command: Command, count: usize) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Log::default());
        let (stderr, heard) = (child.stderr.take().unwrap(), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                heard.lines.lock().unwrap().0.push(line);
                heard.bell.notify_all();
            }
            heard.lines.lock().unwrap().1 = Ended::Yes;
            heard.bell.notify_all();
        });
        let mut server = Self { child, log, addresses: Vec::new() };
        server.wait_for(count, "listening on http");
        let lines = server.lines("listening on http");
        let address = |line: &String| {
            let rest = line.split("://").nth(1).unwrap();
            rest.split(['"', ' ']).next().unwrap().parse().unwrap()
        };
        server.addresses = lines.iter().map(address).collect();
        server
    }

    /// All lines so far that hold `words`.
    pub(crate) fn lines(&self, words: &str) -> Vec<String> {
        let lines = self.log.lines.lock().unwrap();
        lines.0.iter().filter(|line| line.contains(words)).cloned().collect()
    }

    /// Waits until `count` lines hold `words`.
    pub(crate) fn wait_for(&self, count: usize, words: &str) {
        let found = |lines: &[String]| lines.iter().filter(|line| line.contains(words)).count() >= count;
        let lines = self.log.lines.lock().unwrap();
        let missing = |(lines, ended): &mut (Vec<String>, Ended)| !found(lines) && *ended == Ended::No;
        let (lines, _) = self.log.bell.wait_timeout_while(lines, PATIENCE, missing).unwrap();
        assert!(found(&lines.0), "no {count} lines with {words:?} in {:#?}", lines.0);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addresses[0])
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addresses[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// One GET on a connection of its own, head and body as they came.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = self.connect();
        let host = self.addresses[0];
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// One POST without content, the same way.
    pub(crate) fn post(&self, path: &str) -> String {
        let mut stream = self.connect();
        let host = self.addresses[0];
        let fields = format!("Host: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        write!(stream, "POST {path} HTTP/1.1\r\n{fields}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Asks `path` again and again until its answer holds `words`.
    pub(crate) fn get_until(&self, path: &str, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path);
            if answer.contains(words) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path} never said {words:?}: {answer}");
            std::thread::yield_now();
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A pipe at `path` that no one writes to.
pub(crate) fn make_pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// `curl ARGUMENTS`, with its output kept.
pub(crate) fn curl(arguments: &[&str]) -> Child {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "60"]).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What a finished curl printed; it must have been content with the answer.
pub(crate) fn output(curl: Child) -> String {
    let output = curl.wait_with_output().unwrap();
    assert!(output.status.success(), "curl: {} {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Sends one keep-alive request and reads its head, so that the connection is known to be served.
pub(crate) fn ask(stream: &mut TcpStream, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}
