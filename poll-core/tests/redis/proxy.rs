//! A network between a server and its Redis that a test can cut, in one direction or in both.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on to a Redis.
pub(crate) struct Proxy {
    address: SocketAddr,
    cut: Arc<watch::Sender<Cut>>,
}

/// What does not get through. Connections stay open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Nothing,
    ToRedis,
    FromRedis,
    Both,
}

impl Proxy {
    pub(crate) async fn start(redis: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::new(watch::Sender::new(Cut::Nothing));
        let cuts = cut.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(redis).await else { continue };
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(pass(from_client, to_server, cuts.subscribe(), Cut::ToRedis));
                tokio::spawn(pass(from_server, to_client, cuts.subscribe(), Cut::FromRedis));
            }
        });
        Self { address, cut }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    pub(crate) fn cut(&self, cut: Cut) {
        self.cut.send_replace(cut);
    }
}

/// Passes bytes on while they get through. What was cut off arrives afterwards, as it does over TCP.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut cut: watch::Receiver<Cut>, way: Cut) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let open = cut.wait_for(|cut| *cut != Cut::Both && *cut != way).await.is_ok();
        if !open || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
