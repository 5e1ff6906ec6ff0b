//! Streams of an HTTP/2 connection that wait for their turn while the socket is full.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http::Response;
use poll_http::{Body, ConnectionSettings, Drain, serve};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

use crate::transport_toy::*;
use crate::world::settle;

/// Answers `/large` with so many bytes, and anything else with one.
const LARGE: usize = 100_000;

fn large_and_small() -> Toy {
    Toy::new(|request, _| {
        let bytes = if request.uri().path() == "/large" { LARGE } else { 1 };
        now(Response::new(Body::full(vec![b'x'; bytes])))
    })
}

/// A pipe that counts how often it is read from: at least once for each time that its connection goes round.
struct Counted {
    io: DuplexStream,
    reads: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The same GET or RST_STREAM on many streams.
fn on_each(streams: impl Iterator<Item = u32>, frame: &[u8]) -> Vec<u8> {
    streams.flat_map(|stream| [&frame[..5], &stream.to_be_bytes(), &frame[9..]].concat()).collect()
}

#[tokio::test(start_paused = true)]
async fn streams_that_were_reset_have_left_the_queue_for_a_full_socket() {
    const ROUNDS: u32 = 20;
    const EACH: u32 = 200;
    let (mut client, server) = tokio::io::duplex(16 * 1024);
    let reads = Arc::new(AtomicUsize::new(0));
    let io = Counted { io: server, reads: Arc::clone(&reads) };
    let context = context(ConnectionSettings::default(), Drain::new());
    let _served = tokio::spawn(serve(io, peer(), large_and_small(), context));
    client.write_all(&raw_opening_wide()).await.unwrap();
    for stream in [1, 3, 5, 7, 9] {
        client.write_all(&raw_get(stream, "/large")).await.unwrap();
    }
    settle().await;
    for round in 0..ROUNDS {
        let streams = (0..EACH).map(|number| 11 + 2 * (round * EACH + number));
        client.write_all(&on_each(streams.clone(), &raw_get(0, "/"))).await.unwrap();
        settle().await;
        client.write_all(&on_each(streams, &[0, 0, 4, 3, 0, 0, 0, 0, 0, 0, 0, 0, 8])).await.unwrap();
        settle().await;
    }
    reads.store(0, Ordering::Relaxed);
    let mut data = 0;
    while data < 5 * LARGE {
        let frame = raw_frame(&mut client).await;
        data += if frame.kind == 0 { frame.payload.len() } else { 0 };
    }
    let reads = reads.load(Ordering::Relaxed);
    assert!(reads < 500, "read {reads} times, to go round for streams that are gone");
}
