//! A reader of a stream as the body of an answer: each batch is one data event, and after it a control event.
//!
//! The answer ends after a minute, so that caches can serve readers together again; each comes back with the offset that it
//! was told last.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use poll_core::{Batch, Cursor, ReadState, Seq};
use tokio::time::Instant;

use crate::dialect::durable_streams::{Ahead, EventWriter};
use crate::dialect::stream_event::{Finality, StreamEvent};
use crate::message::body::{Piece, Pieces};
use crate::stream::channel_reader::ChannelReader;
use crate::stream::reader::Reader as _;
use crate::worker::timer_wheel::Timer;

/// How long an answer stays open.
const OPEN: Duration = Duration::from_secs(60);

/// The body of a live read by events.
pub(crate) struct EventBody {
    reader: ChannelReader,
    writer: EventWriter,
    /// Where the reader is, and what it was told of what follows.
    at: Seq,
    ahead: Ahead,
    /// What is to be sent next.
    pieces: VecDeque<Bytes>,
    /// Ends the answer.
    timer: Timer,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Once everything is sent.
    Ending,
    /// The same, in a way that shows that it is no end of the stream.
    BreakingOff,
}

impl EventBody {
    pub(crate) fn new(mut reader: ChannelReader, writer: EventWriter, state: &ReadState) -> Self {
        let mut timer = reader.schedule().worker.timers().timer();
        timer.set(Instant::now() + OPEN);
        let ahead = match (state.has_messages(), state.ended) {
            (true, _) => Ahead::More,
            (false, true) => Ahead::End,
            (false, false) => Ahead::Nothing,
        };
        let (at, pieces) = (state.position, VecDeque::new());
        let mut body = Self { reader, writer, at, ahead, pieces, timer, phase: Phase::Open };
        if ahead != Ahead::More {
            body.tell(at, ahead, None);
        }
        body
    }

    /// Tells where the reader is.
    fn tell(&mut self, at: Seq, ahead: Ahead, missed: Option<u64>) {
        (self.at, self.ahead) = (at, ahead);
        let now = self.reader.schedule().worker.now();
        self.pieces.push_back(self.writer.control(at, ahead, missed, now));
        if ahead == Ahead::End {
            self.phase = Phase::Ending;
        }
    }

    fn take(&mut self, event: StreamEvent<Batch, Cursor>) {
        match event {
            StreamEvent::Batch(batch, finality) => {
                let ahead = match finality {
                    Finality::MoreMayFollow => Ahead::More,
                    Finality::Newest => Ahead::Nothing,
                    Finality::Last => Ahead::End,
                };
                self.pieces.push_back(self.writer.data(&batch));
                self.tell(batch.end().seq, ahead, None);
            }
            StreamEvent::Reset { missed: Some(missed), cursor, .. } => {
                self.tell(cursor.seq, Ahead::More, Some(missed));
            }
            StreamEvent::Idle(_) => self.tell(self.at, self.ahead, None),
            StreamEvent::Ended(cursor) => {
                if self.phase == Phase::Open {
                    self.tell(cursor.seq, Ahead::End, None);
                }
            }
            StreamEvent::Stalled(_) | StreamEvent::Resumed(_) => {}
            // Deleted, or another stream of the same name by now: a reader that comes back is told.
            StreamEvent::Reset { missed: None, .. }
            | StreamEvent::Draining(_)
            | StreamEvent::Unauthorized(_) => self.phase = Phase::Ending,
            StreamEvent::Broken => self.phase = Phase::BreakingOff,
        }
    }
}

impl Pieces for EventBody {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                return Poll::Ready(Some(Piece::Data(piece)));
            }
            match self.phase {
                Phase::Open => {}
                Phase::Ending => return Poll::Ready(None),
                Phase::BreakingOff => return Poll::Ready(Some(Piece::Broken)),
            }
            if self.timer.poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            let Some(event) = ready!(self.reader.poll_event(cx)) else { return Poll::Ready(None) };
            if let Some(end) = event.end() {
                self.reader.schedule().logged.ends(end);
            }
            self.take(event);
            if self.phase == Phase::BreakingOff {
                // What is written already leaves first.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    fn held(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }
}
