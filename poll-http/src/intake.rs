//! A request's content, read whole: bounded in bytes and time, and over before anything waits.
//!
//! Unread content would hide a client's leaving and hold its buffers, so no pattern sees a body.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body as _;
use tokio::time::Instant;

use crate::body::RequestBody;
use crate::deadline::Deadlines;
use crate::error::Refusal;

/// Reads a body of at most `most` bytes within `time`.
///
/// # Errors
/// 413 when it is larger, 408 when it is late, 400 when it breaks off.
pub(crate) async fn read(
    mut body: RequestBody,
    most: usize,
    time: Duration,
    deadlines: &Deadlines,
) -> Result<Bytes, Refusal> {
    if body.size_hint().lower() > most as u64 {
        return Err(Refusal::too_large("the content", most));
    }
    let mut timer = deadlines.timer();
    timer.set(Instant::now() + time);
    let mut content = Content::None;
    loop {
        let frame = poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
            Poll::Pending => timer.poll(cx).map(Err),
        });
        let frame = match frame.await {
            Err(()) => return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the content took too long")),
            Ok(None) => return Ok(content.into_bytes()),
            Ok(Some(Err(_))) => return Err(Refusal::bad_request("the content broke off or was malformed")),
            Ok(Some(Ok(frame))) => frame,
        };
        // Trailers have no meaning here.
        let Ok(data) = frame.into_data() else { continue };
        if content.len() + data.len() > most {
            return Err(Refusal::too_large("the content", most));
        }
        content = content.with(data);
    }
}

/// Most content comes in one piece, which is then not copied.
enum Content {
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Content {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(bytes) => bytes.len(),
            Self::Many(bytes) => bytes.len(),
        }
    }

    fn with(self, data: Bytes) -> Self {
        let mut all = match self {
            Self::None => return Self::One(data),
            Self::One(first) => BytesMut::from(first),
            Self::Many(all) => all,
        };
        all.extend_from_slice(&data);
        Self::Many(all)
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::None => Bytes::new(),
            // A small piece of a large read buffer would keep all of that buffer.
            Self::One(bytes) => Bytes::copy_from_slice(&bytes),
            Self::Many(bytes) => bytes.freeze(),
        }
    }
}
