//! The ways of making a server keep things, side by side.

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::target::{Target, count};
use super::{http1, http2};
use crate::fixture::name;
use crate::tally::Tally;

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

impl Attack {
    /// How many run side by side.
    fn clients(self) -> usize {
        match self {
            Self::Keys | Self::Receipts | Self::Channels => 8,
            Self::Names => 10,
            Self::BodiesHttp2 | Self::UnreadHttp2 => 3,
            Self::BodiesHttp1 => 1_000,
            Self::UnreadHttp1 | Self::SlowReaders => 300,
            Self::ColdReads => 50,
        }
    }

    async fn run(self, target: &Target, client: usize) -> Result<()> {
        match self {
            Self::Keys => http1::keys(target, client).await,
            Self::Receipts => http1::receipts(target, client).await,
            Self::Names => http2::names(target, client).await,
            Self::BodiesHttp2 => http2::bodies(target).await,
            Self::BodiesHttp1 => http1::bodies(target, client).await,
            Self::UnreadHttp2 => http2::unread(target, client).await,
            Self::UnreadHttp1 => http1::unread(target, client).await,
            Self::Channels => http1::channels(target).await,
            Self::SlowReaders => http1::slow_reader(target, client).await,
            Self::ColdReads => http1::cold_reads(target).await,
        }
    }
}

/// Hoards in these ways until the time is over.
pub(super) async fn run(attacks: &[Attack], address: SocketAddr, until: Instant) -> Result<Tally> {
    let (mut hoarders, mut targets) = (JoinSet::new(), Vec::new());
    for &attack in attacks {
        let target = Rc::new(Target::new(address, until));
        targets.push((attack, target.clone()));
        for client in 0..attack.clients() {
            let target = target.clone();
            hoarders.spawn_local(async move {
                // A client that is cut begins again.
                while !target.is_over() {
                    match timeout_at(until, attack.run(&target, client)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => count(&target.cut),
                        Err(_) => break,
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
    }
    while let Some(one) = hoarders.join_next().await {
        one.context("a hoarder panicked")?;
    }
    let mut tally = Tally::new("hoarding", &["requests", "refused", "cut"], 0);
    for (attack, Target { requests, refused, cut, .. }) in
        targets.iter().map(|(attack, target)| (attack, &**target))
    {
        let counts = [("requests", requests.get()), ("refused", refused.get()), ("cut", cut.get())];
        tally.add(&name(attack), counts);
    }
    Ok(tally)
}
