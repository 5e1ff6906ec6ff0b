//! What a body needs of its reader, whether that reads one channel or several.

use std::fmt::Display;
use std::task::{Context, Poll};

use poll_core::Rendering;
use tokio::time::Instant;

use crate::dialect::frame::Framing;
use crate::dialect::stream_event::{Finality, StreamEvent};
use crate::message::body::Promise;
use crate::stream::schedule::Schedule;
use crate::stream::style::Style;
use crate::stream::subject::Subject;

/// A reader that stays: of one channel, or of several.
pub(crate) trait Reader: Send {
    /// What it reads.
    type Subject: Subject;
    /// A position as its client is told.
    type Cursor: Display;

    /// What it reads.
    fn subject(&self) -> &Self::Subject;

    /// What it says by time.
    fn schedule(&mut self) -> &mut Schedule;

    /// The next event; `None` after the last one.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event<Self>>>;

    /// A batch as sent; `None` for a style in which it is not the same for all readers.
    fn rendering<'a>(
        &'a self,
        batch: &'a BatchOf<Self>,
        style: Style,
        finality: Finality,
    ) -> Option<&'a Rendering>;

    /// The message at an index as a promise.
    fn promise(
        &self,
        batch: &BatchOf<Self>,
        index: usize,
        cache: String,
        framing: Framing,
    ) -> Option<Promise>;

    /// How far it has caught up, if it waits for new messages only and a broadcast could write them. With receipts, named
    /// clients are excluded: a delivery to them is recorded.
    fn caught_up_at(&self) -> Option<<Self::Subject as Subject>::At>;

    /// Lets the broadcast wait from here on.
    fn hand_over_to_broadcast(&mut self);

    /// Continues where the broadcast stopped, which last wrote at `given`, if at all.
    fn resume(&mut self, at: &<Self::Subject as Subject>::At, given: Option<Instant>);
}

/// The messages that a reader reads together.
pub(crate) type BatchOf<R> = <<R as Reader>::Subject as Subject>::Batch;

/// What a reader has to say.
pub(crate) type Event<R> = StreamEvent<BatchOf<R>, <R as Reader>::Cursor>;
