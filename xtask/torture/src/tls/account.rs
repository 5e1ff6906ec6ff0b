//! What a server has on its account of memory while it is abused, asked again and again.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};

use crate::metrics::Metrics;

const STEP: Duration = Duration::from_millis(200);

/// The most that was seen at once, in bytes.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// Of handshakes and parts of records.
    pub(super) buffers: u64,
    /// Of what is kept of each connection.
    pub(super) sessions: u64,
    /// Of all kinds together.
    pub(super) all: u64,
    pub(super) sockets: u64,
}

/// Looks until the time is over.
pub(super) async fn watch(address: SocketAddr, until: Instant) -> Result<Account> {
    let mut most = Account::default();
    while Instant::now() < until {
        let now = Metrics::of(address).await?;
        let kind = |kind| now.sum(&format!("poll_memory_bytes{{kind=\"{kind}\"}}"));
        most.buffers = most.buffers.max(kind("tls_buffers")?);
        most.sessions = most.sessions.max(kind("tls_sessions")?);
        most.all = most.all.max(now.sum("poll_memory_bytes{")?);
        most.sockets = most.sockets.max(now.sum("poll_sockets_open")?);
        sleep(STEP).await;
    }
    Ok(most)
}
