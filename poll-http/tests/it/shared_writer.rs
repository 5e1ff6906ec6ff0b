//! The shared writer on several threads: connections and the broadcast that writes for them run at the same time.

use std::sync::Arc;

use poll_core::{ChannelName, Payload, Publish, Retention, Store};
use poll_http::{ConnectionSettings, Service, serve};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};

use crate::transport_toy::peer;

const READERS: usize = 16;
const MESSAGES: usize = 400;

/// Reads a stream of lines up to the last message, each once and in order. Sends something now and then, so that the
/// connection takes its socket back at any moment.
async fn read(client: DuplexStream, reader: usize) {
    let (read, mut write) = tokio::io::split(client);
    let mut lines = BufReader::new(read).lines();
    let mut next = 0;
    while next < MESSAGES {
        let line = lines.next_line().await.unwrap().expect("the stream goes on");
        let Some((_, number)) = line.split_once("\"message ") else { continue };
        let number: usize = number.split('"').next().unwrap().parse().unwrap();
        assert_eq!(number, next, "reader {reader}");
        next += 1;
        if (number + reader).is_multiple_of(5) {
            write.write_all(b"G").await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_reader_is_given_each_message_once_whichever_writer_sends_it() {
    let store = Store::in_memory(Retention::default());
    let service = Service::builder(store).build();
    tokio::spawn(service.drive());
    let context = Arc::new(service.connections(ConnectionSettings::default()));
    let channel = ChannelName::parse("c").unwrap();
    let mut readers = Vec::new();
    for reader in 0..READERS {
        // Some sockets are full now and then.
        let (mut client, server) = tokio::io::duplex(if reader % 2 == 0 { 1 << 16 } else { 300 });
        tokio::spawn(serve(server, peer(), service.clone(), Arc::clone(&context)));
        client.write_all(b"GET /api/stream?channel=c&last_id=0 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        readers.push(tokio::spawn(read(client, reader)));
    }
    let mut shared = 0;
    for number in 0..MESSAGES {
        // Some messages find all readers caught up: then the broadcast waits for them, and with it at most the first
        // reader, who came when there was nobody to share with. Others find them in the middle of it.
        for _ in 0..number % 4 * 100 {
            if (1..=2).contains(&service.store().notifier().waiting()) {
                shared += 1;
                break;
            }
            tokio::task::yield_now().await;
        }
        let message = Publish::one(Payload::text(format!("message {number}")));
        service.publish(&channel, message).await.unwrap();
    }
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(shared > 0, "nobody was ever written to together");
}
