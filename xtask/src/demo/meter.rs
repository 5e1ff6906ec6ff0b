//! Counts the bytes of one reader's connections, in both directions, heads and framing included.

use futures_util::future::BoxFuture;
use std::io;
use std::ops::Sub;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use poll_client::connect::{Connect, Pipe};
use tokio::net::TcpStream;
use tokio_util::io::{InspectReader, InspectWriter};

/// Opens connections of TCP and counts what they carry. A clone is the same one.
#[derive(Clone, Default)]
pub(super) struct Meter(Arc<Counters>);

#[derive(Default)]
struct Counters {
    bytes: AtomicU64,
    reads: AtomicU64,
}

/// What was counted until some moment, or between two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) bytes: u64,
    /// How often something came. While nothing is published each is a whole response or heartbeat, as the server writes
    /// either at once.
    pub(super) reads: u64,
}

impl Meter {
    pub(super) fn traffic(&self) -> Traffic {
        let Counters { bytes, reads } = &*self.0;
        Traffic { bytes: bytes.load(Ordering::Relaxed), reads: reads.load(Ordering::Relaxed) }
    }
}

impl Sub for Traffic {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { bytes: self.bytes - before.bytes, reads: self.reads - before.reads }
    }
}

impl Connect for Meter {
    fn connect(&self, authority: &str) -> BoxFuture<'static, io::Result<Pipe>> {
        let (authority, came, went) = (authority.to_owned(), self.0.clone(), self.0.clone());
        Box::pin(async move {
            let stream = TcpStream::connect(authority).await?;
            stream.set_nodelay(true)?;
            let stream = InspectWriter::new(stream, move |piece: &[u8]| {
                went.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
            });
            let stream = InspectReader::new(stream, move |piece: &[u8]| {
                came.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
                came.reads.fetch_add(1, Ordering::Relaxed);
            });
            Ok(Box::new(stream) as Pipe)
        })
    }
}
