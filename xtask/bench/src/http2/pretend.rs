//! The load against a pretended server on h2, an implementation of the protocol that knows nothing of ours.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use http::{Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Again, Crowd, Ground, Shape, fan_out, idle};
use crate::load::Waits;

/// How the pretended server treats its waiters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Well,
    Doubles,
    Refuses,
}

struct Server {
    manner: Manner,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    published: Vec<String>,
    waiting: Vec<SendResponse<Bytes>>,
}

/// Starts one in a thread that ends with the tests.
fn start(manner: Manner) -> SocketAddr {
    let (say, said) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            say.send(listener.local_addr().unwrap()).unwrap();
            let server = Arc::new(Server { manner, state: Mutex::default() });
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&server)));
            }
        });
    });
    said.recv().unwrap()
}

async fn serve(mut socket: TcpStream, server: Arc<Server>) {
    if !is_http2(&socket).await {
        // Whoever leaves in the middle ends this task alone.
        return while let Some(request) = read_request(&mut socket).await {
            let answer = server.control(&request);
            socket.write_all(answer.as_bytes()).await.unwrap();
        };
    }
    let mut connection = h2::server::handshake(socket).await.unwrap();
    let mut streams = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        server.ask(&request, respond);
        streams += 1;
    }
    server.leave(streams);
}

/// `PRI` and not `POST`; each comes in one piece.
async fn is_http2(socket: &TcpStream) -> bool {
    let mut first = [0; 2];
    socket.peek(&mut first).await.unwrap();
    first == *b"PR"
}

/// A head and the body that goes with it; all that comes here comes in one piece.
async fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = vec![0; 4096];
    let read = socket.read(&mut bytes).await.unwrap_or_default();
    (read > 0).then(|| String::from_utf8_lossy(&bytes[..read]).into_owned())
}

impl Server {
    fn control(&self, request: &str) -> String {
        let mut state = self.state.lock().unwrap();
        if request.starts_with("GET /metrics ") {
            let text = format!("poll_waiters{{pattern=\"long\"}} {}\n", state.waiting.len());
            return format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        }
        state.published.push(request.split_once("\r\n\r\n").unwrap().1.to_owned());
        for respond in std::mem::take(&mut state.waiting) {
            self.answer(respond, &state.published, state.published.len() - 1);
        }
        "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}".to_owned()
    }

    fn ask(&self, request: &Request<h2::RecvStream>, mut respond: SendResponse<Bytes>) {
        if self.manner == Manner::Refuses {
            respond.send_response(Response::builder().status(429).body(()).unwrap(), true).unwrap();
            return;
        }
        let mut state = self.state.lock().unwrap();
        let cursor = request.uri().query().unwrap().rsplit_once("cursor=");
        let seen = cursor.map_or(0, |(_, seen)| seen.parse().unwrap());
        if seen < state.published.len() {
            self.answer(respond, &state.published, seen);
        } else {
            state.waiting.push(respond);
        }
    }

    fn answer(&self, mut respond: SendResponse<Bytes>, published: &[String], seen: usize) {
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        let times = if self.manner == Manner::Doubles { 2 } else { 1 };
        let messages = published[seen..].concat().repeat(times);
        let body = format!("{messages},\"cursor\":\"{}\"}}", published.len());
        let (start, end) = body.split_at(body.len() / 3);
        stream.send_data(start.to_owned().into(), false).unwrap();
        stream.send_data(end.to_owned().into(), true).unwrap();
    }

    /// A connection with its waiters has gone. One load is here at a time.
    fn leave(&self, streams: usize) {
        if streams > 0 {
            self.state.lock().unwrap().waiting.clear();
        }
    }
}

fn ground(address: SocketAddr, processes: &[u32]) -> Ground<'_> {
    Ground { address, processes, waits: Waits::Asleep }
}

#[test]
fn every_waiter_gets_every_message_once() {
    let (address, own) = (start(Manner::Well), [std::process::id()]);
    let shape = Shape { waiters: 199, connections: 3 };
    let round = fan_out(ground(address, &own), shape, 4).unwrap();
    assert_eq!(round.operations, 4 * 199);
    assert!(round.latency.unwrap().p99 >= round.latency.unwrap().median);
}

#[test]
fn waiters_rest_until_they_are_told() {
    let shape = Shape { waiters: 20, connections: 2 };
    let mut crowd = Crowd::gather(start(Manner::Well), shape, Again::WhenTold, Waits::Asleep).unwrap();
    for round in 1..=3 {
        crowd.ask();
        crowd.park(|_| {}).unwrap();
        crowd.publish(|_| Ok(())).unwrap();
        assert_eq!((crowd.tally.delivered, crowd.waiting().unwrap()), (round * 20, 0));
    }
    crowd.tally.clean().unwrap();
}

#[test]
fn idle_waiters_are_counted() {
    let (address, own) = (start(Manner::Well), [std::process::id()]);
    let round = idle(ground(address, &own), Shape { waiters: 10, connections: 1 }, Duration::ZERO);
    let round = round.unwrap();
    assert_eq!(round.operations, 10);
    assert!(round.resident.is_some());
}

#[test]
fn a_message_that_comes_twice_voids_the_round() {
    let (address, own) = (start(Manner::Doubles), [std::process::id()]);
    let error = fan_out(ground(address, &own), Shape { waiters: 10, connections: 2 }, 2).unwrap_err();
    assert_eq!(error.to_string(), "0 lost, 20 doubled");
}

#[test]
fn a_refusal_ends_the_round() {
    let (address, own) = (start(Manner::Refuses), [std::process::id()]);
    let error = fan_out(ground(address, &own), Shape { waiters: 10, connections: 2 }, 1).unwrap_err();
    assert_eq!(error.to_string(), "status 429 where 200 was due");
}
