//! A request's content, read whole: bounded in bytes and time, and over before anything waits.
//!
//! Unread content would hide a client's leaving and hold its buffers, so no pattern sees a body. What is read is charged
//! before it is kept, and stays charged until its request has its answer.

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

/// How much content may come, and until when.
pub(crate) struct Bounds {
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

/// Reads a body.
///
/// # Errors
/// 413 when it is larger than it may be, 408 when it is late, 400 when it breaks off, 503 when there is no memory for it.
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
            // Most content comes in one piece, which is then not copied. Where more is to come it is: a small piece may
            // be a part of a large buffer, and would keep all of that while it waits.
            Content::None if body.is_end_stream() => {
                charge.grow(data.len())?;
                Content::One(data)
            }
            content => content.with(&data, most, &mut charge)?,
        };
    }
}

/// Content as far as it has come.
pub(crate) enum Content {
    None,
    One(Bytes),
    Many(Vec<u8>),
}

impl Content {
    fn len(&self) -> usize {
        self.as_ref().len()
    }

    /// With more, which is charged before there is room for it.
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
