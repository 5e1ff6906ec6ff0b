//! One pass over the readers of a broadcast.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use poll_core::{Batch, Continuity, Cursor, Pinned, Timestamp};
use tokio::time::Instant;

use crate::dialect::stream_event::Finality;
use crate::message::chunk;
use crate::message::shared_writer::lock;
use crate::stream::broadcast::readers::{Broadcast, Reader, Task};
use crate::stream::channel_reader::READ_LIMIT;
use crate::stream::style::Style;
use crate::worker::budget::{self, cost};

/// Readers written to before other tasks run and sockets are polled: few enough that publishes get in between, many
/// enough that polling costs nothing. The readers after them get what was published meanwhile in the same write.
const SLICE: usize = 128;
/// Readers visited before that, if few are written to.
const VISITS: usize = 2048;
/// The most bytes written to each reader at once; one that needs more is left to its connection.
const MOST_BYTES: usize = 64 * 1024;

/// A pass over all readers, or only over late ones.
#[derive(Default)]
pub(super) struct Pass {
    late: Vec<Reader>,
    readers: Vec<Reader>,
    /// How many of them were visited.
    done: usize,
    /// The lowest position of a reader.
    lowest: Option<Cursor>,
    /// The last batch rendered as chunks.
    last: Option<(Arc<Batch>, Bytes)>,
    /// How often the worker's intake had changed when the pass began.
    intake_changes: u32,
    /// The intake has changed since the last pass: every connection has a line to write.
    all_by_connection: bool,
}

/// Why a pass is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    News,
    Called,
}

/// What to write to a reader.
enum Delivery {
    /// Nothing: it has everything.
    Nothing,
    Chunks {
        chunks: Bytes,
        end: Cursor,
        messages: u64,
        at: Timestamp,
    },
    /// Something other than chunks, which its connection writes.
    ByConnection,
}

impl Pass {
    /// Before the first pass. What changes after these `intake_changes` is told to the readers that are there then.
    pub(super) fn new(intake_changes: u32) -> Self {
        Self { intake_changes, ..Self::default() }
    }

    /// Whether the worker's intake has changed since the pass began.
    pub(super) fn is_outdated(&self, broadcast: &Broadcast) -> bool {
        self.intake_changes != broadcast.worker.intake().changes()
    }

    /// Begins a pass; returns whether there is any reader.
    pub(super) fn begin(&mut self, broadcast: &Broadcast, reason: Reason) -> bool {
        let mut state = broadcast.state();
        let late = std::mem::take(&mut state.late);
        self.readers.append(&mut state.new);
        // Under the lock: a reader that hands over after this sees the same change, and wakes its connection itself.
        let intake_changes = broadcast.worker.intake().changes();
        self.all_by_connection =
            std::mem::replace(&mut self.intake_changes, intake_changes) != intake_changes;
        let all = std::mem::take(&mut state.stale) || self.all_by_connection || reason == Reason::News;
        if state.readers == 0 {
            // All readers on the list have left.
            (state.task, state.listed) = (Task::Absent, 0);
            return false;
        }
        state.task = Task::Busy;
        if all {
            (self.done, self.lowest) = (0, None);
        } else {
            (self.done, self.late) = (self.readers.len(), late);
        }
        true
    }

    /// Visits a slice of readers; returns whether there are more.
    pub(super) fn slice(&mut self, broadcast: &Broadcast) -> bool {
        let (worker, instant) = (&broadcast.worker, Instant::now());
        let now = worker.now();
        let mut deliveries: Vec<(Cursor, Delivery, u64)> = Vec::new();
        let mut left = SLICE;
        let mut to_wake = Vec::new();
        for _ in 0..VISITS {
            if left == 0 {
                break;
            }
            let late = self.late.pop();
            let Some(reader) = late.as_ref().or_else(|| self.readers.get(self.done)) else { break };
            let socket = reader.socket.upgrade();
            let writer = socket.as_ref().map(|socket| lock(socket));
            let writer = writer.filter(|writer| writer.listing() == reader.listing);
            let Some(mut writer) = writer else {
                if late.is_none() {
                    self.readers.swap_remove(self.done);
                }
                continue;
            };
            self.done += usize::from(late.is_none());
            // None: its connection has taken the socket back.
            let Some(at) = writer.at() else { continue };
            let index = deliveries.iter().position(|(from, ..)| *from == at).unwrap_or_else(|| {
                deliveries.push((at, self.delivery(broadcast, now, at), 0));
                deliveries.len() - 1
            });
            let (_, delivery, readers) = &mut deliveries[index];
            let (woken, at) = match delivery {
                Delivery::Nothing => (None, at),
                Delivery::Chunks { chunks, end, .. } => {
                    left -= 1;
                    *readers += 1;
                    budget::charge(cost::BYTE * chunks.len() as u64);
                    (writer.write(chunks, *end, instant), *end)
                }
                Delivery::ByConnection => {
                    left -= 1;
                    (writer.hand_back(), at)
                }
            };
            drop(writer);
            // A position in another epoch of the channel stays the lowest: everything in this epoch is newer.
            let lower = self.lowest.is_none_or(|lowest| at.epoch == lowest.epoch && at.seq < lowest.seq);
            match woken {
                Some(waker) => to_wake.push(waker),
                None if lower => self.lowest = Some(at),
                None => {}
            }
            if budget::is_over() {
                break;
            }
        }
        for (_, delivery, readers) in deliveries {
            if let Delivery::Chunks { messages, at, .. } = delivery {
                worker.metrics().delivered.inc_by(messages * readers);
                worker.metrics().lag(now.since(at), readers);
            }
        }
        to_wake.into_iter().for_each(Waker::wake);
        !self.late.is_empty() || self.done < self.readers.len()
    }

    /// Ends a pass: the position that all have caught up to, unless no socket is handed over.
    pub(super) fn end(&mut self, broadcast: &Broadcast) -> Option<Cursor> {
        self.last = None;
        let mut state = broadcast.state();
        state.listed = self.readers.len() + state.new.len();
        state.task = Task::CaughtUp(self.lowest);
        self.lowest
    }

    /// Empties the list.
    pub(super) fn take_readers(&mut self) -> Vec<Reader> {
        std::mem::take(&mut self.readers)
    }

    /// What to write after a position.
    fn delivery(&mut self, broadcast: &Broadcast, now: Timestamp, at: Cursor) -> Delivery {
        let (worker, (channel, style)) = (&broadcast.worker, &broadcast.key);
        if worker.drain().is_draining() || self.all_by_connection {
            return Delivery::ByConnection;
        }
        let pinned = Pinned::after(at);
        let Some(view) = worker.store().read_resident(now, channel, &pinned, READ_LIMIT) else {
            return Delivery::ByConnection;
        };
        let read_state = &view.read_state;
        if read_state.continuity != Continuity::Kept || read_state.missed() != Some(0) || read_state.ended {
            return Delivery::ByConnection;
        }
        let Some(batch) = view.batch else { return Delivery::Nothing };
        if batch.is_over_budget() {
            return Delivery::ByConnection;
        }
        let chunks = match &self.last {
            Some((last, chunks)) if Arc::ptr_eq(last, &batch) => chunks.clone(),
            _ => match chunks(&batch, *style) {
                Some(chunks) => {
                    self.last = Some((batch.clone(), chunks.clone()));
                    chunks
                }
                None => return Delivery::ByConnection,
            },
        };
        let newest = batch.newest();
        Delivery::Chunks { chunks, end: batch.end(), messages: batch.messages().len() as u64, at: newest.at }
    }
}

/// A batch as chunks, one a message; `None` if its readers do not get chunks, if there are none, or if they are too large.
fn chunks(batch: &Batch, style: Style) -> Option<Bytes> {
    let rendering = style.rendering(batch, Finality::MoreMayFollow)?;
    let (bytes, ends) = (&rendering.bytes, &rendering.ends);
    let all = bytes.len() + ends.len() * chunk::OVERHEAD;
    if bytes.is_empty() || all > MOST_BYTES {
        return None;
    }
    let mut out = Vec::with_capacity(all);
    let mut start = 0;
    for &end in ends {
        if end > start {
            chunk::write(&mut out, &bytes[start..end]);
        }
        start = end;
    }
    // A full socket keeps the rest of the chunks alive until it is written.
    batch.charge(out.into()).ok()
}
