//! A relay of TCP between a node and its Redis: it passes bytes on, late, or not at all, each direction by itself.
//!
//! A cut network does one of two things to a connection: what was sent arrives when the network is back, or the
//! connection is dead by then. *Held* is the first. *Swallowed* is the second: bytes vanish, and a connection that lost
//! any is reset when bytes pass again. Meanwhile new connections are taken, and fare alike.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// Bytes taken at once.
const PIECE: usize = 64 << 10;
/// Small, so that a relay that takes nothing is soon felt by the sender.
const BUFFER: u32 = 32 << 10;

/// What becomes of the bytes of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Passed,
    Late(Duration),
    Held,
    Swallowed,
}

/// Both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flows {
    /// From the node to Redis.
    pub(super) there: Flow,
    pub(super) back: Flow,
}

/// A relay that listens. Ends when dropped, and its connections with it.
#[derive(Debug)]
pub(super) struct Relay {
    address: SocketAddr,
    flows: watch::Sender<Flows>,
    accepting: AbortHandle,
}

impl Flows {
    pub(super) const OPEN: Self = Self { there: Flow::Passed, back: Flow::Passed };
}

impl Relay {
    /// Listens on a free port for connections to `target`.
    pub(super) async fn to(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let flows = watch::Sender::new(Flows::OPEN);
        let told = flows.subscribe();
        let accepting = tokio::task::spawn_local(accept(listener, target, told)).abort_handle();
        Ok(Self { address, flows, accepting })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn set(&self, flows: Flows) {
        self.flows.send_replace(flows);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, flows: watch::Receiver<Flows>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let flows = flows.clone();
        connections.spawn_local(async move {
            // What broke it shows at both ends.
            let _ = connect(client, target, flows).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Relays one connection until either side closes it or it has to be reset.
async fn connect(client: TcpStream, target: SocketAddr, flows: watch::Receiver<Flows>) -> Result<()> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_recv_buffer_size(BUFFER)?;
    let server = socket.connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        there = pump(from_client, to_server, flows.clone(), |flows| flows.there) => there,
        back = pump(from_server, to_client, flows, |flows| flows.back) => back,
    }
}

/// Passes bytes on as the flow says; ends with the source, or when bytes pass again and some were swallowed.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut flows: watch::Receiver<Flows>,
    of: impl Fn(&Flows) -> Flow,
) -> Result<()> {
    let (mut piece, mut has_hole) = (vec![0; PIECE], false);
    loop {
        let flow = of(&flows.borrow_and_update());
        if has_hole && flow != Flow::Swallowed {
            return Ok(());
        }
        if flow == Flow::Held {
            flows.changed().await?;
            continue;
        }
        let taken = tokio::select! {
            taken = from.read(&mut piece) => taken?,
            changed = flows.changed() => {
                changed?;
                continue;
            }
        };
        let arrived = Instant::now();
        if taken == 0 {
            return Ok(());
        }
        match wait(&mut flows, &of, arrived).await? {
            Flow::Swallowed => has_hole = true,
            _ => to.write_all(&piece[..taken]).await?,
        }
    }
}

/// Waits until a piece may go on or is lost.
async fn wait(
    flows: &mut watch::Receiver<Flows>,
    of: &impl Fn(&Flows) -> Flow,
    arrived: Instant,
) -> Result<Flow> {
    loop {
        let flow = of(&flows.borrow_and_update());
        match flow {
            Flow::Passed | Flow::Swallowed => return Ok(flow),
            Flow::Held => flows.changed().await?,
            Flow::Late(delay) => tokio::select! {
                () = sleep_until(arrived + delay) => return Ok(flow),
                changed = flows.changed() => changed?,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::fixture::block_on;

    const SOON: Duration = Duration::from_secs(10);

    /// A connection through a relay to a server that sends everything back.
    async fn echo() -> Result<(Relay, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let relay = Relay::to(listener.local_addr()?).await?;
        tokio::task::spawn_local(async move {
            let (stream, _) = listener.accept().await?;
            let (mut from, mut to) = stream.into_split();
            tokio::io::copy(&mut from, &mut to).await
        });
        let client = TcpStream::connect(relay.address()).await?;
        Ok((relay, client))
    }

    async fn heard(client: &mut TcpStream) -> Result<u8> {
        Ok(timeout(SOON, client.read_u8()).await??)
    }

    #[test]
    fn held_bytes_arrive_when_the_network_is_back() {
        block_on(async {
            let (relay, mut client) = echo().await?;
            client.write_u8(1).await?;
            assert_eq!(heard(&mut client).await?, 1);
            for flows in
                [Flows { back: Flow::Held, ..Flows::OPEN }, Flows { there: Flow::Held, ..Flows::OPEN }]
            {
                relay.set(flows);
                client.write_u8(2).await?;
                assert!(timeout(Duration::from_millis(50), client.read_u8()).await.is_err());
                relay.set(Flows::OPEN);
                assert_eq!(heard(&mut client).await?, 2);
            }
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn a_connection_that_lost_bytes_is_reset_when_the_network_is_back() {
        for flows in
            [Flows { back: Flow::Swallowed, ..Flows::OPEN }, Flows { there: Flow::Swallowed, ..Flows::OPEN }]
        {
            block_on(async {
                let (relay, mut client) = echo().await?;
                relay.set(flows);
                client.write_u8(1).await?;
                assert!(timeout(Duration::from_millis(50), client.read_u8()).await.is_err());
                relay.set(Flows::OPEN);
                assert!(heard(&mut client).await.is_err());
                Ok(())
            })
            .unwrap();
        }
    }

    #[test]
    fn late_bytes_are_late() {
        block_on(async {
            let (relay, mut client) = echo().await?;
            let delay = Duration::from_millis(40);
            relay.set(Flows { there: Flow::Late(delay), back: Flow::Late(delay) });
            let start = Instant::now();
            client.write_u8(1).await?;
            assert_eq!(heard(&mut client).await?, 1);
            assert!(start.elapsed() >= 2 * delay);
            Ok(())
        })
        .unwrap();
    }
}
