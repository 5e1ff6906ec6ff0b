//! Ways of making a server keep things, and what it said to them.

use std::net::SocketAddr;
use std::ops::AddAssign;

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Aim, http1, http2};
use crate::http1::Connection;

/// A channel of large messages, and one of control characters, which are six bytes each in JSON.
pub(super) const FAT: &str = "fat";
pub(super) const ESCAPED: &str = "escaped";
const FAT_MESSAGES: usize = 300;
const FAT_BYTES: usize = 60_000;

/// One way of hoarding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attack {
    /// Idempotency keys, each used once.
    Keys,
    /// Named clients that fetch messages with receipts on.
    Receipts,
    /// Waiters with the longest names on channels with the longest names.
    Names,
    /// HTTP/2 posts that send most of their content and wait.
    BodiesHttp2,
    /// HTTP/1.1 posts, with a length or in chunks, that do the same.
    BodiesHttp1,
    /// Short polls of large channels over HTTP/2 connections whose window is shut.
    UnreadHttp2,
    /// Short polls over HTTP/1.1 connections that are not read.
    UnreadHttp1,
    /// New channels with the longest names.
    Channels,
    /// Streams from the start of a large channel, read a byte at a time.
    SlowReaders,
    /// Reads of many channels that are not in memory.
    ColdReads,
}

/// What the server said to the hoarders.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) requests: u64,
    /// 429, 503, 507 and refused streams.
    pub(super) refused: u64,
    /// Connections that the server closed.
    pub(super) cut: u64,
}

impl AddAssign for Told {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.refused += other.refused;
        self.cut += other.cut;
    }
}

impl Told {
    pub(super) fn status(&mut self, status: u16) {
        self.requests += 1;
        self.refused += u64::from(matches!(status, 408 | 429 | 503 | 507));
    }
}

impl Attack {
    pub(super) const ALL: [Self; 10] = [
        Self::Keys,
        Self::Receipts,
        Self::Names,
        Self::BodiesHttp2,
        Self::BodiesHttp1,
        Self::UnreadHttp2,
        Self::UnreadHttp1,
        Self::Channels,
        Self::SlowReaders,
        Self::ColdReads,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Receipts => "receipts",
            Self::Names => "names",
            Self::BodiesHttp2 => "bodies-http2",
            Self::BodiesHttp1 => "bodies-http1",
            Self::UnreadHttp2 => "unread-http2",
            Self::UnreadHttp1 => "unread-http1",
            Self::Channels => "channels",
            Self::SlowReaders => "slow-readers",
            Self::ColdReads => "cold-reads",
        }
    }

    /// How many run side by side.
    fn hands(self) -> usize {
        match self {
            Self::Keys | Self::Receipts | Self::Channels => 8,
            Self::Names => 10,
            Self::BodiesHttp2 | Self::UnreadHttp2 => 3,
            Self::BodiesHttp1 => 1_000,
            Self::UnreadHttp1 | Self::SlowReaders => 300,
            Self::ColdReads => 50,
        }
    }

    async fn run(self, aim: Aim, hand: usize) -> Result<Told> {
        match self {
            Self::Keys => http1::keys(aim, hand).await,
            Self::Receipts => http1::receipts(aim, hand).await,
            Self::Names => http2::names(aim, hand).await,
            Self::BodiesHttp2 => http2::bodies(aim).await,
            Self::BodiesHttp1 => http1::bodies(aim, hand).await,
            Self::UnreadHttp2 => http2::unread(aim, hand).await,
            Self::UnreadHttp1 => http1::unread(aim, hand).await,
            Self::Channels => http1::channels(aim, hand).await,
            Self::SlowReaders => http1::slow_reader(aim, hand).await,
            Self::ColdReads => http1::cold_reads(aim, hand).await,
        }
    }
}

/// Publishes what the hoarders ask for.
pub(super) async fn prepare(address: SocketAddr) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    for (channel, text) in [(FAT, "x".repeat(FAT_BYTES)), (ESCAPED, "\u{1}".repeat(FAT_BYTES))] {
        for _ in 0..FAT_MESSAGES {
            let target = format!("/api/message?channel={channel}");
            connection.ask("POST", &target, &[("Content-Type", "text/plain")], &text).await?;
            connection.answer().await?.head.expect(201)?;
        }
    }
    Ok(())
}

/// Lets the hoarders at the server until the time is over.
pub(super) async fn run(attacks: &[Attack], address: SocketAddr, until: Instant) -> Result<Told> {
    let aim = Aim { address, until };
    let mut hoarders = JoinSet::new();
    for &attack in attacks {
        for hand in 0..attack.hands() {
            hoarders.spawn_local(async move {
                let mut told = Told::default();
                // Who is cut begins again.
                while !aim.is_over() {
                    match tokio::time::timeout_at(until, attack.run(aim, hand)).await {
                        Ok(Ok(more)) => told += more,
                        Ok(Err(_)) => told.cut += 1,
                        Err(_) => break,
                    }
                    tokio::task::yield_now().await;
                }
                told
            });
        }
    }
    let mut told = Told::default();
    while let Some(one) = hoarders.join_next().await {
        told += one.context("a hoarder panicked")?;
    }
    Ok(told)
}
