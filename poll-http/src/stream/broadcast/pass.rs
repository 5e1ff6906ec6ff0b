//! Going round the readers of a fan-out.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use poll_core::{Batch, Continuity, Cursor, Pinned, Timestamp};
use tokio::time::Instant;

use crate::message::chunk;
use crate::message::shared_writer::lock;
use crate::stream::body::Style;
use crate::stream::broadcast::{FanOut, Reader, Task};
use crate::stream::channel_reader::{AT_ONCE, Reach};
use crate::worker::turn::{self, cost};

/// Readers written to before other tasks run and sockets are looked at: few enough that publishes come in between,
/// many enough that the look costs nothing. Who comes behind gets what was published meanwhile in the same write.
const SLICE: usize = 128;
/// Readers looked at before that, where few are written to.
const LOOKS: usize = 2048;
/// The most bytes written to each reader at once; who is further behind is left to its connection.
const MOST_BYTES: usize = 64 * 1024;

/// Once round all readers, or only those who are late.
#[derive(Default)]
pub(super) struct Round {
    late: Vec<Reader>,
    readers: Vec<Reader>,
    /// How many of them have had their turn.
    done: usize,
    /// The lowest position of anybody.
    lowest: Option<Cursor>,
    /// The last that was written out.
    last: Option<(Arc<Batch>, Bytes)>,
}

/// Why the task is up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    News,
    Called,
}

/// What a reader is to be given.
enum Share {
    /// It has everything.
    Nothing,
    Chunks {
        chunks: Bytes,
        end: Cursor,
        messages: u64,
        at: Timestamp,
    },
    /// More than chunks.
    Own,
}

impl Round {
    /// Whether there is anybody to go to.
    pub(super) fn begin(&mut self, fan_out: &FanOut, reason: Reason) -> bool {
        let mut state = fan_out.state();
        let late = std::mem::take(&mut state.late);
        self.readers.append(&mut state.new);
        let all = std::mem::take(&mut state.stale) || reason == Reason::News;
        if state.readers == 0 {
            // Whoever is on the list has gone.
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

    /// Goes on for a slice; whether there is more to do.
    pub(super) fn slice(&mut self, fan_out: &FanOut) -> bool {
        let (service, instant) = (&fan_out.service, Instant::now());
        let now = service.now();
        let mut shares: Vec<(Cursor, Share, u64)> = Vec::new();
        let mut left = SLICE;
        let mut to_wake = Vec::new();
        for _ in 0..LOOKS {
            if left == 0 {
                break;
            }
            let late = self.late.pop();
            let Some(reader) = late.as_ref().or_else(|| self.readers.get(self.done)) else { break };
            let socket = reader.socket.upgrade();
            let lent = socket.as_ref().map(|socket| lock(socket));
            let lent = lent.filter(|lent| lent.listing() == reader.listing);
            let Some(mut lent) = lent else {
                if late.is_none() {
                    self.readers.swap_remove(self.done);
                }
                continue;
            };
            self.done += usize::from(late.is_none());
            // Otherwise its connection has it.
            let Some(at) = lent.at() else { continue };
            let index = shares.iter().position(|(from, ..)| *from == at).unwrap_or_else(|| {
                shares.push((at, self.share(fan_out, now, at), 0));
                shares.len() - 1
            });
            let (_, share, readers) = &mut shares[index];
            let (woken, at) = match share {
                Share::Nothing => (None, at),
                Share::Chunks { chunks, end, .. } => {
                    left -= 1;
                    *readers += 1;
                    turn::charge(cost::BYTE * chunks.len() as u64);
                    (lent.write(chunks, *end, instant), *end)
                }
                Share::Own => {
                    left -= 1;
                    (lent.give_up(), at)
                }
            };
            drop(lent);
            // One of another life of the channel stays: whatever this life has is news behind it.
            let lower = self.lowest.is_none_or(|lowest| at.epoch == lowest.epoch && at.seq < lowest.seq);
            match woken {
                Some(waker) => to_wake.push(waker),
                None if lower => self.lowest = Some(at),
                None => {}
            }
            if turn::is_over() {
                break;
            }
        }
        for (_, share, readers) in shares {
            if let Share::Chunks { messages, at, .. } = share {
                service.metrics().delivered.inc_by(messages * readers);
                service.metrics().lag(now.since(at), readers);
            }
        }
        to_wake.into_iter().for_each(Waker::wake);
        !self.late.is_empty() || self.done < self.readers.len()
    }

    /// Settles where all are now; nowhere, if nobody has lent a socket.
    pub(super) fn end(&mut self, fan_out: &FanOut) -> Option<Cursor> {
        self.last = None;
        let mut state = fan_out.state();
        state.listed = self.readers.len() + state.new.len();
        state.task = Task::Level(self.lowest);
        self.lowest
    }

    /// All who are on the list, which is empty then.
    pub(super) fn take_readers(&mut self) -> Vec<Reader> {
        std::mem::take(&mut self.readers)
    }

    /// What comes after a position.
    fn share(&mut self, fan_out: &FanOut, now: Timestamp, at: Cursor) -> Share {
        let (service, (channel, style)) = (&fan_out.service, &fan_out.key);
        if service.drain().is_draining() {
            return Share::Own;
        }
        let pinned = Pinned::after(at);
        let Some(view) = service.store().read_resident(now, channel, &pinned, AT_ONCE) else {
            return Share::Own;
        };
        let read_state = &view.read_state;
        if read_state.continuity != Continuity::Kept || read_state.missed() != Some(0) || read_state.ended {
            return Share::Own;
        }
        let Some(batch) = view.batch else { return Share::Nothing };
        if batch.is_over_budget() {
            return Share::Own;
        }
        let chunks = match &self.last {
            Some((last, chunks)) if Arc::ptr_eq(last, &batch) => chunks.clone(),
            _ => match chunks(&batch, *style) {
                Some(chunks) => {
                    self.last = Some((batch.clone(), chunks.clone()));
                    chunks
                }
                None => return Share::Own,
            },
        };
        let newest = batch.newest();
        Share::Chunks { chunks, end: batch.end(), messages: batch.messages().len() as u64, at: newest.at }
    }
}

/// A batch as chunks, one a message that has any; `None` where that is not what its readers get, or nothing, or too
/// much.
fn chunks(batch: &Batch, style: Style) -> Option<Bytes> {
    let rendering = style.rendering(batch, Reach::Part)?;
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
    // A socket that does not take all of it holds it until it does.
    batch.charge(out.into()).ok()
}
