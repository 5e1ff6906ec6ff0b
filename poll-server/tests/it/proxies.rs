//! Behind real proxies with the configurations we ship: every pattern passes through unharmed and unbuffered, who
//! leaves is gone for poll too, and a restart of poll is the end of nobody's EventSource.

mod haproxy;
mod nginx;
#[cfg(feature = "redis")]
mod nodes;
mod varnish;

use std::io::{self, BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use crate::process::{Server, command};

/// How long anything may take before a test gives up; far beyond what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A proxy in front of a server; dropping it ends it.
pub(crate) struct Proxy {
    child: Child,
    port: Port,
    _files: tempfile::TempDir,
}

impl Proxy {
    /// Starts `command`, which takes connections on `port` once it is up.
    fn start(mut command: Command, port: Port, files: tempfile::TempDir) -> Self {
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("{program} is needed: {error}"));
        let mut proxy = Self { child, port, _files: files };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(proxy.port.address()).is_err() {
            assert_eq!(proxy.child.try_wait().unwrap(), None, "{program} ended");
            assert!(Instant::now() < deadline, "{program} does not listen");
            std::thread::yield_now();
        }
        proxy
    }

    /// Sends one request and gives a reader of what comes back.
    fn ask(&self, method: &str, path: &str) -> BufReader<TcpStream> {
        self.try_ask(method, path, "").unwrap()
    }

    /// The same with more fields, and where it may fail.
    fn try_ask(&self, method: &str, path: &str, fields: &str) -> io::Result<BufReader<TcpStream>> {
        let mut stream = TcpStream::connect(self.port.address())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let fields = format!("Host: localhost\r\nContent-Length: 0\r\nConnection: close\r\n{fields}\r\n");
        write!(stream, "{method} {path} HTTP/1.1\r\n{fields}")?;
        Ok(BufReader::new(stream))
    }

    #[cfg(feature = "redis")]
    fn try_get(&self, path: &str) -> io::Result<String> {
        io::read_to_string(self.try_ask("GET", path, "")?)
    }

    #[cfg(feature = "redis")]
    fn try_post(&self, path: &str, fields: &str) -> io::Result<String> {
        io::read_to_string(self.try_ask("POST", path, fields)?)
    }

    fn get(&self, path: &str) -> String {
        rest(&mut self.ask("GET", path))
    }

    fn publish(&self, channel: &str, content: &str) -> String {
        rest(&mut self.ask("POST", &format!("/api/message?channel={channel}&content={content}")))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // What has workers takes them along only when it is asked to.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _already_gone = rustix::process::kill_process(pid, Signal::TERM);
        let _reaped = self.child.wait();
    }
}

/// The text of a file that we ship, changed where `changes` say so.
fn shipped(name: &str, changes: &[(&str, String)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{name} has no {from:?} any more");
        text.replace(from, to)
    })
}

/// Where a server's program is.
pub(crate) fn program(name: &str) -> PathBuf {
    let system = Path::new("/usr/sbin").join(name);
    if system.exists() { system } else { name.into() }
}

/// A port of loopback that nobody else is given, but that a listener may take.
pub(crate) struct Port {
    pub(crate) number: u16,
    _bound: Socket,
}

impl Port {
    pub(crate) fn reserve() -> Self {
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // As listeners set it; a socket that is bound and does not listen is then no hindrance.
        bound.set_reuse_address(true).unwrap();
        bound.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let number = bound.local_addr().unwrap().as_socket().unwrap().port();
        Self { number, _bound: bound }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.number))
    }
}

fn rest(answer: &mut impl std::io::Read) -> String {
    let mut text = String::new();
    answer.read_to_string(&mut text).unwrap();
    text
}

/// Reads lines until one holds `words`.
fn until(answer: &mut impl BufRead, words: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(words) {
        assert!(answer.read_line(&mut seen).unwrap() > 0, "ended before {words:?}: {seen}");
    }
    seen
}

fn behind(arguments: &[&str]) -> Server {
    Server::start(&[&["--store", "memory:", "--trusted-proxy", "127.0.0.1"], arguments].concat())
}

/// Each message is read before the next one is published, so nothing on the way waits for more.
fn passes_through_as_it_comes(start: impl Fn(SocketAddr) -> Proxy) {
    let server = behind(&[]);
    let proxy = start(server.addresses[0]);

    let mut poll = proxy.ask("GET", "/api/longpoll?channel=c&timeout=50");
    server.get_until("/metrics", "poll_waiters{pattern=\"long\"} 1");
    let published = proxy.publish("c", "one");
    assert!(published.starts_with("HTTP/1.1 201"), "{published}");
    assert!(rest(&mut poll).contains("\"content\":\"one\""));

    for form in ["", "&format=sse"] {
        let mut stream = proxy.ask("GET", &format!("/api/stream?channel=d{form}"));
        let head = until(&mut stream, "connected");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        for content in ["two", "three"] {
            proxy.publish("d", content);
            until(&mut stream, &format!("\"message\":\"{content}\""));
        }
    }
}

fn refuses_with_retry_after(start: impl Fn(SocketAddr) -> Proxy) {
    let server = behind(&["--max-per-channel", "1"]);
    let proxy = start(server.addresses[0]);
    let _waiting = proxy.ask("GET", "/api/longpoll?channel=c&timeout=50");
    server.get_until("/metrics", "poll_waiters{pattern=\"long\"} 1");
    let refused = proxy.get("/api/longpoll?channel=c&timeout=50").to_lowercase();
    assert!(refused.starts_with("http/1.1 429"), "{refused}");
    assert!(refused.contains("retry-after: 1"), "{refused}");
    assert!(refused.contains("channel at capacity"), "{refused}");
}

fn lets_go_of_clients_that_have_left(start: impl Fn(SocketAddr) -> Proxy) {
    // Some notice it with the next heartbeat only; no poll is over before the test gives up.
    let server = behind(&["--heartbeat-seconds", "0.2", "--max-poll-seconds", "600"]);
    let proxy = start(server.addresses[0]);
    let waits = [
        ("/api/longpoll?channel=c&timeout=600", "long"),
        ("/api/stream?channel=c", "stream"),
        ("/api/stream?channel=c&format=sse", "stream"),
    ];
    for (path, pattern) in waits {
        let answers = [(); 3].map(|()| proxy.ask("GET", path));
        server.get_until("/metrics", &format!("poll_waiters{{pattern=\"{pattern}\"}} 3"));
        drop(answers);
        server.get_until("/metrics", &format!("poll_waiters{{pattern=\"{pattern}\"}} 0"));
    }
}

fn answers_everyone_in_a_drain(start: impl Fn(SocketAddr) -> Proxy) {
    let mut server = behind(&[]);
    let proxy = start(server.addresses[0]);
    let mut poll = proxy.ask("GET", "/api/longpoll?channel=c&timeout=50");
    let mut stream = proxy.ask("GET", "/api/stream?channel=c");
    server.get_until("/metrics", "poll_waiters{pattern=\"long\"} 1");
    server.get_until("/metrics", "poll_waiters{pattern=\"stream\"} 1");
    server.signal(Signal::TERM);
    let answer = rest(&mut poll);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"messages\":[]"), "{answer}");
    assert!(answer.contains("\"cursor\":"), "{answer}");
    let lines = rest(&mut stream);
    assert!(lines.contains("\"type\":\"closed\",\"reason\":\"draining\""), "{lines}");
    assert!(lines.ends_with("0\r\n\r\n"), "no clean end: {lines}");
    assert!(server.wait().success());
}

/// The head of an answer, in lower case, and its body without the sizes of chunks: a proxy cuts them where it likes. `None`
/// if there is no answer.
fn opened(mut answer: BufReader<TcpStream>) -> io::Result<Option<(String, Box<dyn BufRead>)>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if answer.read_line(&mut head)? == 0 {
            return Ok(None);
        }
    }
    let head = head.to_lowercase();
    let chunked = head.contains("transfer-encoding: chunked");
    let body: Box<dyn BufRead> =
        if chunked { Box::new(BufReader::new(Chunks { answer, left: 0 })) } else { Box::new(answer) };
    Ok(Some((head, body)))
}

/// What chunks hold, up to the last one.
struct Chunks {
    answer: BufReader<TcpStream>,
    left: usize,
}

impl io::Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut size = String::new();
        while self.left == 0 {
            // The end of the chunk before is an empty line.
            if self.answer.read_line(&mut size)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Ok(left) = usize::from_str_radix(size.trim(), 16) {
                if left == 0 {
                    return Ok(0);
                }
                self.left = left;
            }
            size.clear();
        }
        let most = into.len().min(self.left);
        let count = self.answer.read(&mut into[..most])?;
        self.left -= count;
        Ok(count)
    }
}

/// As a browser's: it asks again when a connection fails or a stream ends, and is dead for good after any answer that
/// is no event stream (WHATWG HTML, section 9.2.3).
struct EventSource {
    server: SocketAddr,
    path: &'static str,
    last_id: Option<String>,
    messages: Vec<String>,
    /// Streams that said nothing but when to ask again.
    away: usize,
}

impl EventSource {
    fn new(proxy: &Proxy) -> Self {
        Self::of(proxy, "/api/stream?channel=c")
    }

    fn of(proxy: &Proxy, path: &'static str) -> Self {
        Self { server: proxy.port.address(), path, last_id: None, messages: Vec::new(), away: 0 }
    }

    /// Asks until `enough`, which is looked at behind each line and each end.
    fn run(&mut self, enough: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !enough(self) {
            assert!(Instant::now() < deadline, "only got {:?}, {} times away", self.messages, self.away);
            // A browser's network error.
            let _ = self.stream(&enough);
        }
    }

    fn stream(&mut self, enough: impl Fn(&Self) -> bool) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(self.server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let resume = self.last_id.iter().map(|id| format!("Last-Event-ID: {id}\r\n")).collect::<String>();
        let fields =
            format!("Host: localhost\r\nAccept: text/event-stream\r\nOrigin: http://other.test\r\n{resume}");
        write!(stream, "GET {} HTTP/1.1\r\n{fields}\r\n", self.path)?;
        let Some((head, body)) = opened(BufReader::new(stream))? else { return Ok(()) };
        let alive = head.starts_with("http/1.1 200") && head.contains("content-type: text/event-stream");
        assert!(alive, "an EventSource would be dead: {head}");
        let (mut connected, mut retry) = (false, false);
        let mut lines = body.lines();
        while let Some(line) = lines.next().transpose()? {
            connected |= line == "event: connected";
            retry |= line == "retry: 1000";
            if let Some(id) = line.strip_prefix("id: ") {
                self.last_id = Some(id.to_owned());
            }
            if let Some((_, message)) = line.split_once("\"message\":\"") {
                self.messages.push(message.split('"').next().unwrap_or_default().to_owned());
            }
            if retry && line.is_empty() && !connected {
                assert!(head.contains("access-control-allow-origin: http://other.test"), "{head}");
                self.away += 1;
                return Ok(());
            }
            if enough(self) {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn keeps_an_eventsource_over_a_restart(start: impl Fn(SocketAddr) -> Proxy) {
    let data = tempfile::tempdir().unwrap();
    let port = Port::reserve();
    let address = port.address();
    let store = format!("disk:{}", data.path().display());
    let serve = || {
        let mut command = command();
        command.args(["--listen", &address.to_string(), "--store", &store, "--trusted-proxy", "127.0.0.1"]);
        command.args(["--cors-origin", "http://other.test"]);
        Server::start_command(command, 1)
    };
    let mut server = serve();
    let proxy = start(address);
    let mut client = EventSource::new(&proxy);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            server.get_until("/metrics", "poll_waiters{pattern=\"stream\"} 1");
            proxy.publish("c", "before");
        });
        client.run(|client| client.messages == ["before"]);
    });
    server.signal(Signal::TERM);
    client.run(|client| client.away > 0);
    assert!(server.wait().success());
    // Now that nobody is there at all.
    let away = client.away;
    client.run(|client| client.away > away);
    let server = serve();
    server.get_until("/readyz", "ready");
    let published = server.post("/api/message?channel=c&content=after");
    assert!(published.contains(" 201 "), "{published}");
    client.run(|client| client.messages == ["before", "after"]);
}
