//! A reader as a body: each event becomes one frame, each message one frame or one promise.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::HeaderValue;
use http::header::DATE;

use crate::dialect::message_list::Messages;
use crate::dialect::native;
use crate::dialect::stream_event::{Finality, StreamEvent};
use crate::message::body::{Broadcastable, Piece, Pieces, Promise, held_for_one};
use crate::message::shared_writer::SharedWriter;
use crate::stream::broadcast::{Broadcasts, Member};
use crate::stream::reader::{BatchOf, Event, Reader};
use crate::stream::style::Style;
use crate::stream::subject::Subject;

/// The body of a response that stays open.
pub(crate) struct StreamBody<R: Reader> {
    reader: R,
    style: Style,
    /// The first line.
    first: Option<Bytes>,
    /// The batch being sent, and how much of it was.
    giving: Option<(Arc<BatchOf<R>>, Finality, usize)>,
    /// Membership in the broadcast, once this reader has caught up.
    member: Option<Member<R::Subject>>,
    /// There is no memory for the next piece.
    breaks_off: bool,
}

impl<R: Reader> StreamBody<R> {
    pub(crate) fn new(reader: R, style: Style, first: Option<Bytes>) -> Self {
        Self { reader, style, first, giving: None, member: None, breaks_off: false }
    }

    fn piece(&mut self, batch: &Arc<BatchOf<R>>, finality: Finality, index: usize) -> Option<Piece> {
        if let Some(rendering) = self.reader.rendering(batch, self.style, finality) {
            return rendering.part(index).map(Piece::Data);
        }
        let worker = &self.reader.schedule().worker;
        let at = BatchOf::<R>::message(batch.items().get(index)?).at;
        let until = worker.store().retention().age().map(|age| at.after(age));
        let now = worker.now();
        let cache = native::message_cache(now, until);
        let mut promise = self.reader.promise(batch, index, cache, self.style.framing())?;
        // The transport has no environment, and its date would be the system's.
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_micros(now.as_micros()));
        promise.headers.insert(DATE, HeaderValue::try_from(date).ok()?);
        // A pushed message is rendered for this reader alone; without memory for that, it is sent inline.
        Some(match batch.charged(promise.body) {
            Ok(body) => Piece::Push(Promise { body, ..promise }),
            Err(_) => Piece::Data(promise.inline),
        })
    }

    /// The frame of an event other than messages; empty if this style has none.
    fn notice(&self, event: &Event<R>) -> Option<Bytes> {
        if matches!((event, self.style), (StreamEvent::Ended(_), Style::Steps(_))) {
            return None;
        }
        native::notice(self.style.framing(), event)
    }
}

impl<R: Reader> Pieces for StreamBody<R> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        if self.breaks_off {
            return Poll::Ready(Some(Piece::Broken));
        }
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Piece::Data(first)));
        }
        loop {
            if let Some((batch, finality, index)) = self.giving.take()
                && let Some(piece) = self.piece(&batch, finality, index)
            {
                self.giving = Some((batch, finality, index + 1));
                if matches!(&piece, Piece::Data(frame) if frame.is_empty()) {
                    // The message has no frame in this style.
                    continue;
                }
                return Poll::Ready(Some(piece));
            }
            let due = self.reader.schedule().heartbeat_due();
            let Some(event) = ready!(self.reader.poll_event(cx)) else { return Poll::Ready(None) };
            if let Some(end) = event.end() {
                self.reader.schedule().logged.ends(end);
            }
            if matches!(event, StreamEvent::Broken) {
                // Not the end of the body: the reader returns for the rest. What is written already leaves first.
                self.breaks_off = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(notice) = self.notice(&event) {
                return Poll::Ready(Some(Piece::Data(notice)));
            }
            if let StreamEvent::Batch(batch, finality) = event {
                let rendering = self.reader.rendering(&batch, self.style, finality);
                if rendering.is_some_and(|rendering| rendering.bytes.is_empty()) {
                    self.reader.schedule().keep_heartbeat(due);
                    // There may be many of them: let other tasks run in between.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                self.giving = Some((batch, finality, 0));
            }
        }
    }

    fn held(&self) -> usize {
        self.giving.as_ref().map_or(0, |(batch, ..)| held_for_one(batch, BatchOf::<R>::weight))
    }
}

impl<R: Reader> Broadcastable for StreamBody<R> {
    fn hand_over(&mut self, share: &mut dyn FnMut() -> Weak<SharedWriter>, waker: &Waker) {
        let promises = matches!(self.style, Style::Promises(_));
        let idle = self.first.is_none() && self.giving.is_none() && !promises;
        let Some(at) = self.reader.caught_up_at().filter(|_| idle) else { return };
        if self.member.is_none() {
            let worker = &self.reader.schedule().worker.clone();
            let broadcasts = worker.extension::<Broadcasts<R::Subject>>();
            let (subject, style) = (self.reader.subject(), self.style);
            self.member = broadcasts.map(|broadcasts| broadcasts.join(worker, subject, style));
        }
        if self.member.as_mut().is_some_and(|member| member.hand_over(&at, share, waker)) {
            self.reader.hand_over_to_broadcast();
            // The broadcast hands sockets back when the intake changes, but it may have done so just before this one came.
            if !self.reader.schedule().has_told_intake() {
                waker.wake_by_ref();
            }
        }
    }

    fn take_back(&mut self) -> Bytes {
        let Some(back) = self.member.as_mut().and_then(Member::take_back) else { return Bytes::new() };
        self.reader.schedule().logged.delivered(back.delivered);
        if let Some(at) = R::Subject::reached(&back.at) {
            self.reader.resume(at, back.written);
        }
        back.rest
    }
}

impl<R: Reader> Drop for StreamBody<R> {
    fn drop(&mut self) {
        // What the broadcast wrote counts, too, when the client leaves in the middle of it.
        if self.reader.schedule().logged.is_on() {
            let _rest = self.take_back();
        }
    }
}
