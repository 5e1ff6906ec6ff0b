//! A followed channel as a body: each event becomes one frame, each message one frame or one promise.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use poll_core::Batch;

use crate::body::{Piece, Pieces};
use crate::dialect::native::{self, Reason};
use crate::follow::{Event, Follow};
use crate::frame::Framing;

/// What a feed makes of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Lines or events that carry the message.
    Updates(Framing),
    /// A job's steps, without a line before the first and after the last.
    Steps(Framing),
    /// Promises, announced by lines.
    Promises,
}

/// The body of an answer that stays open.
pub(crate) struct Feed {
    follow: Follow,
    style: Style,
    /// The line before everything else.
    first: Option<Bytes>,
    /// The batch that is being given, and how much of it was.
    giving: Option<(Arc<Batch>, usize)>,
}

impl Style {
    pub(crate) fn framing(self) -> Framing {
        match self {
            Self::Updates(framing) | Self::Steps(framing) => framing,
            Self::Promises => Framing::Lines,
        }
    }
}

impl Feed {
    pub(crate) fn new(follow: Follow, style: Style, first: Option<Bytes>) -> Self {
        Self { follow, style, first, giving: None }
    }

    fn piece(&self, batch: &Arc<Batch>, index: usize) -> Option<Piece> {
        match self.style {
            Style::Updates(framing) => native::updates(batch, framing).part(index).map(Piece::Data),
            Style::Steps(framing) => native::progress(batch, framing).part(index).map(Piece::Data),
            Style::Promises => {
                let service = self.follow.service();
                let at = batch.messages().get(index)?.at;
                let until = service.store().retention().age().map(|age| at.after(age));
                let cache = native::message_cache(service.now(), until);
                native::promise(self.follow.channel(), batch, index, cache).map(Piece::Push)
            }
        }
    }

    /// A notice's frame; none where this style has no such line.
    fn notice(&self, event: &Event) -> Option<Bytes> {
        let framing = self.style.framing();
        match *event {
            Event::Batch(_) => None,
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
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Piece::Data(first)));
        }
        loop {
            if let Some((batch, index)) = self.giving.take()
                && let Some(piece) = self.piece(&batch, index)
            {
                self.giving = Some((batch, index + 1));
                return Poll::Ready(Some(piece));
            }
            let Some(event) = ready!(self.follow.poll_event(cx)) else { return Poll::Ready(None) };
            if let Some(notice) = self.notice(&event) {
                return Poll::Ready(Some(Piece::Data(notice)));
            }
            if let Event::Batch(batch) = event {
                self.giving = Some((batch, 0));
            }
        }
    }
}
