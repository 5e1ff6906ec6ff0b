//! HTTP/2 clients with several streams on one connection, each of which asks as fast as it is answered.

use std::net::SocketAddr;

use anyhow::Result;
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;

use super::counts::Counts;
use crate::secured::Offer;

/// Streams that a client has open at once.
const STREAMS: usize = 5;

pub(super) async fn ask(address: SocketAddr, counts: Counts) -> Result<()> {
    while let Some(stream) = counts.connect(address, Offer::Http2).await? {
        let (requests, connection) = match h2::client::handshake(stream).await {
            Ok(opened) => opened,
            Err(error) => {
                if error.is_io() {
                    counts.reset();
                }
                continue;
            }
        };
        let connection = tokio::task::spawn_local(connection);
        let streams = (0..STREAMS).map(|_| stream_after_stream(requests.clone(), &counts));
        futures_util::future::join_all(streams).await;
        drop(requests);
        // A clean end, whichever side closes first.
        if connection.await?.is_err_and(|error| error.is_io()) {
            counts.reset();
        }
    }
    Ok(())
}

async fn stream_after_stream(mut requests: SendRequest<Bytes>, counts: &Counts) {
    loop {
        // GOAWAY came, or the end: nothing was asked.
        let Ok(mut ready) = requests.ready().await else { return };
        let Ok(request) = Request::get("http://localhost/api/poll?channel=none").body(()) else { return };
        let Ok((answer, _)) = ready.send_request(request, true) else { return };
        match read(answer).await {
            Ok(status) => counts.answered(status),
            // It was not processed, and the server said so (RFC 9113, section 6.8).
            Err(error) if error.is_go_away() && error.is_remote() => return,
            Err(_) => return counts.unanswered(1),
        }
        requests = ready;
    }
}

async fn read(answer: h2::client::ResponseFuture) -> Result<u16, h2::Error> {
    let answer = answer.await?;
    let status = answer.status().as_u16();
    let mut body = answer.into_body();
    while let Some(data) = body.data().await {
        let _released = body.flow_control().release_capacity(data?.len());
    }
    Ok(status)
}
