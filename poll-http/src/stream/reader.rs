//! What a body needs of its reader, whether that reads one channel or several.

use std::fmt::Display;
use std::task::{Context, Poll};

use poll_core::Rendering;

use crate::dialect::frame::Framing;
use crate::dialect::message_list::Messages;
use crate::dialect::stream_event::{Finality, StreamEvent};
use crate::message::body::Promise;
use crate::stream::schedule::Schedule;
use crate::stream::style::Style;

/// A reader that stays: of one channel, or of several.
pub(crate) trait Reader: Send {
    /// Messages that are read together.
    type Batch: Messages;
    /// A position.
    type Cursor: Display;

    /// What it says by time.
    fn schedule(&mut self) -> &mut Schedule;

    /// The next event; `None` after the last one.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<StreamEvent<Self::Batch, Self::Cursor>>>;

    /// A batch as sent; `None` for a style in which it is not the same for all readers.
    fn rendering<'a>(
        &'a self,
        batch: &'a Self::Batch,
        style: Style,
        finality: Finality,
    ) -> Option<&'a Rendering>;

    /// The message at an index as a promise.
    fn promise(&self, batch: &Self::Batch, index: usize, cache: String, framing: Framing) -> Option<Promise>;
}
