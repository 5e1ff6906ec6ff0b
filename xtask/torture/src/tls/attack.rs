//! The ways of abusing TLS. Each is one connection, or a few; one that ends begins again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use rustls::{ClientConfig, ClientConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::connect;
use crate::large;
use crate::secured::{NAME, Offer, trust};

/// Between two bytes of the ones that send slowly.
const DRIP: Duration = Duration::from_millis(200);
/// Longer than any limit of the server: it has to end these itself.
const EVER: Duration = Duration::from_secs(60);
/// What the ones that never read ask for.
const FAT: &str = "tls-fat";
const FAT_MESSAGES: usize = 300;
/// What a record may hold.
const LONGEST: usize = 16 << 10;
/// Processes at once of the one way that needs some.
const PROCESSES: usize = 24;
/// A handshake message that claims as much as it can, in a record of 16 KiB.
const HUGE: usize = 16 << 10;

/// A way of abusing TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Attack {
    /// A ClientHello a byte at a time
    SlowHello,
    /// A whole ClientHello, and nothing after it
    Stuck,
    /// Anything but TLS
    Garbage,
    /// A record that is longer than one may be
    LongRecord,
    /// A handshake message of 16 MiB
    LongMessage,
    /// One session, resumed again and again
    Resumption,
    /// Handshakes as fast as they go, none resumed
    Handshakes,
    /// Keys renewed without need
    KeyUpdates,
    /// A renegotiation in TLS 1.2
    Renegotiation,
    /// Its sending side ended without a word, its receiving side open
    HalfClosed,
    /// A record after the handshake that never ends: a byte at a time, or all but its last byte
    PartialRecord,
    /// A stream that is never read
    NeverRead,
}

/// Publishes what the ones who never read ask for.
pub(super) async fn prepare(address: SocketAddr) -> Result<()> {
    large::publish(address, FAT, "x", FAT_MESSAGES).await
}

impl Attack {
    /// So many clients, or as many as this way can have.
    pub(super) fn clients(self, wanted: usize) -> usize {
        if self == Self::Renegotiation { wanted.min(PROCESSES) } else { wanted }
    }

    /// What goes wrong is the server's defence, or the end of the round.
    pub(super) async fn run(self, address: SocketAddr, number: usize) {
        let _cut = self.attack(address, number).await;
        // Nothing here is to be an endless loop of refused connections.
        sleep(Duration::from_millis(20)).await;
    }

    async fn attack(self, address: SocketAddr, number: usize) -> Result<()> {
        match self {
            Self::SlowHello => drip(connect(address).await?, &hello()?).await,
            Self::Stuck => leave_waiting(connect(address).await?, &hello()?).await,
            Self::Garbage => {
                let bytes: Vec<u8> = (0..4_000).map(|at: usize| (at * 31 + number * 17) as u8).collect();
                leave_waiting(connect(address).await?, &bytes).await
            }
            Self::LongRecord => {
                let record = [&[22, 3, 1, 0xff, 0xff][..], &vec![1; 0xffff]].concat();
                leave_waiting(connect(address).await?, &record).await
            }
            Self::LongMessage => long_message(connect(address).await?).await,
            Self::Resumption => many(address, Some(config()?)).await,
            Self::Handshakes => many(address, None).await,
            Self::KeyUpdates => key_updates(address).await,
            Self::Renegotiation => renegotiate(address).await,
            Self::HalfClosed => half_closed(address, number).await,
            Self::PartialRecord => {
                let (mut stream, _) = secured(address, config()?).await?.into_inner();
                stream.write_all(&[23, 3, 3, 0x40, 0]).await?;
                let record = vec![0; LONGEST];
                if number.is_multiple_of(2) {
                    return drip(stream, &record).await;
                }
                leave_waiting(stream, &record[1..]).await
            }
            Self::NeverRead => {
                let _unread = large::narrow(address, &format!("/api/stream?channel={FAT}&last_id=0")).await?;
                sleep(EVER).await;
                Ok(())
            }
        }
    }
}

fn config() -> Result<Arc<ClientConfig>> {
    Ok(Arc::new(trust(Offer::Http1)?.context("there is a certificate")?))
}

/// A ClientHello as rustls sends it.
fn hello() -> Result<Vec<u8>> {
    let (mut session, mut bytes) = (ClientConnection::new(config()?, NAME.try_into()?)?, Vec::new());
    session.write_tls(&mut bytes)?;
    Ok(bytes)
}

async fn secured(address: SocketAddr, config: Arc<ClientConfig>) -> Result<TlsStream<TcpStream>> {
    Ok(TlsConnector::from(config).connect(NAME.try_into()?, connect(address).await?).await?)
}

async fn ask(stream: &mut TlsStream<TcpStream>, target: &str) -> Result<()> {
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: {NAME}\r\n\r\n").as_bytes()).await?;
    stream.flush().await.context("cannot ask")
}

async fn drip(mut stream: TcpStream, bytes: &[u8]) -> Result<()> {
    for byte in bytes {
        stream.write_all(&[*byte]).await?;
        sleep(DRIP).await;
    }
    Ok(())
}

/// Sends these and waits for the server to end it.
async fn leave_waiting(mut stream: TcpStream, bytes: &[u8]) -> Result<()> {
    stream.write_all(bytes).await?;
    let mut answer = [0; 4_096];
    while stream.read(&mut answer).await? > 0 {}
    Ok(())
}

async fn long_message(mut stream: TcpStream) -> Result<()> {
    let head = [22, 3, 1, (HUGE >> 8) as u8, (HUGE & 0xff) as u8];
    let mut first = vec![0; HUGE];
    // A ClientHello of so many bytes as three can say.
    first[..4].copy_from_slice(&[1, 0xff, 0xff, 0xff]);
    stream.write_all(&[&head[..], &first].concat()).await?;
    loop {
        stream.write_all(&[&head[..], &[0; HUGE][..]].concat()).await?;
    }
}

/// Connections one after another, each with a request.
async fn many(address: SocketAddr, shared: Option<Arc<ClientConfig>>) -> Result<()> {
    for _ in 0..50 {
        let mut stream = secured(address, shared.clone().map_or_else(config, Ok)?).await?;
        ask(&mut stream, "/healthz").await?;
        // The tickets come with the answer.
        let _read = stream.read(&mut [0; 1_024]).await?;
    }
    Ok(())
}

async fn key_updates(address: SocketAddr) -> Result<()> {
    let mut stream = secured(address, config()?).await?;
    loop {
        stream.get_mut().1.refresh_traffic_keys()?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nX: ").await?;
        stream.flush().await?;
    }
}

/// By openssl, because rustls does not know how to.
async fn renegotiate(address: SocketAddr) -> Result<()> {
    let mut openssl = tokio::process::Command::new("openssl");
    openssl.args(["s_client", "-tls1_2", "-connect", &address.to_string()]).kill_on_drop(true);
    let null = std::process::Stdio::null;
    let mut openssl = openssl.stdin(std::process::Stdio::piped()).stdout(null()).stderr(null()).spawn()?;
    let mut stdin = openssl.stdin.take().context("its input is a pipe")?;
    for _ in 0..10 {
        if stdin.write_all(b"R\n").await.is_err() {
            break;
        }
        sleep(DRIP).await;
    }
    openssl.kill().await.context("openssl cannot be ended")
}

async fn half_closed(address: SocketAddr, number: usize) -> Result<()> {
    let mut stream = secured(address, config()?).await?;
    ask(&mut stream, "/api/longpoll?channel=half&timeout=60").await?;
    if number.is_multiple_of(2) {
        // With a word: the server's own end follows.
        stream.shutdown().await?;
    } else {
        stream.get_mut().0.shutdown().await?;
    }
    let mut end = [0; 1_024];
    while stream.read(&mut end).await? > 0 {}
    Ok(())
}
