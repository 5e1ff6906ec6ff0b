//! A channel reader as a body: each event becomes one frame, each message one frame or one promise.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use poll_core::Batch;

use crate::dialect::native;
use crate::dialect::stream_event::{Finality, StreamEvent};
use crate::message::body::{Broadcastable, Piece, Pieces, Promise, held_for_one};
use crate::message::shared_writer::SharedWriter;
use crate::stream::broadcast::{Broadcasts, Member};
use crate::stream::channel_reader::ChannelReader;
use crate::stream::style::Style;

/// The body of a response that stays open.
pub(crate) struct StreamBody {
    reader: ChannelReader,
    style: Style,
    /// The first line.
    first: Option<Bytes>,
    /// The batch being sent, and how much of it was.
    giving: Option<(Arc<Batch>, Finality, usize)>,
    /// Membership in the broadcast, once this reader has caught up.
    member: Option<Member>,
    /// There is no memory for the next piece.
    breaks_off: bool,
}

impl StreamBody {
    pub(crate) fn new(reader: ChannelReader, style: Style, first: Option<Bytes>) -> Self {
        Self { reader, style, first, giving: None, member: None, breaks_off: false }
    }

    fn piece(&self, batch: &Arc<Batch>, finality: Finality, index: usize) -> Option<Piece> {
        if let Some(rendering) = self.style.rendering(batch, finality) {
            return rendering.part(index).map(Piece::Data);
        }
        let worker = self.reader.worker();
        let at = batch.messages().get(index)?.at;
        let until = worker.store().retention().age().map(|age| at.after(age));
        let cache = native::message_cache(worker.now(), until);
        let framing = self.style.framing();
        let promise = native::promise(self.reader.channel(), batch, index, cache, framing)?;
        // A pushed message is rendered for this reader alone; without memory for that, it is sent inline.
        Some(match batch.charge(promise.body) {
            Ok(body) => Piece::Push(Promise { body, ..promise }),
            Err(_) => Piece::Data(promise.inline),
        })
    }

    /// The frame of an event other than messages; empty if this style has none.
    fn notice(&self, event: &StreamEvent) -> Option<Bytes> {
        if matches!((event, self.style), (StreamEvent::Ended(_), Style::Steps(_))) {
            return None;
        }
        native::notice(self.style.framing(), event)
    }
}

impl Pieces for StreamBody {
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
            let due = self.reader.heartbeat_due();
            let Some(event) = ready!(self.reader.poll_event(cx)) else { return Poll::Ready(None) };
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
                if self.style.rendering(&batch, finality).is_some_and(|rendering| rendering.bytes.is_empty())
                {
                    self.reader.keep_heartbeat(due);
                    // There may be many of them: let other tasks run in between.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                self.giving = Some((batch, finality, 0));
            }
        }
    }

    fn held(&self) -> usize {
        self.giving.as_ref().map_or(0, |(batch, ..)| held_for_one(batch))
    }
}

impl Broadcastable for StreamBody {
    fn hand_over(&mut self, share: &mut dyn FnMut() -> Weak<SharedWriter>, waker: &Waker) {
        let promises = matches!(self.style, Style::Promises(_));
        let idle = self.first.is_none() && self.giving.is_none() && !promises;
        let Some(at) = self.reader.caught_up_at().filter(|_| idle) else { return };
        if self.member.is_none() {
            let worker = self.reader.worker();
            let broadcasts = worker.extension::<Broadcasts>();
            let (channel, style) = (self.reader.channel(), self.style);
            self.member = broadcasts.map(|broadcasts| broadcasts.join(worker, channel, style));
        }
        if self.member.as_mut().is_some_and(|member| member.hand_over(at, share, waker)) {
            self.reader.hand_over_to_broadcast();
            // The broadcast hands sockets back when the intake changes, but it may have done so just before this one came.
            if !self.reader.has_told_intake() {
                waker.wake_by_ref();
            }
        }
    }

    fn take_back(&mut self) -> Bytes {
        let Some(back) = self.member.as_mut().and_then(Member::take_back) else { return Bytes::new() };
        self.reader.resume(back.at, back.written);
        back.rest
    }
}
