//! Behind a real nginx with the configuration we ship: every pattern passes through unharmed and unbuffered.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::process::Server;

const PATIENCE: Duration = Duration::from_secs(60);

/// nginx with `deploy/nginx.conf` in front of a server.
struct Nginx {
    child: Child,
    port: u16,
    tls_port: u16,
    _files: tempfile::TempDir,
}

impl Nginx {
    fn before(server: &Server) -> Self {
        let files = tempfile::tempdir().unwrap();
        let (port, tls_port) = (free_port(), free_port());
        certificate(files.path());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let shipped = std::fs::read_to_string(root.join("deploy/nginx.conf")).unwrap();
        let at = files.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("    {kind}_temp_path {at}/{kind};\n"))
            .concat();
        let changes = [
            ("worker_rlimit_nofile 65536;", String::new()),
            ("worker_connections 32768;", "worker_connections 512;".to_owned()),
            ("http {\n", format!("http {{\n    access_log off;\n{temporary}")),
            ("server 127.0.0.1:8080; # CHANGE", format!("server {};", server.addresses[0])),
            ("listen 80; # CHANGE", format!("listen 127.0.0.1:{port};")),
            ("listen 443 ssl http2; # CHANGE", format!("listen 127.0.0.1:{tls_port} ssl http2;")),
            ("/etc/ssl/certs/poll.pem; # CHANGE", format!("{at}/poll.pem;")),
            ("/etc/ssl/private/poll.key; # CHANGE", format!("{at}/poll.key;")),
        ];
        let configuration = changes.iter().fold(shipped, |text, (from, to)| {
            assert!(text.contains(from), "the shipped configuration has no {from:?} any more");
            text.replace(from, to)
        });
        std::fs::write(files.path().join("nginx.conf"), configuration).unwrap();
        let global = format!("daemon off; pid {at}/nginx.pid; error_log {at}/error.log;");
        let nginx = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
        let child = Command::new(nginx)
            .args(["-p", &at.to_string(), "-c", &format!("{at}/nginx.conf"), "-g", &global])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("nginx is needed: apt-get install nginx-light");
        let nginx = Self { child, port, tls_port, _files: files };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "nginx does not listen");
            std::thread::yield_now();
        }
        nginx
    }

    /// Sends one request and gives a reader of what comes back.
    fn ask(&self, method: &str, path: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let fields = "Host: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        write!(stream, "{method} {path} HTTP/1.1\r\n{fields}").unwrap();
        BufReader::new(stream)
    }

    fn get(&self, path: &str) -> String {
        rest(&mut self.ask("GET", path))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master takes its workers along only when it is asked to.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _already_gone = rustix::process::kill_process(pid, Signal::TERM);
        let _reaped = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn certificate(at: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"])
        .arg("-keyout")
        .arg(at.join("poll.key"))
        .arg("-out")
        .arg(at.join("poll.pem"))
        .stderr(Stdio::null())
        .status()
        .expect("openssl is needed: apt-get install openssl");
    assert!(made.success());
}

fn rest(answer: &mut impl std::io::Read) -> String {
    let mut text = String::new();
    answer.read_to_string(&mut text).unwrap();
    text
}

/// Reads lines until one holds `words`.
fn until(answer: &mut impl std::io::BufRead, words: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(words) {
        assert!(answer.read_line(&mut seen).unwrap() > 0, "ended before {words:?}: {seen}");
    }
    seen
}

fn behind(arguments: &[&str]) -> Server {
    Server::start(&[&["--store", "memory:", "--trusted-proxy", "127.0.0.1"], arguments].concat())
}

#[test]
fn polls_and_streams_pass_through_as_they_come() {
    let server = behind(&[]);
    let nginx = Nginx::before(&server);

    let mut poll = nginx.ask("GET", "/api/longpoll?channel=c&timeout=50");
    server.get_until("/metrics", "poll_waiters{pattern=\"long\"} 1");
    let published = rest(&mut nginx.ask("POST", "/api/message?channel=c&content=one"));
    assert!(published.starts_with("HTTP/1.1 201"), "{published}");
    assert!(rest(&mut poll).contains("\"content\":\"one\""));

    // The second is published only when the first was seen, so nothing on the way waits for more.
    let mut stream = nginx.ask("GET", "/api/stream?channel=c&last_id=0");
    until(&mut stream, "\"message\":\"one\"");
    nginx.ask("POST", "/api/message?channel=c&content=two").read_to_end(&mut Vec::new()).unwrap();
    until(&mut stream, "\"message\":\"two\"");
}

#[test]
fn events_reach_a_browser_over_http_2() {
    let server = behind(&[]);
    let nginx = Nginx::before(&server);
    let url = format!("https://localhost:{}/api/stream?channel=c&last_id=0", nginx.tls_port);
    let mut curl = Command::new("curl")
        .args(["-sNki", "--http2", "-H", "accept: text/event-stream", &url])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut events = BufReader::new(curl.stdout.take().unwrap());
    let head = until(&mut events, "event: connected");
    assert!(head.starts_with("HTTP/2 200"), "{head}");
    for content in ["one", "two"] {
        let path = format!("/api/message?channel=c&content={content}");
        nginx.ask("POST", &path).read_to_end(&mut Vec::new()).unwrap();
        until(&mut events, &format!("\"message\":\"{content}\""));
    }
    curl.kill().unwrap();
    curl.wait().unwrap();
}

#[test]
fn refusals_pass_with_their_retry_after() {
    let server = behind(&["--max-per-channel", "1"]);
    let nginx = Nginx::before(&server);
    let _waiting = nginx.ask("GET", "/api/longpoll?channel=c&timeout=50");
    server.get_until("/metrics", "poll_waiters{pattern=\"long\"} 1");
    let refused = nginx.get("/api/longpoll?channel=c&timeout=50").to_lowercase();
    assert!(refused.starts_with("http/1.1 429"), "{refused}");
    assert!(refused.contains("retry-after: 1"), "{refused}");
    assert!(refused.contains("channel at capacity"), "{refused}");
}

#[test]
fn a_drain_answers_everyone_through_the_proxy() {
    let mut server = behind(&[]);
    let nginx = Nginx::before(&server);
    let mut poll = nginx.ask("GET", "/api/longpoll?channel=c&timeout=50");
    let mut stream = nginx.ask("GET", "/api/stream?channel=c");
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
