//! Reads a request's content whole, within limits on size and time, before anything waits.
//!
//! Unread content would hide that a client has left, and hold buffers, so no pattern sees a body. Content is charged before
//! it is kept, until its request is answered.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::Body as _;
use poll_core::{Memory, OverBudget};
use tokio::time::Instant;

use crate::message::body_charge::BodyCharge;
use crate::message::refusal::Refusal;
use crate::message::request_body::RequestBody;
use crate::worker::timer_wheel::Timers;

/// Limits on the content's size and time.
pub(crate) struct Bounds {
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

/// Reads a body.
///
/// # Errors
/// 413 if it is too large, 408 if it is late, 400 if it ends early, 503 if there is no memory for it.
pub(crate) async fn read(
    mut body: RequestBody,
    bounds: Bounds,
    memory: &Memory,
    timers: &Timers,
) -> Result<(Content, BodyCharge), Refusal> {
    let most = bounds.bytes;
    if body.size_hint().lower() > most as u64 {
        return Err(Refusal::too_large("the content", most));
    }
    let mut charge = BodyCharge::new(memory, body.allowance())?;
    let mut timer = timers.timer();
    timer.set(Instant::now() + bounds.time);
    let mut content = Content::None;
    loop {
        let frame = poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
            Poll::Pending => timer.poll(cx).map(Err),
        });
        let frame = match frame.await {
            Err(()) => return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the content took too long")),
            Ok(None) => return Ok((content, charge)),
            Ok(Some(Err(_))) => return Err(Refusal::bad_request("the content broke off or was malformed")),
            Ok(Some(Ok(frame))) => frame,
        };
        // Trailers have no meaning here.
        let Ok(data) = frame.into_data() else { continue };
        if content.len() + data.len() > most {
            return Err(Refusal::too_large("the content", most));
        }
        content = match content {
            // Most content arrives in one piece, which is not copied. Several pieces are: a small one may be part of a
            // large buffer, and would keep it alive.
            Content::None if body.is_end_stream() => {
                charge.grow(data.len())?;
                Content::One(data)
            }
            content => content.with(&data, most, &mut charge)?,
        };
    }
}

/// The content received so far.
pub(crate) enum Content {
    None,
    One(Bytes),
    Many(Vec<u8>),
}

impl Content {
    fn len(&self) -> usize {
        self.as_ref().len()
    }

    /// Adds a piece, charged before room is made for it.
    fn with(self, data: &[u8], most: usize, charge: &mut BodyCharge) -> Result<Self, OverBudget> {
        let mut all = match self {
            Self::None => Vec::new(),
            Self::One(first) => first.into(),
            Self::Many(all) => all,
        };
        let wanted = all.len() + data.len();
        if wanted > all.capacity() {
            let capacity = wanted.max(2 * all.capacity()).min(most);
            charge.grow(capacity - all.capacity())?;
            all.reserve_exact(capacity - all.len());
        }
        all.extend_from_slice(data);
        Ok(Self::Many(all))
    }
}

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::One(bytes) => bytes,
            Self::Many(bytes) => bytes,
        }
    }
}
