//! Connections that make much work give way to those that make little.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use poll_core::{Retention, Store};
use poll_http::{ConnectionSettings, Service, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::World;

/// As many turns of tasks between two looks at sockets as the server's workers have.
const TURNS: u32 = 192;

/// A worker on one thread, on which its clients run as well.
fn worker(course: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().event_interval(TURNS).build();
    runtime.unwrap().block_on(course);
}

async fn server() -> (SocketAddr, Store) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let store = Store::in_memory(Retention::default());
    let service = Service::builder(store.clone()).build();
    tokio::spawn(service.drive());
    tokio::spawn(async move {
        loop {
            let (socket, peer) = listener.accept().await.unwrap();
            let context = Arc::new(service.connections(ConnectionSettings::default()));
            tokio::spawn(serve(socket, peer, service.clone(), context));
        }
    });
    (address, store)
}

/// Sends a request again and again without waiting for answers.
async fn flood(address: SocketAddr, request: Vec<u8>) {
    let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    tokio::spawn(async move {
        let mut bytes = vec![0; 1 << 16];
        while reader.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
    });
    while writer.write_all(&request).await.is_ok() {}
}

fn batch(lines: usize) -> Vec<u8> {
    let body = "1\n".repeat(lines);
    let head = "POST /api/message?channel=busy HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// How many messages are published while each of some requests waits for its answer.
async fn published_meanwhile(address: SocketAddr, store: &Store) -> Vec<u64> {
    let mut client = TcpStream::connect(address).await.unwrap();
    let mut meanwhile = Vec::new();
    while store.published() < 20_000 {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        let before = store.published();
        client.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok\n") {
            assert!(client.read_buf(&mut answer).await.unwrap() > 0);
        }
        meanwhile.push(store.published() - before);
    }
    meanwhile
}

#[test]
fn batches_that_come_back_to_back_let_others_be_answered() {
    worker(async {
        let (address, store) = server().await;
        for _ in 0..2 {
            tokio::spawn(flood(address, batch(1_000)));
        }
        let meanwhile = published_meanwhile(address, &store).await;
        // The share of a turn is four such batches.
        assert!(meanwhile.iter().all(|&count| count <= 30_000), "{meanwhile:?}");
    });
}

#[tokio::test(start_paused = true)]
async fn a_large_batch_is_read_in_more_than_one_turn() {
    let world = World::new();
    let turns = Arc::new(AtomicUsize::new(0));
    let ended = Arc::clone(&turns);
    poll_http::watch_turns(move || {
        ended.fetch_add(1, Ordering::Relaxed);
    });
    let line = format!("[{}]\n", ["0"; 500].join(","));
    let answer = world.post("/api/message", "application/x-ndjson", &line.repeat(1_000)).await;
    assert_eq!((answer.status, &answer.json()["count"]), (201, &1_000.into()));
    let turns = turns.load(Ordering::Relaxed);
    assert!(turns >= 2, "{turns} turns ended meanwhile");
}

#[test]
fn a_pipeline_of_small_publishes_lets_others_be_answered() {
    worker(async {
        let (address, store) = server().await;
        for _ in 0..2 {
            let one =
                b"POST /api/message?channel=busy HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\
                        Content-Length: 1\r\n\r\nx";
            tokio::spawn(flood(address, one.repeat(500)));
        }
        let meanwhile = published_meanwhile(address, &store).await;
        assert!(meanwhile.iter().all(|&count| count <= 2_500), "{meanwhile:?}");
    });
}
