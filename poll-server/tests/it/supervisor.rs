//! Under a supervisor such as systemd: it holds the listening socket, is told when the server is ready and when it stops, and
//! replaces it under load without a refused connection.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::process::{Server, command, command_on};

const REPLACEMENTS: usize = 10;
const PUBLISHERS: u64 = 4;
/// How many publishes each publisher makes at least between two replacements.
const LEAST: u64 = 20;
/// A process that stops may be met more than once before it stops accepting.
const ATTEMPTS: usize = 100;
const PATIENCE: Duration = Duration::from_secs(60);

/// One request on a connection of its own: the body of its answer. `None` where the connection was closed before a byte of
/// it came, or where the server says that it stops. Refused and reset connections end the test.
fn ask(address: SocketAddr, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{request}\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    let read: io::Result<usize> = stream.read_to_string(&mut answer);
    read.unwrap();
    if answer.is_empty() || answer.starts_with("HTTP/1.1 503") {
        return None;
    }
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 20"), "{request}: {answer}");
    Some(body.to_owned())
}

/// The next attempt waits in the socket's queue for the next process.
fn ask_until_answered(address: SocketAddr, request: &str) -> String {
    let mut attempts = std::iter::repeat_with(|| ask(address, request)).take(ATTEMPTS);
    attempts.find_map(std::convert::identity).expect("an answer")
}

/// Sets a flag even if what is done under it panics: the other threads must end then.
struct Raised<'a>(&'a AtomicBool);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Publishes until it is told to stop, each message under its own key; counts what was acknowledged.
fn publish(address: SocketAddr, publisher: u64, count: &AtomicU64, stop: &AtomicBool) {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let fields = format!("Idempotency-Key: {publisher}-{number}\r\nContent-Length: 0");
        let request =
            format!("POST /api/message?channel=c&content={publisher}-{number} HTTP/1.1\r\n{fields}");
        ask_until_answered(address, &request);
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Follows the channel by long polls until `published` messages have come; returns them in order.
fn follow(address: SocketAddr, published: &dyn Fn() -> Option<u64>) -> Vec<String> {
    let (mut cursor, mut contents) = (String::new(), Vec::new());
    while published().is_none_or(|published| (contents.len() as u64) < published) {
        let request = format!("GET /api/longpoll?channel=c&timeout=1{cursor} HTTP/1.1");
        let answer: serde_json::Value = serde_json::from_str(&ask_until_answered(address, &request)).unwrap();
        assert!(answer.get("missed").is_none() && answer.get("reset").is_none(), "{answer}");
        let messages = answer["messages"].as_array().unwrap();
        contents.extend(messages.iter().map(|message| message["content"].as_str().unwrap().to_owned()));
        cursor = format!("&cursor={}", answer["cursor"].as_str().unwrap());
    }
    contents
}

#[test]
fn ten_replacements_under_load_refuse_no_connection_and_lose_nothing() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = command_on(&socket);
        command.args(["--drain-seconds", "2", "--retain-messages", "0", "--store"]);
        command.arg(format!("disk:{}", folder.path().display()));
        Server::start_command(command, 1)
    };
    let mut server = start();
    assert_eq!(server.addresses, [address], "the socket stands for --listen");
    let (count, stop, done) = (AtomicU64::new(0), AtomicBool::new(false), AtomicBool::new(false));
    let contents = std::thread::scope(|scope| {
        let (count, stop, done) = (&count, &stop, &done);
        let (stopping, ending) = (Raised(stop), Raised(done));
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| scope.spawn(move || publish(address, publisher, count, stop)))
            .collect();
        let published = move || done.load(Ordering::Acquire).then(|| count.load(Ordering::Relaxed));
        let reader = scope.spawn(move || follow(address, &published));
        for _ in 0..REPLACEMENTS {
            let before = count.load(Ordering::Relaxed);
            while count.load(Ordering::Relaxed) < before + LEAST * PUBLISHERS {
                assert!(
                    !publishers.iter().any(std::thread::ScopedJoinHandle::is_finished),
                    "a publisher failed"
                );
                std::thread::yield_now();
            }
            server.signal(Signal::TERM);
            assert!(server.wait().success());
            server = start();
        }
        drop(stopping);
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
        drop(ending);
        reader.join().unwrap()
    });
    assert_eq!(contents.len() as u64, count.load(Ordering::Relaxed));
    assert_eq!(contents.iter().collect::<BTreeSet<_>>().len(), contents.len(), "nothing twice");
}

#[test]
fn the_supervisor_is_told_when_the_server_is_ready_and_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut text = [0; 64];
        let length = supervisor.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    let mut command = command();
    command.args(["--listen", "127.0.0.1:0"]).env("NOTIFY_SOCKET", &path);
    let mut server = Server::start_command(command, 1);
    assert_eq!(heard().trim_end(), "READY=1");
    server.signal(Signal::TERM);
    assert_eq!(heard().trim_end(), "STOPPING=1");
    assert!(server.wait().success());
}

#[test]
fn sockets_for_other_things_are_known_by_their_address() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut command = command_on(&socket);
    command.args(["--listen", "127.0.0.1:0", "--admin-listen", &address.to_string()]);
    let server = Server::start_command(command, 2);
    assert_eq!(server.lines(&format!("{address} (administration)")).len(), 1);
    assert!(ask(address, "GET /metrics HTTP/1.1").unwrap().contains("poll_waiters"));
}
