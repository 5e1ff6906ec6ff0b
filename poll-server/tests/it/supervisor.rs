//! Under a supervisor such as systemd: it holds the listening socket, is told when the server is ready and when it stops, and
//! replaces it under load without a refused connection.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::process::{Server, command, command_on};

const REPLACEMENTS: usize = 10;
const PUBLISHERS: u64 = 4;
/// Clients that poll without waiting, each time on a new connection.
const POLLERS: u64 = 4;
/// Clients that follow the channel, by each pattern in turn.
const READERS: u64 = 6;
/// The least requests that are answered between two replacements; 20 000 in all.
const LEAST: u64 = 2_000;
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

/// What all of them count and are told.
#[derive(Default)]
struct Load {
    /// Requests that were answered.
    answered: AtomicU64,
    published: AtomicU64,
    /// Publishers and pollers are to end.
    stop: AtomicBool,
    /// Readers are to end, once they have all that was published.
    end: AtomicBool,
}

impl Load {
    /// Publishes until it is told to stop, each message under its own key.
    fn publish(&self, address: SocketAddr, publisher: u64) {
        for number in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let fields = format!("Idempotency-Key: {publisher}-{number}\r\nContent-Length: 0");
            let request =
                format!("POST /api/message?channel=c&content={publisher}-{number} HTTP/1.1\r\n{fields}");
            ask_until_answered(address, &request);
            self.published.fetch_add(1, Ordering::Relaxed);
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Asks for the first message until it is told to stop.
    fn poll(&self, address: SocketAddr) {
        while !self.stop.load(Ordering::Relaxed) {
            ask_until_answered(address, "GET /api/poll?channel=c&limit=1 HTTP/1.1");
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a reader has all there is going to be.
    fn has_all(&self, contents: &[String]) -> bool {
        self.end.load(Ordering::Acquire) && contents.len() as u64 >= self.published.load(Ordering::Relaxed)
    }

    /// Follows the channel by long polls, to its end; returns what was read, in order.
    fn follow(&self, address: SocketAddr) -> Vec<String> {
        let (mut cursor, mut contents) = (String::new(), Vec::new());
        while !self.has_all(&contents) {
            let request = format!("GET /api/longpoll?channel=c&timeout=1{cursor} HTTP/1.1");
            let answer: Value = serde_json::from_str(&ask_until_answered(address, &request)).unwrap();
            self.answered.fetch_add(1, Ordering::Relaxed);
            assert!(answer.get("missed").is_none() && answer.get("reset").is_none(), "{answer}");
            let messages = answer["messages"].as_array().unwrap();
            contents.extend(messages.iter().map(|message| message["content"].as_str().unwrap().to_owned()));
            cursor = format!("&cursor={}", answer["cursor"].as_str().unwrap());
        }
        contents
    }

    /// Follows the channel by streams: each ends with a line that says so, and the next begins behind the last message.
    fn stream(&self, address: SocketAddr, form: &str) -> Vec<String> {
        let (mut cursor, mut contents) = ("&last_id=0".to_owned(), Vec::new());
        while !self.has_all(&contents) {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let target = format!("/api/stream?channel=c&format={form}{cursor}");
            write!(stream, "GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
            // A chunk is a message, so no line is torn by the sizes between them.
            let mut lines = BufReader::new(stream).lines();
            let Some(status) = lines.next() else { continue };
            if status.unwrap().starts_with("HTTP/1.1 503") {
                continue;
            }
            self.answered.fetch_add(1, Ordering::Relaxed);
            let mut last = String::new();
            while !self.has_all(&contents)
                && let Some(line) = lines.next()
            {
                let line = line.unwrap();
                let Some(start) = line.find("{\"type\":") else { continue };
                let line: Value = serde_json::from_str(&line[start..]).unwrap();
                last = line["type"].as_str().unwrap().to_owned();
                match &*last {
                    "update" => contents.push(line["message"].as_str().unwrap().to_owned()),
                    "connected" | "heartbeat" | "closed" => {}
                    _ => panic!("{line}"),
                }
                cursor = format!("&cursor={}", line["cursor"].as_str().unwrap());
            }
            assert!(last == "closed" || self.has_all(&contents), "a stream ended after {last}");
        }
        contents
    }
}

#[test]
fn ten_replacements_under_load_refuse_no_connection_and_lose_nothing() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = command_on(&socket);
        command.args([
            "--drain-seconds",
            "2",
            "--retain-messages",
            "0",
            "--heartbeat-seconds",
            "1",
            "--store",
        ]);
        command.arg(format!("disk:{}", folder.path().display()));
        Server::start_command(command, 1)
    };
    let mut server = start();
    assert_eq!(server.addresses, [address], "the socket stands for --listen");
    let load = Load::default();
    let read = std::thread::scope(|scope| {
        let load = &load;
        let (stopping, ending) = (Raised(&load.stop), Raised(&load.end));
        let publishers = (0..PUBLISHERS).map(|number| scope.spawn(move || load.publish(address, number)));
        let mut asking: Vec<_> = publishers.collect();
        asking.extend((0..POLLERS).map(|_| scope.spawn(|| load.poll(address))));
        let reader = |number| {
            scope.spawn(move || match number % 3 {
                0 => load.follow(address),
                1 => load.stream(address, "lines"),
                _ => load.stream(address, "sse"),
            })
        };
        let readers: Vec<_> = (0..READERS).map(reader).collect();
        for _ in 0..REPLACEMENTS {
            let before = load.answered.load(Ordering::Relaxed);
            while load.answered.load(Ordering::Relaxed) < before + LEAST {
                assert!(!asking.iter().any(ScopedJoinHandle::is_finished), "one that asks failed");
                assert!(!readers.iter().any(ScopedJoinHandle::is_finished), "a reader failed");
                std::thread::yield_now();
            }
            server.signal(Signal::TERM);
            assert!(server.wait().success());
            server = start();
        }
        drop(stopping);
        asking.into_iter().for_each(|asking| asking.join().unwrap());
        drop(ending);
        readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(load.answered.load(Ordering::Relaxed) >= REPLACEMENTS as u64 * LEAST);
    let first = &read[0];
    assert_eq!(first.len() as u64, load.published.load(Ordering::Relaxed));
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), first.len(), "nothing twice");
    assert!(read.iter().all(|contents| contents == first), "all read the same, in the same order");
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
