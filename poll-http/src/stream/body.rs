//! A followed channel as a body: each event becomes one frame, each message one frame or one promise.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use poll_core::{Batch, Rendering};

use crate::dialect::frame::Framing;
use crate::dialect::native::{self, Reason};
use crate::message::body::{Level, Piece, Pieces, Promise, held_for_one};
use crate::message::shared_writer::Lent;
use crate::stream::broadcast::Seat;
use crate::stream::channel_reader::{Event, Follow, Reach};

/// What a feed makes of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Style {
    /// Lines or events that carry the message.
    Updates(Framing),
    /// A job's steps and nothing else, without a line before the first and after the last.
    Steps(Framing),
    /// Promises, announced by lines or events.
    Promises(Framing),
}

/// The body of an answer that stays open.
pub(crate) struct Feed {
    follow: Follow,
    style: Style,
    /// The line before everything else.
    first: Option<Bytes>,
    /// The batch that is being given, and how much of it was.
    giving: Option<(Arc<Batch>, Reach, usize)>,
    /// Among those who are written to together, once it has been level.
    seat: Option<Seat>,
    /// There is no memory for what comes next.
    breaks_off: bool,
}

impl Style {
    pub(crate) fn framing(self) -> Framing {
        match self {
            Self::Updates(framing) | Self::Steps(framing) | Self::Promises(framing) => framing,
        }
    }

    /// A batch as it is given, where that is the same for all.
    pub(crate) fn rendering(self, batch: &Batch, reach: Reach) -> Option<&Rendering> {
        match self {
            Self::Updates(framing) => Some(native::updates(batch, framing)),
            Self::Steps(framing) => Some(native::progress(batch, framing, reach)),
            Self::Promises(_) => None,
        }
    }
}

impl Feed {
    pub(crate) fn new(follow: Follow, style: Style, first: Option<Bytes>) -> Self {
        Self { follow, style, first, giving: None, seat: None, breaks_off: false }
    }

    fn piece(&self, batch: &Arc<Batch>, reach: Reach, index: usize) -> Option<Piece> {
        if let Some(rendering) = self.style.rendering(batch, reach) {
            return rendering.part(index).map(Piece::Data);
        }
        let service = self.follow.service();
        let at = batch.messages().get(index)?.at;
        let until = service.store().retention().age().map(|age| at.after(age));
        let cache = native::message_cache(service.now(), until);
        let framing = self.style.framing();
        let promise = native::promise(self.follow.channel(), batch, index, cache, framing)?;
        // What is pushed is rendered for this reader alone; where there is no memory for that, it comes as to others.
        Some(match batch.charge(promise.body) {
            Ok(body) => Piece::Push(Promise { body, ..promise }),
            Err(_) => Piece::Data(promise.inline),
        })
    }

    /// A notice's frame; none where this style has no such line.
    fn notice(&self, event: &Event) -> Option<Bytes> {
        let framing = self.style.framing();
        match *event {
            Event::Batch(..) | Event::Broken => None,
            Event::Reset { missed, cursor } => Some(native::reset(framing, missed, cursor)),
            Event::Idle(cursor) => Some(native::heartbeat(framing, cursor)),
            Event::Ended(_) if matches!(self.style, Style::Steps(_)) => None,
            Event::Ended(cursor) => Some(native::closed(framing, Reason::Ended, cursor)),
            Event::Draining(cursor) => Some(native::closed(framing, Reason::Draining, cursor)),
        }
    }
}

impl Pieces for Feed {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        if self.breaks_off {
            return Poll::Ready(Some(Piece::Broken));
        }
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Piece::Data(first)));
        }
        loop {
            if let Some((batch, reach, index)) = self.giving.take()
                && let Some(piece) = self.piece(&batch, reach, index)
            {
                self.giving = Some((batch, reach, index + 1));
                if matches!(&piece, Piece::Data(frame) if frame.is_empty()) {
                    // What has no frame in this style.
                    continue;
                }
                return Poll::Ready(Some(piece));
            }
            let due = self.follow.heartbeat_due();
            let Some(event) = ready!(self.follow.poll_event(cx)) else { return Poll::Ready(None) };
            if matches!(event, Event::Broken) {
                // Not ended: its reader comes back for the rest. What was said before is to leave first.
                self.breaks_off = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(notice) = self.notice(&event) {
                return Poll::Ready(Some(Piece::Data(notice)));
            }
            if let Event::Batch(batch, reach) = event {
                if self.style.rendering(&batch, reach).is_some_and(|rendering| rendering.bytes.is_empty()) {
                    self.follow.said_nothing(due);
                    // There may be any number of them: others have their turn.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                } else {
                    self.giving = Some((batch, reach, 0));
                }
            }
        }
    }

    fn held(&self) -> usize {
        self.giving.as_ref().map_or(0, |(batch, ..)| held_for_one(batch))
    }
}

impl Level for Feed {
    fn lend(&mut self, share: &mut dyn FnMut() -> Weak<Lent>, waker: &Waker) {
        let promises = matches!(self.style, Style::Promises(_));
        let idle = self.first.is_none() && self.giving.is_none() && !promises;
        let Some(at) = self.follow.rests_at().filter(|_| idle) else { return };
        let (follow, style) = (&self.follow, self.style);
        let seat = self.seat.get_or_insert_with(|| {
            follow.service().fan_outs().join(follow.service(), follow.channel(), style)
        });
        if seat.lend(at, share, waker) {
            self.follow.rest_elsewhere();
        }
    }

    fn take_back(&mut self) -> Bytes {
        let Some(back) = self.seat.as_mut().and_then(Seat::take_back) else { return Bytes::new() };
        self.follow.go_on(back.at, back.written);
        back.rest
    }
}
