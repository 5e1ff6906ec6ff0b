//! The ways of making a server keep things: a table of what is asked, how, and by how many clients.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::future::join_all;
use http::request::Builder;
use http::{Request, Uri};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::sleep;

use crate::client::{Client, http2};
use crate::large::{self, narrow};
use crate::secured::{Offer, dial};

/// A channel of large messages, and one of control characters, which are six bytes each in JSON.
const LARGE: [(&str, &str); 2] = [("fat", "x"), ("escaped", "\u{1}")];
const MESSAGES: usize = 300;
/// Positions in such a channel that large answers begin at.
const FROM: usize = 280;
/// Requests after which a client begins again.
const TURN: usize = 200;
/// Streams of a connection, as many as the server allows.
const STREAMS: usize = 1_000;

/// One way of hoarding.
pub(super) struct Attack {
    pub(super) name: &'static str,
    /// How many clients do it side by side.
    pub(super) clients: usize,
    way: Way,
    /// A client's request of this number, with its content.
    request: fn(usize, usize) -> (Builder, String),
}

/// How requests are sent.
enum Way {
    /// One after another on one HTTP/1.1 connection.
    OneByOne,
    /// On every stream of one HTTP/2 connection, with a window of so many bytes for each answer. Of a body so many pieces
    /// of 16 kB are sent as far as the windows take them, and never its end. Answers are held, unread.
    Streams { window: u32, pieces: usize },
    /// Over HTTP/1.1, all but the end of the content.
    Unfinished,
    /// More than any socket holds, of which nothing is read.
    Unread,
    /// A byte at a time.
    Slow,
}

pub(super) const ATTACKS: &[Attack] = &[
    // Idempotency keys, each used once.
    Attack { name: "keys", clients: 8, way: Way::OneByOne, request: key },
    // Named clients that fetch messages with receipts on.
    Attack { name: "receipts", clients: 8, way: Way::OneByOne, request: receipt },
    // Waiters with the longest names on channels with the longest names.
    Attack {
        name: "names",
        clients: 10,
        way: Way::Streams { window: 65_535, pieces: 0 },
        request: longest_names,
    },
    Attack {
        name: "bodies-http2",
        clients: 3,
        way: Way::Streams { window: 65_535, pieces: 64 },
        request: |_, _| (publish("bodies", "application/x-ndjson"), String::new()),
    },
    Attack { name: "bodies-http1", clients: 1_000, way: Way::Unfinished, request: nearly_all },
    // The window is shut.
    Attack {
        name: "unread-http2",
        clients: 3,
        way: Way::Streams { window: 0, pieces: 0 },
        request: |client, number| poll(LARGE[client % 2].0, number % FROM),
    },
    Attack {
        name: "unread-http1",
        clients: 300,
        way: Way::Unread,
        request: |client, _| poll(LARGE[client % 2].0, 0),
    },
    // New channels with the longest names.
    Attack {
        name: "channels",
        clients: 8,
        way: Way::OneByOne,
        request: |_, _| {
            (publish(&format!("{:0>1000}", rand::random::<u128>()), "text/plain"), "x".to_owned())
        },
    },
    Attack {
        name: "slow-readers",
        clients: 300,
        way: Way::Slow,
        request: |client, _| {
            let target = format!("/api/stream?channel={}&last_id={}", LARGE[0].0, client % FROM);
            (Request::get(target), String::new())
        },
    },
    // Many channels that are not in memory.
    Attack {
        name: "cold-reads",
        clients: 50,
        way: Way::OneByOne,
        request: |client, number| match number % 2 {
            0 => poll(&format!("keys-0-{}", rand::random::<u64>() % 10_000), 0),
            _ => poll(LARGE[client % 2].0, rand::random_range(0..FROM)),
        },
    },
];

/// Publishes what the attacks ask for.
pub(super) async fn prepare(address: SocketAddr) -> Result<()> {
    for (channel, character) in LARGE {
        large::publish(address, channel, character, MESSAGES).await?;
    }
    Ok(())
}

impl Attack {
    /// Goes on for some requests, or until the server cuts it.
    pub(super) async fn run(&self, address: SocketAddr, client: usize) -> Result<()> {
        let target = || Ok::<_, http::Error>((self.request)(client, 0).0.body(())?.uri().to_string());
        match self.way {
            Way::OneByOne => {
                let mut connection = Client::new(address);
                for number in 0..TURN {
                    let (request, body) = (self.request)(client, number);
                    connection.ask(request, body).await?;
                }
            }
            Way::Streams { window, pieces } => self.streams(address, client, window, pieces).await?,
            Way::Unfinished => {
                let mut stream = dial(address, Offer::Http1).await?;
                let content = (self.request)(client, 0).1;
                let head =
                    format!("POST {} HTTP/1.1\r\nHost: {address}\r\nContent-Type: text/plain\r\n", target()?);
                stream.write_all(format!("{head}{content}").as_bytes()).await?;
                stream.flush().await?;
                let _answer = stream.read(&mut [0; 1024]).await?;
            }
            // Until the server cuts it in its own time.
            Way::Unread => {
                let stream = narrow(address, &target()?).await?;
                while stream.tcp()?.take_error()?.is_none() {
                    sleep(Duration::from_millis(500)).await;
                }
            }
            Way::Slow => {
                let mut stream = narrow(address, &target()?).await?;
                while stream.read(&mut [0]).await? > 0 {
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
        Ok(())
    }

    async fn streams(&self, address: SocketAddr, client: usize, window: u32, pieces: usize) -> Result<()> {
        let (sender, driver) = http2(address, h2::client::Builder::new().initial_window_size(window)).await?;
        let _ends_with_us = AbortOnDrop(driver.abort_handle());
        let piece = Bytes::from("1\n".repeat(8_000));
        let mut waiting = Vec::new();
        for number in 0..STREAMS {
            let mut request = (self.request)(client, number).0.body(())?;
            *request.uri_mut() = Uri::try_from(format!("http://{address}{}", request.uri()))?;
            let mut ready = sender.clone().ready().await.context("the connection is gone")?;
            let (response, mut stream) = ready.send_request(request, pieces == 0)?;
            for _ in 0..pieces {
                stream.reserve_capacity(piece.len());
                stream.send_data(piece.clone(), false)?;
            }
            waiting.push(async move {
                let mut body = response.await?.into_body();
                let _first = body.data().await.transpose()?;
                drop(stream);
                Ok::<_, h2::Error>(body)
            });
        }
        join_all(waiting).await;
        Ok(())
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn key(client: usize, number: usize) -> (Builder, String) {
    let key = format!("{:0>32x}{:0>32x}", rand::random::<u128>(), rand::random::<u128>());
    let request = publish(&format!("keys-{client}-{}", number % 100), "text/plain");
    (request.header("idempotency-key", key), "x".repeat(2_000))
}

fn receipt(client: usize, number: usize) -> (Builder, String) {
    let channel = format!("receipts-{client}");
    if number == 0 {
        return (publish(&channel, "application/x-ndjson"), "1\n".repeat(1_000));
    }
    let name = format!("{:0>250}", rand::random::<u128>());
    let poll = Request::get(format!("/api/poll?channel={channel}"));
    (poll.header("x-client-id", name), String::new())
}

fn longest_names(client: usize, number: usize) -> (Builder, String) {
    let target = format!("/api/longpoll?timeout=45&channel={client}-{number:0>1000}");
    (Request::get(target).header("x-client-id", format!("{client}-{number:0>240}")), String::new())
}

/// Content that lacks its end, with the fields that frame it: by its length, or in chunks.
fn nearly_all(client: usize, _: usize) -> (Builder, String) {
    let body = "x".repeat(60_000);
    let framed = match client % 2 {
        0 => format!("Content-Length: 60001\r\n\r\n{body}"),
        _ => format!("Transfer-Encoding: chunked\r\n\r\nea60\r\n{body}\r\n"),
    };
    (publish("bodies", "text/plain"), framed)
}

fn publish(channel: &str, content_type: &str) -> Builder {
    Request::post(format!("/api/message?channel={channel}")).header("content-type", content_type)
}

fn poll(channel: &str, from: usize) -> (Builder, String) {
    (Request::get(format!("/api/poll?channel={channel}&last_id={from}")), String::new())
}
