//! Clients that leave in every bad way, or have to be cut.
//!
//! What clients held that leave by themselves must be free again. Clients that a limit must cut say whether it did, in
//! time.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use http::Request;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::client::{http2, is_gone};
use crate::fixture::name;
use crate::large;
use crate::secured::{Offer, dial};
use crate::tally::Tally;

/// Connections of a crowd that are open at once.
const AT_ONCE: usize = 400;
/// How long one stays before it leaves, in milliseconds.
const STAY: std::ops::Range<u64> = 0..400;
/// When one that the server must cut after four seconds counts as not cut.
const CUT: Duration = Duration::from_secs(12);
/// When the server gives a handshake up. On a loaded machine a client may be so slow with its own part.
const HANDSHAKE: Duration = Duration::from_secs(4);
/// How long a reader that never reads stays: over the stall limit of three seconds.
const NEVER: Duration = Duration::from_secs(5);
/// Between two bytes of the ones that send slowly.
const DRIP: Duration = Duration::from_millis(250);
/// What the ones that never read ask for: more than any socket buffers.
const FAT: &str = "fat";
const FAT_MESSAGES: usize = 400;
/// Requests on an HTTP/2 connection, each reset by itself.
const STREAMS: usize = 10;

/// How one leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Leaving {
    /// An orderly end while its question waits
    Fin,
    /// A reset while its question waits
    Rst,
    /// HTTP/2 streams reset one by one, then the connection dropped
    ResetStreams,
    /// Its sending side ended, its receiving side open and never read
    HalfOpen,
    /// A head that never ends
    SlowHead,
    /// A body that never ends
    SlowBody,
    /// A stream that is never read
    NeverRead,
}

pub(super) const COLUMNS: &[&str] = &["left", "cut", "late", "not cut"];

/// Publishes what the ones who never read ask for.
pub(super) async fn prepare(address: SocketAddr) -> Result<()> {
    large::publish(address, FAT, "x", FAT_MESSAGES).await
}

/// Lets so many come and leave, and waits until they have.
pub(super) async fn crowd(address: SocketAddr, connections: u64, seed: u64) -> Result<Tally> {
    let gate = Rc::new(Semaphore::new(AT_ONCE));
    let mut crowd = JoinSet::new();
    for (number, &leaving) in (0..connections).zip(Leaving::value_variants().iter().cycle()) {
        let (gate, seed) = (gate.clone(), seed.wrapping_add(number));
        crowd.spawn_local(async move {
            let _permit = gate.acquire().await.context("the gate never closes")?;
            let begun = Instant::now();
            let end = match come_and_leave(address, leaving, number, seed).await {
                Err(error) if is_gone(&error) && begun.elapsed() >= HANDSHAKE => "late",
                end => end.with_context(|| format!("{leaving:?}"))?,
            };
            anyhow::Ok((leaving, end))
        });
    }
    let mut tally = Tally::new("bad clients", COLUMNS, 1);
    while let Some(end) = crowd.join_next().await {
        let (leaving, end) = end.context("one of the crowd has panicked")??;
        tally.add(&name(&leaving), [(end, 1)]);
    }
    Ok(tally)
}

/// Gives the column under which it counts.
async fn come_and_leave(
    address: SocketAddr,
    leaving: Leaving,
    number: u64,
    seed: u64,
) -> Result<&'static str> {
    let stay = Duration::from_millis(StdRng::seed_from_u64(seed).random_range(STAY));
    let channel = number % 50;
    match leaving {
        Leaving::Fin | Leaving::Rst | Leaving::HalfOpen => {
            let mut stream = dial(address, Offer::Http1).await?;
            let target = if number.is_multiple_of(2) { "longpoll" } else { "stream" };
            let head = format!(
                "GET /api/{target}?channel=crowd-{channel}&timeout=60 HTTP/1.1\r\nHost: {address}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await?;
            stream.flush().await?;
            match leaving {
                Leaving::Rst => stream.tcp()?.set_zero_linger()?,
                // Whatever the server answers to that, it must not keep the socket for it.
                Leaving::HalfOpen => stream.shutdown().await?,
                _ => {}
            }
            sleep(stay).await;
            Ok("left")
        }
        Leaving::ResetStreams => reset_streams(address, channel, stay).await,
        Leaving::SlowHead => drip(address, "GET /api/longpoll HTTP/1.1\r\nX-Slow: ").await,
        Leaving::SlowBody => {
            let head = "POST /api/message?channel=crowd HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n";
            drip(address, &format!("{head}Host: {address}\r\n\r\n")).await
        }
        Leaving::NeverRead => never_read(address).await,
    }
}

async fn reset_streams(address: SocketAddr, channel: u64, stay: Duration) -> Result<&'static str> {
    let (sender, driver) = http2(address, &h2::client::Builder::new()).await?;
    let mut waiting = Vec::new();
    for _ in 0..STREAMS {
        let mut ready = sender.clone().ready().await?;
        let target = format!("http://{address}/api/longpoll?channel=crowd-{channel}&timeout=60");
        waiting.push(ready.send_request(Request::get(target).body(())?, true)?);
    }
    sleep(stay).await;
    for (response, mut stream) in waiting {
        stream.send_reset(h2::Reason::CANCEL);
        drop(response);
    }
    // Time for the resets to go out; half of the connections are dropped before that.
    if channel.is_multiple_of(2) {
        sleep(stay).await;
    }
    driver.abort();
    Ok("left")
}

/// Sends a beginning and then a byte now and then, until the server has had enough.
async fn drip(address: SocketAddr, beginning: &str) -> Result<&'static str> {
    let mut stream = dial(address, Offer::Http1).await?;
    stream.write_all(beginning.as_bytes()).await?;
    let (mut read, mut write) = tokio::io::split(stream);
    let dripping = async {
        loop {
            sleep(DRIP).await;
            if write.write_all(b"x").await.is_err() || write.flush().await.is_err() {
                // It was cut, which the reading side sees too.
                std::future::pending::<()>().await;
            }
        }
    };
    let reading = async {
        let mut answer = [0; 1024];
        // An end and a reset are both a cut.
        while read.read(&mut answer).await.is_ok_and(|read| read > 0) {}
    };
    let cut = async {
        tokio::select! {
            () = dripping => {}
            () = reading => {}
        }
    };
    Ok(if timeout(CUT, cut).await.is_ok() { "cut" } else { "not cut" })
}

async fn never_read(address: SocketAddr) -> Result<&'static str> {
    let _unread = large::narrow(address, &format!("/api/stream?channel={FAT}&last_id=0")).await?;
    sleep(NEVER).await;
    Ok("left")
}
