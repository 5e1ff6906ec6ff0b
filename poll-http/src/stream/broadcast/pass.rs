//! One pass over the readers of a broadcast.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use poll_core::Timestamp;
use tokio::time::Instant;

use crate::dialect::message_list::Messages as _;
use crate::message::chunk;
use crate::message::shared_writer::lock;
use crate::stream::broadcast::readers::{Broadcast, Reader, Task};
use crate::stream::style::Style;
use crate::stream::subject::{News, Subject};
use crate::worker::budget::{self, cost};

/// Readers written to before other tasks run and sockets are polled: few enough that publishes get in between, many
/// enough that polling costs nothing. The readers after them get what was published meanwhile in the same write.
const SLICE: usize = 128;
/// Readers visited before that, if few are written to.
const VISITS: usize = 2048;
/// The most bytes written to each reader at once; one that needs more is left to its connection.
const MOST_BYTES: usize = 64 * 1024;

/// A pass over all readers, or only over late ones.
pub(super) struct Pass<S: Subject> {
    late: Vec<Reader>,
    readers: Vec<Reader>,
    /// How many of them were visited.
    done: usize,
    /// The lowest position of a reader.
    lowest: Option<S::At>,
    /// The last batch, its end, and its rendering as chunks.
    last: Option<(Arc<S::Batch>, S::At, Bytes)>,
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
enum Delivery<At> {
    /// Nothing: it has everything.
    Nothing,
    Chunks {
        chunks: Bytes,
        end: At,
        messages: u64,
        at: Timestamp,
    },
    /// Something other than chunks, which its connection writes.
    ByConnection,
}

impl<S: Subject> Pass<S> {
    /// Before the first pass. What changes after these `intake_changes` is told to the readers that are there then.
    pub(super) fn new(intake_changes: u32) -> Self {
        Self {
            late: Vec::new(),
            readers: Vec::new(),
            done: 0,
            lowest: None,
            last: None,
            intake_changes,
            all_by_connection: false,
        }
    }

    /// Whether the worker's intake has changed since the pass began.
    pub(super) fn is_outdated(&self, broadcast: &Broadcast<S>) -> bool {
        self.intake_changes != broadcast.worker.intake().changes()
    }

    /// Begins a pass; returns whether there is any reader.
    pub(super) fn begin(&mut self, broadcast: &Broadcast<S>, reason: Reason) -> bool {
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
    pub(super) fn slice(&mut self, broadcast: &Broadcast<S>) -> bool {
        let (worker, instant) = (&broadcast.worker, Instant::now());
        let now = worker.now();
        let mut deliveries: Vec<(S::At, Delivery<S::At>, u64)> = Vec::new();
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
            let Some(at) = writer.at().and_then(S::reached) else { continue };
            let index = deliveries.iter().position(|(from, ..)| S::same(from, at)).unwrap_or_else(|| {
                deliveries.push((at.clone(), self.delivery(broadcast, now, at), 0));
                deliveries.len() - 1
            });
            let (from, delivery, readers) = &mut deliveries[index];
            let (woken, at) = match delivery {
                Delivery::Nothing => (None, &*from),
                Delivery::Chunks { chunks, end, messages, .. } => {
                    left -= 1;
                    *readers += 1;
                    budget::charge(cost::BYTE * chunks.len() as u64);
                    (writer.write(chunks, *messages, end.clone().into(), instant), &*end)
                }
                Delivery::ByConnection => {
                    left -= 1;
                    (writer.hand_back(), &*from)
                }
            };
            drop(writer);
            match (woken, &self.lowest) {
                (Some(waker), _) => to_wake.push(waker),
                (None, None) => self.lowest = Some(at.clone()),
                (None, Some(lowest)) => {
                    if let Some(lower) = S::lower(lowest, at) {
                        self.lowest = Some(lower);
                    }
                }
            }
            if budget::is_over() {
                break;
            }
        }
        for (_, delivery, readers) in deliveries {
            if let Delivery::Chunks { messages, at, .. } = delivery {
                worker.metrics().delivered.inc_by(messages * readers);
                worker.handed_over(now.since(at), readers);
            }
        }
        to_wake.into_iter().for_each(Waker::wake);
        !self.late.is_empty() || self.done < self.readers.len()
    }

    /// Ends a pass: the position that all have caught up to, unless no socket is handed over.
    pub(super) fn end(&mut self, broadcast: &Broadcast<S>) -> Option<S::At> {
        self.last = None;
        let mut state = broadcast.state();
        state.listed = self.readers.len() + state.new.len();
        state.task = Task::CaughtUp(self.lowest.clone());
        self.lowest.clone()
    }

    /// Empties the list.
    pub(super) fn take_readers(&mut self) -> Vec<Reader> {
        std::mem::take(&mut self.readers)
    }

    /// What to write after a position.
    fn delivery(&mut self, broadcast: &Broadcast<S>, now: Timestamp, at: &S::At) -> Delivery<S::At> {
        let (worker, (subject, style)) = (&broadcast.worker, &broadcast.key);
        if worker.drain().is_draining() || self.all_by_connection {
            return Delivery::ByConnection;
        }
        let (batch, end) = match subject.look(worker, now, at) {
            News::Nothing => return Delivery::Nothing,
            News::Messages(batch, end) => (batch, end),
            News::Other => return Delivery::ByConnection,
        };
        let known = self.last.as_ref().filter(|(last, ..)| Arc::ptr_eq(last, &batch));
        let (end, chunks) = match known {
            Some((_, end, chunks)) => (end.clone(), chunks.clone()),
            None => {
                let Some(chunks) = chunks(subject, &batch, *style) else { return Delivery::ByConnection };
                self.last = Some((batch.clone(), end.clone(), chunks.clone()));
                (end, chunks)
            }
        };
        let items = batch.items();
        let Some(newest) = items.last() else { return Delivery::Nothing };
        Delivery::Chunks { chunks, end, messages: items.len() as u64, at: S::Batch::message(newest).at }
    }
}

/// A batch as chunks, one a message; `None` if its readers do not get chunks, if there are none, or if they are too large.
fn chunks<S: Subject>(subject: &S, batch: &S::Batch, style: Style) -> Option<Bytes> {
    let rendering = subject.rendering(batch, style)?;
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
    batch.charged(out.into()).ok()
}
