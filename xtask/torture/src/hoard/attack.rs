//! The ways of making a server keep things.

use std::net::SocketAddr;

use anyhow::Result;
use clap::ValueEnum;
use http::Request;
use http::request::Builder;

use super::{http1, http2};
use crate::large;

/// A channel of large messages, and one of control characters, which are six bytes each in JSON.
const LARGE: [(&str, &str); 2] = [("fat", "x"), ("escaped", "\u{1}")];
const MESSAGES: usize = 300;
/// Requests after which a client begins again.
const TURN: usize = 200;

/// One way of hoarding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Attack {
    /// Idempotency keys, each used once
    Keys,
    /// Named clients that fetch messages with receipts on
    Receipts,
    /// Waiters with the longest names on channels with the longest names
    Names,
    /// HTTP/2 posts that send most of their content and wait
    BodiesHttp2,
    /// HTTP/1.1 posts, with a length or in chunks, that do the same
    BodiesHttp1,
    /// Short polls of large channels over HTTP/2 connections whose window is shut
    UnreadHttp2,
    /// Short polls over HTTP/1.1 connections that are not read
    UnreadHttp1,
    /// New channels with the longest names
    Channels,
    /// Streams from the start of a large channel, read a byte at a time
    SlowReaders,
    /// Reads of many channels that are not in memory
    ColdReads,
}

/// Publishes what the attacks ask for.
pub(super) async fn prepare(address: SocketAddr) -> Result<()> {
    for (channel, character) in LARGE {
        large::publish(address, channel, character, MESSAGES).await?;
    }
    Ok(())
}

impl Attack {
    /// How many clients do it side by side.
    pub(super) fn clients(self) -> usize {
        match self {
            Self::Keys | Self::Receipts | Self::Channels => 8,
            Self::Names => 10,
            Self::BodiesHttp2 | Self::UnreadHttp2 => 3,
            Self::BodiesHttp1 => 1_000,
            Self::UnreadHttp1 | Self::SlowReaders => 300,
            Self::ColdReads => 50,
        }
    }

    /// Goes on for some requests, or until the server cuts it.
    pub(super) async fn run(self, address: SocketAddr, client: usize) -> Result<()> {
        let (large, _) = LARGE[client % 2];
        match self {
            Self::Keys => {
                let request = |number| {
                    let key = format!("{:0>32x}{:0>32x}", rand::random::<u128>(), rand::random::<u128>());
                    publish(&format!("keys-{client}-{}", number % 100)).header("idempotency-key", key)
                };
                http1::ask(address, TURN, request, &"x".repeat(2_000)).await
            }
            Self::Receipts => {
                let publish = |_| lines(&format!("receipts-{client}"));
                http1::ask(address, 1, publish, &"1\n".repeat(1_000)).await?;
                let name = || format!("{:0>250}", rand::random::<u128>());
                let poll = |_| Request::get(format!("/api/poll?channel=receipts-{client}"));
                http1::ask(address, TURN, |number| poll(number).header("x-client-id", name()), "").await
            }
            Self::Names => {
                let request = |number| {
                    let target = format!("/api/longpoll?timeout=45&channel={client}-{number:0>1000}");
                    Request::get(target).header("x-client-id", format!("{client}-{number:0>240}"))
                };
                http2::ask(address, 65_535, request, 0).await
            }
            Self::BodiesHttp2 => http2::ask(address, 65_535, |_| lines("bodies"), 64).await,
            Self::BodiesHttp1 => http1::begin(address, client).await,
            Self::UnreadHttp2 => {
                let request = |number| poll(large, number % 280);
                http2::ask(address, 0, request, 0).await
            }
            Self::UnreadHttp1 => http1::unread(address, &format!("/api/poll?channel={large}")).await,
            Self::Channels => {
                http1::ask(address, TURN, |_| publish(&format!("{:0>1000}", rand::random::<u128>())), "x")
                    .await
            }
            Self::SlowReaders => {
                let from = client % 280;
                http1::read_slowly(address, &format!("/api/stream?channel={}&last_id={from}", LARGE[0].0))
                    .await
            }
            Self::ColdReads => {
                let request = |number: usize| match number % 2 {
                    0 => poll(&format!("keys-0-{}", rand::random::<u64>() % 10_000), 0),
                    _ => poll(large, rand::random_range(0..280)),
                };
                http1::ask(address, TURN, request, "").await
            }
        }
    }
}

fn publish(channel: &str) -> Builder {
    Request::post(format!("/api/message?channel={channel}")).header("content-type", "text/plain")
}

/// A publish of many messages.
fn lines(channel: &str) -> Builder {
    Request::post(format!("/api/message?channel={channel}")).header("content-type", "application/x-ndjson")
}

fn poll(channel: &str, from: usize) -> Builder {
    Request::get(format!("/api/poll?channel={channel}&last_id={from}"))
}
